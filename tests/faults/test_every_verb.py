"""Each call that a verb makes of the database fails once, before it is done and after.

The verb is then asked again, as its callers do. What stands is what one call that was answered
would have left: on both databases, for every verb that the service has.
"""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from lastword.errors import LedgerUnavailable
from lastword.identity import RunId
from lastword.service import RunService, WorkerService
from lastword.storage.ledger import Ledger
from tests.faults.breaking import Breakage, Breaker, broken
from tests.faults.verbs import OF_RUNS, OF_WORKERS, Case
from tests.support import Scene

STORIES = {
    **{f"runs.{name}": story for name, story in OF_RUNS.items()},
    **{f"workers.{name}": story for name, story in OF_WORKERS.items()},
}

#: Columns that name a moment, or what was made for this run alone.
MOMENTS = ("_at", "_until")
ITS_OWN = {"id", "worker_id", "holder", "message_ref", "working", "run_id"}


def verbs_of(service: type) -> set[str]:
    """What a service can be asked."""
    found = inspect.getmembers(service, inspect.isfunction)
    return {name for name, _ in found if not name.startswith("_")}


def told(case: Case) -> dict[str, Any]:
    """A run, its events and attempts, and its worker, without moments and names."""
    ledger = case.scene.ledger
    param = ledger.dialect.param
    tables = {
        "run": ("id", case.run_id),
        "event": ("run_id", case.run_id),
        "attempt": ("run_id", case.run_id),
        "worker": ("id", case.worker_id),
    }
    with ledger.session():
        return {
            table: sorted(
                str(_bare(row))
                for row in ledger.execute(
                    f"SELECT * FROM lastword_{table} WHERE {column} = {param}", key
                )
            )
            for table, (column, key) in tables.items()
        }


def _bare(row: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value
        for key, value in row.items()
        if key not in ITS_OWN and key != "at" and not key.endswith(MOMENTS)
    }


def begun(scene: Scene, name: str, number: int) -> Case:
    """A story up to its verb."""
    case = Case(scene, RunId(f"{name}-{number:03}"), scene.worker())
    for before in STORIES[name][0]:
        before(case)
    return case


def test_every_verb_of_the_service_has_its_story() -> None:
    assert verbs_of(RunService) == set(OF_RUNS)
    assert verbs_of(WorkerService) == set(OF_WORKERS)


@pytest.mark.parametrize("name", STORIES)
def test_whichever_call_of_a_verb_fails_to_ask_again_leaves_what_one_answer_would(
    ledger: Ledger, name: str
) -> None:
    scene, breaker = Scene(ledger), Breaker()
    breaker.attach_database(ledger.database)
    # What only the first of all makes - it keeps the policy - is made by none of the others.
    STORIES[name][1](begun(scene, name, 998))
    whole = begun(scene, name, 999)
    breaker.count()
    STORIES[name][1](whole)
    calls, expected = len(breaker.calls), told(whole)
    breaker.rest()
    assert calls, name
    for number in range(2 * calls):
        case, how = begun(scene, name, number), list(Breakage)[number % 2]
        with broken(breaker, how, number // 2), pytest.raises(LedgerUnavailable):
            STORIES[name][1](case)
        STORIES[name][1](case)
        assert told(case) == expected, f"{name}: call {number // 2} was {how}"
