"""The guards of the service, each with what takes it away and the test that misses it.

A mutation is a text in a file of `lastword/service` and what is put in its place. The text must be
there exactly as often as is said, so that no refactoring turns a mutation into nothing unnoticed.
"""

from __future__ import annotations

from dataclasses import dataclass

GUARDS = "tests/conformance/test_guards.py"
EVIDENCE = "tests/conformance/test_evidence_guards.py"
STARTING = "tests/conformance/test_starting_and_claiming.py"
ENDING = "tests/conformance/test_ending.py"
RECONCILING = "tests/conformance/test_reconciling.py"


@dataclass(frozen=True, slots=True)
class Mutation:
    """One guard that is taken away.

    Attributes:
        name: the guard and where it is.
        file: in `lastword/service`.
        old: the text that is there.
        new: what is put in its place.
        killer: the file and the name of the test that must go red.
        times: how often the text is there.
        dies_of: how the failure of that test begins.
    """

    name: str
    file: str
    old: str
    new: str
    killer: tuple[str, str]
    times: int = 1
    dies_of: str = "assert"


ENDS_NOTHING = (GUARDS, "test_an_earlier_attempt_of_the_same_worker_ends_nothing")
OTHER_WORKER = (GUARDS, "test_another_worker_ends_nothing_under_the_number_of_the_attempt")
GOES_BACK = (GUARDS, "test_only_the_current_attempt_goes_back_to_the_queue")
IN_HANDS = (GUARDS, "test_what_a_live_worker_holds_no_other_may_have")
ASKED_TO_STOP = (GUARDS, "test_what_was_asked_to_stop_in_a_workers_hands_is_not_begun")
GIVES_BACK = (GUARDS, "test_a_worker_gives_back_only_what_it_holds")
ANYTHING_ELSE = (GUARDS, "test_a_verdict_on_anything_but_what_is_there_writes_nothing")
NEEDS_NO_WORKER = (EVIDENCE, "test_a_run_that_waits_for_its_children_needs_no_worker")
LISTED = (EVIDENCE, "test_a_run_that_its_live_worker_lists_is_taken_by_no_verdict")
NO_MORE_CHILDREN = (EVIDENCE, "test_a_completed_parent_hears_of_no_more_children")

#: Where a run stands, and that it still stands at all.
OF_THE_MOVE = (
    Mutation(
        "the move: completed absorbs, and a run must be in one of the arrow's origins",
        "moves.py",
        '["id = item_run_id", "completed_at IS NULL", f"status IN ({origins})", *move.guards]',
        '["id = item_run_id", *move.guards]',
        (ENDING, "test_a_retry_of_a_closed_run_is_not_sent"),
        # The database's own constraints refuse what the guard would have let through.
        dies_of="peewee.IntegrityError",
    ),
    Mutation(
        "the move: status IN origins",
        "moves.py",
        'f"status IN ({origins})", *move.guards]',
        "*move.guards]",
        (GUARDS, "test_a_report_after_the_attempts_own_retry_is_late"),
    ),
    Mutation(
        "late results: NOT EXISTS",
        "moves.py",
        'f"WHERE item_kind <> \'{EventKind.LATE_RESULT}\' OR NOT EXISTS ("',
        'f"WHERE TRUE OR NOT EXISTS ("',
        (ENDING, "test_a_late_result_is_noted_once_per_attempt"),
        # The unique index is the second line of defence; a worker would never be answered.
        dies_of="peewee.IntegrityError",
    ),
    Mutation(
        "gather: HAS_RETURNED, in the guard and in the finding",
        "moves.py",
        "guards=(HAS_RETURNED, NO_CHILD_IS_OPEN),",
        "guards=(HAS_RETURNED,),",
        (EVIDENCE, "test_a_run_with_an_open_child_ends_with_it_and_not_before"),
    ),
)

_REPORTS = {
    "finish": "guards=(SAME_ATTEMPT, SAME_WORKER, NO_CHILD_IS_OPEN),",
}
