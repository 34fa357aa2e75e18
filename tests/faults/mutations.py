"""The guards of the service, each with what takes it away and the test that misses it.

A mutation is a text in a file - of `lastword/service`, if nothing else is said - and what is put in
its place. The text must be
there exactly as often as is said, so that no refactoring turns a mutation into nothing unnoticed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SERVICE = "platform/lastword/service"

GUARDS = "tests/conformance/test_guards.py"
EVIDENCE = "tests/conformance/test_evidence_guards.py"
STARTING = "tests/conformance/test_starting_and_claiming.py"
ENDING = "tests/conformance/test_ending.py"
BRIEF = "tests/conformance/test_brief.py"
RECONCILING = "tests/conformance/test_reconciling.py"


@dataclass(frozen=True, slots=True)
class Edit:
    """A text in a file, how often it is there, and what replaces it."""

    file: str
    old: str
    new: str
    times: int = 1
    folder: str = SERVICE

    @property
    def package(self) -> Path:
        """The package that the file is in, below the root of the project."""
        return Path(*Path(self.folder).parts[:2])

    @property
    def place(self) -> Path:
        """The file, below its source root."""
        return Path(*Path(self.folder).parts[1:], self.file)


@dataclass(frozen=True, slots=True)
class Mutation:
    """One guard that is taken away.

    Attributes:
        name: where it is, and which.
        edits: what takes it away; more than one where two lines guard the same.
        killer: the file and the name of the test that must go red.
        dies_of: how the failure of that test begins.
    """

    name: str
    edits: tuple[Edit, ...]
    killer: tuple[str, str]
    dies_of: str = "assert"


#: How a failure begins where the database's own constraints are the second line of defence.
REFUSED_BY_THE_DATABASE = "peewee.IntegrityError"

ENDS_NOTHING = (GUARDS, "test_an_earlier_attempt_of_the_same_worker_ends_nothing")
OTHER_WORKER = (GUARDS, "test_another_worker_ends_nothing_under_the_number_of_the_attempt")
GOES_BACK = (GUARDS, "test_only_the_current_attempt_goes_back_to_the_queue")
IN_HANDS = (GUARDS, "test_what_a_live_worker_holds_no_other_may_have")
ASKED_TO_STOP = (GUARDS, "test_what_was_asked_to_stop_in_a_workers_hands_is_not_begun")
GIVES_BACK = (GUARDS, "test_a_worker_gives_back_only_what_it_holds")
ANYTHING_ELSE = (GUARDS, "test_a_verdict_on_anything_but_what_is_there_writes_nothing")
LEFT_TO_IT = (GUARDS, "test_what_is_in_a_live_workers_hands_is_left_to_it")
NEEDS_NO_WORKER = (EVIDENCE, "test_a_run_that_waits_for_its_children_needs_no_worker")
LISTED = (EVIDENCE, "test_a_run_that_its_live_worker_lists_is_taken_by_no_verdict")
RETURNED_ALREADY = (
    EVIDENCE,
    "test_an_attempt_whose_return_is_recorded_ends_its_run_in_no_other_way",
)
LAST_CHILD = (EVIDENCE, "test_a_run_with_an_open_child_ends_with_it_and_not_before")
NO_MORE_CHILDREN = (EVIDENCE, "test_a_completed_parent_hears_of_no_more_children")


def weakened(file: str, context: str, guard: str) -> Edit:
    """The edit that lets `guard` always hold, where it stands in `context`."""
    assert context.count(guard) == 1, context
    return Edit(file, context, context.replace(guard, _always_true(guard)))


def among(
    verb: str, file: str, context: str, killers: dict[str, tuple[str, str]]
) -> Iterator[Mutation]:
    """One mutation for each guard of a list of guards."""
    for guard, killer in killers.items():
        edit = weakened(file, context, guard)
        yield Mutation(f"{verb}: {guard.strip('{}')}", (edit,), killer)


def _always_true(guard: str) -> str:
    # Within Python a text, which is a condition in SQL and true in Python; within SQL the word.
    is_python = guard.isidentifier() or guard.startswith(('"', 'f"', "row["))
    return '"TRUE"' if is_python else "TRUE"


_MOVE = 'guards = [f"status IN ({from_these})", *move.guards]'
_ACTIVE = "CASE WHEN completed_at IS NULL AND"

OF_THE_MOVE = (
    Mutation(
        "the move: completed_at IS NULL, and status in the arrow's origins",
        (
            Edit("moves.py", _MOVE, "guards = [*move.guards]"),
            Edit("moves.py", _ACTIVE, "CASE WHEN TRUE AND"),
        ),
        (ENDING, "test_a_late_success_does_not_overwrite_a_closed_run"),
        REFUSED_BY_THE_DATABASE,
    ),
    Mutation(
        "the move: status in the arrow's origins",
        (weakened("moves.py", _MOVE, 'f"status IN ({from_these})"'),),
        (GUARDS, "test_a_report_after_the_attempts_own_retry_is_late"),
    ),
    Mutation(
        "late results: NOT EXISTS",
        (Edit("events.py", "WHERE NOT EXISTS (", "WHERE TRUE OR NOT EXISTS ("),),
        (ENDING, "test_a_late_result_is_noted_once_per_attempt"),
        REFUSED_BY_THE_DATABASE,
    ),
    Mutation(
        "where a message is: completed_at IS NULL",
        (Edit("moves.py", _ACTIVE, "CASE WHEN TRUE AND"),),
        (GUARDS, "test_a_completed_run_forgets_where_late_messages_went"),
    ),
    Mutation(
        "where a message is: SAME_DISPATCH",
        (
            Edit(
                "accepting.py",
                "looked_up_by_id([moves.SAME_DISPATCH])",
                "looked_up_by_id(['TRUE'])",
            ),
        ),
        (STARTING, "test_only_the_current_dispatch_says_where_its_message_is"),
    ),
)

_FINISH = "guards=(SAME_ATTEMPT, SAME_WORKER, HAS_NO_CHILDREN),"
_CANCEL = 'guards=(SAME_ATTEMPT, SAME_WORKER, HAS_NOT_RETURNED, "cancel_requested_at IS NOT NULL"),'
_FAIL = """"reconciliation": "item_reconciliation",
    },
    guards=(SAME_ATTEMPT, SAME_WORKER, HAS_NOT_RETURNED),"""
_RETRY = "guards=(SAME_ATTEMPT, SAME_WORKER, HAS_NOT_RETURNED, NOT_ASKED_TO_STOP),"
_HAND_OVER = "{Status.RUNNING}'\", SAME_ATTEMPT, SAME_WORKER, HAS_NOT_RETURNED)"
_OWN = {"SAME_ATTEMPT": ENDS_NOTHING, "SAME_WORKER": OTHER_WORKER}

OF_ENDS = (
    *among("finish", "ending.py", _FINISH, {**_OWN, "HAS_NO_CHILDREN": LAST_CHILD}),
    *among(
        "cancelled",
        "ending.py",
        _CANCEL,
        {
            **_OWN,
            "HAS_NOT_RETURNED": RETURNED_ALREADY,
            '"cancel_requested_at IS NOT NULL"': (
                GUARDS,
                "test_an_attempt_that_nobody_asked_to_stop_does_not_end_as_cancelled",
            ),
        },
    ),
    *among(
        "fail",
        "ending.py",
        _FAIL,
        {**_OWN, "HAS_NOT_RETURNED": RETURNED_ALREADY},
    ),
    *among(
        "retry",
        "retrying.py",
        _RETRY,
        {
            "SAME_ATTEMPT": GOES_BACK,
            "SAME_WORKER": GOES_BACK,
            "HAS_NOT_RETURNED": (
                EVIDENCE,
                "test_an_attempt_that_has_returned_is_not_tried_again",
            ),
            "NOT_ASKED_TO_STOP": (
                GUARDS,
                "test_an_attempt_that_was_asked_to_stop_is_not_tried_again",
            ),
        },
    ),
    *among(
        "hand over to the children",
        "ending.py",
        _HAND_OVER,
        {
            "SAME_ATTEMPT": ENDS_NOTHING,
            "SAME_WORKER": OTHER_WORKER,
            "HAS_NOT_RETURNED": (EVIDENCE, "test_a_return_is_recorded_once"),
        },
    ),
    *among(
        "reject",
        "ending.py",
        "guards=(SAME_DISPATCH, MAY_HOLD),",
        {
            "SAME_DISPATCH": (ENDING, "test_a_rejected_delivery_fails_its_run_at_once"),
            "MAY_HOLD": (
                EVIDENCE,
                "test_a_duplicate_that_another_worker_rejects_does_not_end_a_run_that_is_held",
            ),
        },
    ),
    Mutation(
        "progress: has not returned",
        (Edit("workers.py", "AND returned_at IS NULL", ""),),
        (
            EVIDENCE,
            "test_a_late_heartbeat_does_not_overwrite_the_counts_of_a_run_that_has_returned",
        ),
    ),
)

_CLAIM = "guards=(SAME_DISPATCH, LEASE_IS_LIVE, MAY_HOLD, NOT_ASKED_TO_STOP),"
_RESERVE = "guards = (_IS_QUEUED, SAME_DISPATCH, LEASE_IS_LIVE, MAY_HOLD, NOT_ASKED_TO_STOP)"
_BEGIN = "guards=(SAME_DISPATCH, HELD_BY_WORKER, NEXT_ATTEMPT),"
_BOTH = "guards=(SAME_DISPATCH, HELD_BY_WORKER, NEXT_ATTEMPT, HAS_NO_CHILDREN),"
_RELEASE = 'guards = [_IS_QUEUED, SAME_DISPATCH, "holder = item_worker_id"]'

OF_STARTS = (
    *among(
        "claim",
        "claiming.py",
        _CLAIM,
        {
            "SAME_DISPATCH": (GUARDS, "test_a_claim_of_an_older_delivery_starts_nothing"),
            "LEASE_IS_LIVE": (
                STARTING,
                "test_a_worker_without_a_live_lease_may_not_start_anything",
            ),
            "MAY_HOLD": IN_HANDS,
            "NOT_ASKED_TO_STOP": ASKED_TO_STOP,
        },
    ),
    *among(
        "reserve",
        "reserving.py",
        _RESERVE,
        {
            "SAME_DISPATCH": (
                GUARDS,
                "test_a_delivery_that_was_sent_again_since_is_not_reserved",
            ),
            "LEASE_IS_LIVE": (GUARDS, "test_a_worker_whose_lease_has_run_out_reserves_nothing"),
            "MAY_HOLD": IN_HANDS,
            "NOT_ASKED_TO_STOP": ASKED_TO_STOP,
        },
    ),
    *among(
        "begin",
        "claiming.py",
        _BEGIN,
        {
            "SAME_DISPATCH": (GUARDS, "test_a_start_of_an_older_dispatch_is_not_recorded"),
            "HELD_BY_WORKER": (
                GUARDS,
                "test_a_start_is_not_recorded_once_another_worker_took_the_run_over",
            ),
            "NEXT_ATTEMPT": (
                GUARDS,
                "test_a_start_is_recorded_as_the_attempt_that_was_reserved",
            ),
        },
    ),
    *among(
        "begin and finish",
        "brief.py",
        _BOTH,
        {
            "SAME_DISPATCH": (BRIEF, "test_one_that_was_sent_again_since_is_late"),
            "HELD_BY_WORKER": (BRIEF, "test_one_that_another_worker_took_over_is_late"),
            "NEXT_ATTEMPT": (BRIEF, "test_one_of_another_number_than_was_reserved_is_late"),
            "HAS_NO_CHILDREN": (BRIEF, "test_one_with_children_waits_for_them"),
        },
    ),
    *among(
        "release",
        "reserving.py",
        _RELEASE,
        {"SAME_DISPATCH": GIVES_BACK, '"holder = item_worker_id"': GIVES_BACK},
    ),
)
