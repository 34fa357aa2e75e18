"""Plays the demo: starts the system, plays the acts, waits for every last word, gives a verdict."""

from __future__ import annotations

import shutil
import tempfile
import time
from itertools import chain
from pathlib import Path

from rich.console import Console

import lastword_middleware
from lastword.config import Config
from lastword.errors import LastwordError
from lastword.reading.runs import run_status
from lastword.service.tenants import add_tenant
from lastword.storage.ledger import Ledger, Row
from lastword_jobs.actors import declare_actors
from lastword_jobs.demo.governance import govern
from lastword_jobs.demo.scenario import STRANGER, TENANTS, Stage, Watched, play
from lastword_jobs.demo.screen import Screen, final_table, is_right
from lastword_jobs.demo.system import System, running_system
from lastword_middleware.broker import worker_broker

#: Seconds by which every run must have its last word.
TRUTH_WITHIN_S = 60.0

#: Seconds every answer of the provider takes: slow enough to strike in mid-run.
LATENCY_S = 0.35

#: Quick, so that an hour of waiting fits into a minute; the proportions are those of the defaults.
HEARTBEAT_S, LEASE_S, SWEEP_S, GRACE_S = 0.5, 2.0, 0.5, 1.0


def play_demo(config: Config, console: Console) -> bool:
    """Play it in a folder of its own. Whether every run reached the right truth.

    The folder is removed, unless something went wrong: then it keeps the logs.
    """
    folder = Path(tempfile.mkdtemp(prefix="lastword-demo-"))
    right = False
    try:
        right = _play(_quick(config, folder), console)
    finally:
        if right:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            console.print(f"logs are kept in {folder}")
    return right


def _play(config: Config, console: Console) -> bool:
    began = time.monotonic()
    console.print("starting Redis, ledger, local Graph, two workers and a scheduler ...")
    with running_system(
        config, tenants=TENANTS, workers=2, threads=2, latency_s=LATENCY_S
    ) as system:
        console.print(f"ready after {time.monotonic() - began:.1f} s, in {config.data_dir}")
        add_tenant(system.ledger, tenant_id=STRANGER, name=STRANGER.title())
        with Screen(console) as screen:
            watched = _watch(system, screen)
        rows = run_status(system.ledger, [item.run_id for item in watched])
        console.print(final_table(watched, rows))
        right = _verdict(system.ledger, watched, rows, console)
    console.print(f"everything stopped; {time.monotonic() - began:.1f} s in all")
    return right


def _watch(system: System, screen: Screen) -> list[Watched]:
    stage = Stage(system, _application(system), screen.tell)
    for _ in chain(play(stage), govern(stage)):
        _show(stage, screen)
    deadline = time.monotonic() + TRUTH_WITHIN_S
    while not all(row["status"] == "completed" for row in _show(stage, screen).values()):
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    return stage.watched


def _show(stage: Stage, screen: Screen) -> dict[str, Row]:
    rows = run_status(stage.system.ledger, [item.run_id for item in stage.watched])
    screen.show(stage.watched, rows)
    return rows


def _verdict(
    ledger: Ledger, watched: list[Watched], rows: dict[str, Row], console: Console
) -> bool:
    wrong = [item for item in watched if not is_right(item, rows[item.run_id])]
    with ledger.session():
        [facts] = ledger.execute(
            "SELECT COUNT(*) AS runs, "
            "(SELECT COUNT(*) FROM lastword_event WHERE terminal) AS words FROM lastword_run"
        )
    once = facts["runs"] == facts["words"] == len(watched)
    if wrong or not once:
        console.print(f"[bold red]{len(wrong)} runs have the wrong last word[/bold red]")
        return False
    console.print(
        f"[bold green]{len(watched)} runs, {facts['words']} last words, each of them right"
        "[/bold green]"
    )
    return True


def _application(system: System) -> lastword_middleware.Application:
    broker = worker_broker(system.config)
    application = lastword_middleware.install(broker, config=system.config)
    declare_actors(broker, config=system.config, records=application.ledger)
    return application


def _quick(config: Config, folder: Path) -> Config:
    if not config.policies:
        raise LastwordError("no operation has a policy", mend="install Lastword as a whole")
    return Config(
        data_dir=folder,
        policies=config.policies,
        heartbeat_interval=HEARTBEAT_S,
        lease_ttl=LEASE_S,
        sweep_interval=SWEEP_S,
        message_grace=GRACE_S,
        worker_shutdown_timeout=10,
        stop_wait=15,
        # Nobody waits ten minutes for the end of a demo.
        allow_unsafe_timing=True,
    )
