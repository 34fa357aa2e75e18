"""An upgrade without a stop: the ledger is migrated while processes of the release before work."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

from lastword import __version__
from lastword.reading.workers import list_workers
from lastword.storage.opening import open_ledger
from tests.support import Scene, until
from tests.upgrades.rollout import (
    PREVIOUS,
    Release,
    all_runs,
    done_on,
    last_words,
    two_releases,
    versions,
)

BEFORE = PREVIOUS.name.split("-")[1]

#: How many runs are enough to say that a step works.
SOME = 8


def test_no_run_is_lost_when_the_ledger_is_migrated_below_workers_and_these_are_replaced(
    empty_database_url: str, redis_url: str, tmp_path: Path
) -> None:
    with two_releases(tmp_path, database_url=empty_database_url, redis_url=redis_url) as (old, new):
        assert old.command("migrate").returncode == 0
        scene = Scene(open_ledger(empty_database_url))
        old.serve(workers=3)
        old.produce()
        await_done(scene, old, on=BEFORE)

        done = new.command("migrate")
        assert done.returncode == 0, done.stderr
        assert "applied lastword/0007_speed" in done.stdout
        await_done(scene, old, on=BEFORE)
        pid = lose_a_worker(scene)
        await_done(scene, old, on=BEFORE)

        new.serve(workers=1)
        new.produce()
        await_done(scene, old, on=__version__)
        await_done(scene, new, on=BEFORE)

        assert old.drain() == [0, 0, 0]
        await_done(scene, old, on=__version__)
        for release in (old, new):
            release.stop_producing()
        require_one_truth_each(scene, old, new)
        assert new.drain() == [0, 0]
        assert new.troubles() == []
        assert [line for line in old.troubles() if str(pid) not in line] == []
        scene.ledger.close()


def await_done(scene: Scene, producer: Release, *, on: str) -> None:
    """Wait until workers of a version have done some runs that this producer starts from now on."""
    before = len(producer.started())
    told = Counter[str]()

    def is_done() -> bool:
        told.clear()
        told.update(done_on(scene, producer.started()[before:]))
        return told[on] >= SOME

    until(is_done, within_s=30, what=f"{SOME} runs of {producer.name} on {on}, beside {told}")


def lose_a_worker(scene: Scene) -> int:
    """Kill a worker of the release before, and wait until that is known; its process."""
    alive = [row for row in list_workers(scene.ledger) if row["ended_at"] is None]
    assert {row["version"] for row in alive} == {BEFORE}
    os.kill(alive[0]["pid"], signal.SIGKILL)

    def is_known() -> bool:
        rows = {row["id"]: row for row in list_workers(scene.ledger)}
        return bool(rows[alive[0]["id"]]["ended_at"])

    until(is_known, what="the loss to be known")
    return int(alive[0]["pid"])


def require_one_truth_each(scene: Scene, old: Release, new: Release) -> None:
    until(lambda: all(row["completed_at"] for row in all_runs(scene)), what="every last word")
    runs = {row["id"]: row for row in all_runs(scene)}
    accepted = {*old.started(), *new.started()}
    assert accepted == runs.keys()
    assert {row["outcome"] for row in runs.values()} == {"succeeded"}
    assert last_words(scene) == dict.fromkeys(accepted, 1)
    assert set(versions(scene).values()) == {BEFORE, __version__}
