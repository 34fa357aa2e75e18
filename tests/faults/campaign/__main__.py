"""`python -m tests.faults.campaign`: runs episodes until a round or the time is over, and tells."""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tests.faults.campaign.checker import Checker, Evidence
from tests.faults.campaign.harm import do_harm
from tests.faults.campaign.plan import DATABASES, FAULTS, Episode, rounds
from tests.faults.campaign.records import read_journal, read_tables
from tests.faults.campaign.system import System, running
from tests.faults.campaign.table import Result, Table
from tests.postgres import Databases, running_postgres
from tests.support import until

#: Seconds after the fault within which every run has to have its last word.
PATIENCE_S = 60.0


def main(arguments: list[str] | None = None) -> int:
    """Run a campaign; 1 if anything was wrong."""
    asked = _asked(arguments)
    deadline = time.monotonic() + 60 * asked.minutes
    table = Table()
    with running_postgres() as postgres:
        databases = Databases(postgres.get_uri())
        for number, episodes in enumerate(rounds(asked.seed, asked.only, asked.database), 1):
            for episode in episodes:
                if time.monotonic() > deadline:
                    break
                _one(episode, databases, postgres, table)
            if time.monotonic() > deadline or number == asked.rounds:
                break
    print("\n".join(table.lines()))
    if asked.write:
        table.write(asked.write)
    missed = missed_of(table, asked.only)
    if missed:
        print(f"NOT RUN, for the time was over: {', '.join(missed)}", file=sys.stderr)
    return 0 if table.is_clean and not missed else 1


def _asked(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.campaign", description=__doc__)
    names = [fault.name for fault in FAULTS]
    parser.add_argument("--seed", type=int, default=1, help="where everything comes from")
    parser.add_argument("--minutes", type=float, default=5.0, help="nothing is begun after these")
    parser.add_argument("--rounds", type=int, default=0, help="how often each fault; 0: no end")
    parser.add_argument("--only", nargs="*", default=[], choices=names, metavar="FAULT")
    parser.add_argument("--database", nargs="*", default=[], choices=DATABASES)
    parser.add_argument("--write", type=Path, help="a document to write the table into")
    return parser.parse_args(arguments)


def missed_of(table: Table, only: list[str]) -> list[str]:
    seen = {result.episode.fault.name for result in table.results} | set(table.left_out)
    asked = only or [fault.name for fault in FAULTS]
    return [name for name in asked if name not in seen]


def _one(episode: Episode, databases: Databases, postgres: Any, table: Table) -> None:
    began = time.monotonic()
    try:
        result = _result(episode, databases, postgres)
    except PermissionError as error:
        table.left_out[episode.fault.name] = str(error)
        print(f"{episode.fault.name}: left out: {error}", flush=True)
        return
    except BaseException:
        print(f"FAILED, again with: {episode.command} --rounds 1", file=sys.stderr, flush=True)
        raise
    table.results.append(result)
    print(
        f"{episode.fault.name} on {episode.database}, seed {episode.seed}: {result.runs} runs, "
        f"{result.refused} starts refused, {len(result.violations)} violations, "
        f"{time.monotonic() - began:.1f} s",
        flush=True,
    )
    for violation in result.violations:
        print(f"  {violation}", file=sys.stderr)
    if result.violations:
        print(f"FAILED, again with: {episode.command} --rounds 1", file=sys.stderr, flush=True)


def _result(episode: Episode, databases: Databases, postgres: Any) -> Result:
    with running(episode, databases, postgres) as system:
        producer = threading.Thread(target=_produce, args=(system, episode))
        producer.start()
        time.sleep(episode.at_s)
        do_harm(system, episode)
        producer.join()
        _wait(system)
        tables = read_tables(system.database_url)
        evidence = Evidence(
            tables=tables,
            journal=read_journal(system.journal),
            accepted=system.accepted,
            harmed=frozenset(system.harmed),
            may_lose_messages=episode.fault.loses_messages,
            may_strand_messages=episode.fault.strands_messages,
        )
        times = [
            (row["completed_at"] - row["created_at"]) / 1000
            for row in tables["run"]
            if row["completed_at"]
        ]
        violations = Checker(evidence).violations()
        if violations and (logs := _keep_logs(system)):
            print(f"  logs are in {logs}", file=sys.stderr)
        return Result(episode, len(tables["run"]), times, violations, system.refused)


def _produce(system: System, episode: Episode) -> None:
    dice = random.Random(episode.seed)
    for number in range(episode.runs):
        actor = dice.choices(("steps", "once", "breaks"), (6, 3, 1))[0]
        pause = dice.uniform(0.01, 0.15)
        if actor == "steps":
            system.start(actor, count=dice.randint(1, 6), pause=pause + number / 1e6)
        elif actor == "once":
            system.start(actor, pause=pause + number / 1e6)
        else:
            system.start(actor)
        time.sleep(0.05)


def _wait(system: System) -> None:
    # What is still open then is a finding of the checker's, with all the others.
    try:
        until(lambda: system.open_runs() == 0, within_s=PATIENCE_S)
    except AssertionError as error:
        print(f"  {error}", file=sys.stderr)


def _keep_logs(system: System) -> Path:
    import shutil
    import tempfile

    kept = Path(tempfile.mkdtemp(prefix="campaign-logs-"))
    shutil.copytree(system.folder / "logs", kept / "logs")
    if system.journal.exists():
        shutil.copy(system.journal, kept / "journal")
    return kept


if __name__ == "__main__":
    sys.exit(main())
