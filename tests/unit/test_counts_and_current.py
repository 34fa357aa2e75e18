"""What an actor may say of its run: numbers under registered keys, failures, facts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from lastword.counts import REGISTERED_KEYS, checked_counts
from lastword.current import MAX_FAILURES, CurrentRun, current_run, enter_run, leave_run
from lastword.identity import new_run_id
from lastword.reasons import SENTENCES, Reason
from lastword.states import Outcome


@pytest.fixture
def run() -> Iterator[CurrentRun]:
    entered = CurrentRun(run_id=new_run_id(), operation="report.build", attempt=1)
    enter_run(entered)
    yield entered
    leave_run()


def test_every_registered_key_takes_whole_and_broken_numbers() -> None:
    counts = {key: index + 0.5 for index, key in enumerate(REGISTERED_KEYS)}
    assert checked_counts(counts) == counts
    assert checked_counts({"total": -1}) == {"total": -1}
    assert len(set(REGISTERED_KEYS)) == len(REGISTERED_KEYS)


def test_an_unregistered_key_is_refused_with_the_list_of_those_there_are() -> None:
    with pytest.raises(ValueError, match="'widgets' is not registered; expected one of total"):
        checked_counts({"widgets": 1})


@pytest.mark.parametrize(
    "value", [True, False, float("nan"), float("inf"), float("-inf"), "7", b"7", None, [1], 1j]
)
def test_what_is_not_a_finite_number_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"'total' is .*; expected a"):
        checked_counts({"total": value})


def test_progress_sets_and_count_adds(run: CurrentRun) -> None:
    current_run().progress(processed=10, total=100)
    current_run().progress(processed=20)
    current_run().count(processed=5, created=1)
    current_run().count(created=1)
    assert run.counts == {"processed": 25, "total": 100, "created": 2}


def test_a_refused_count_changes_nothing(run: CurrentRun) -> None:
    run.progress(total=1)
    with pytest.raises(ValueError, match="'typo' is not registered"):
        run.progress(total=2, typo=1)
    with pytest.raises(ValueError, match="expected a number"):
        run.count(total=1, created=True)
    assert run.counts == {"total": 1}


def test_threads_of_an_actor_lose_no_count(run: CurrentRun) -> None:
    def count() -> None:
        for _ in range(1000):
            run.count(items=1)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert run.counts == {"items": 4000}


def test_a_noted_failure_makes_the_outcome_partial(run: CurrentRun) -> None:
    before = run.outcome
    run.note_failure(Reason.PERMISSION_DENIED, "one type")
    run.note_failure(Reason.THROTTLED)
    assert (before, run.outcome) == (Outcome.SUCCEEDED, Outcome.PARTIALLY_SUCCEEDED)
    assert run.failures == [
        {"code": "permission_denied", "message": "one type"},
        {"code": "throttled", "message": SENTENCES[Reason.THROTTLED]},
    ]


def test_the_list_of_failures_is_bounded_and_none_goes_uncounted(run: CurrentRun) -> None:
    for number in range(MAX_FAILURES + 7):
        run.note_failure(Reason.INVALID_STATE, f"part {number}")
    assert len(run.failures) == MAX_FAILURES
    assert sum(failure.get("count", 1) for failure in run.failures) == MAX_FAILURES + 7


def test_facts_are_remembered_and_have_to_be_json(run: CurrentRun) -> None:
    run.remember(cursor={"page": 2}, note="half")
    with pytest.raises(TypeError):
        run.remember(cursor=object())
    with pytest.raises(ValueError, match="not JSON compliant"):
        run.remember(cursor=float("nan"))
    assert run.context == {"cursor": {"page": 2}, "note": "half"}


def test_what_was_said_is_taken_once(run: CurrentRun) -> None:
    assert run.take_unsaved() is None
    run.progress(total=3)
    assert run.take_unsaved() == {"total": 3}
    assert run.take_unsaved() is None
    run.note_failure(Reason.THROTTLED)
    assert run.take_unsaved() == {"total": 3}


def test_what_could_not_be_written_is_taken_again(run: CurrentRun) -> None:
    run.progress(total=3)
    run.take_unsaved()
    run.keep_unsaved()
    assert run.take_unsaved() == {"total": 3}


def test_what_is_read_cannot_change_the_run(run: CurrentRun) -> None:
    run.progress(total=1)
    run.counts["total"] = 2
    run.context["stolen"] = True
    assert (run.counts, run.context) == ({"total": 1}, {})


def test_current_run_outside_a_run_explains_itself() -> None:
    with pytest.raises(LookupError, match="inside an actor declared with operation="):
        current_run()
