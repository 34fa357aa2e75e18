"""The guards of reconcilers, operators and parents; see `mutations`."""

from __future__ import annotations

from tests.faults.mutations import (
    ANYTHING_ELSE,
    EVIDENCE,
    GUARDS,
    LEFT_TO_IT,
    LISTED,
    NEEDS_NO_WORKER,
    NO_MORE_CHILDREN,
    RECONCILING,
    REFUSED_BY_THE_DATABASE,
    Edit,
    Mutation,
    among,
    weakened,
)

_SEEN_STATE = "_SEEN_STATE = (SAME_ATTEMPT, SAME_DISPATCH, SAME_MESSAGE)"
_PUT_OFF = "{Status.QUEUED}'\", SAME_ATTEMPT, SAME_DISPATCH]"
_TOLD = (EVIDENCE, "test_a_run_is_left_to_its_holder_until_that_tells_of_its_work_without_it")
_OF_ANOTHER_ATTEMPT = (EVIDENCE, "test_a_record_concludes_just_the_attempt_it_was_read_with")
_CAME_BACK = (RECONCILING, "test_a_run_whose_worker_came_back_is_left_alone")
_LISTS_AFTER_ALL = (
    RECONCILING,
    "test_an_attempt_that_its_worker_lists_after_all_is_not_abandoned",
)


def _always(reason: str, condition: str, killer: tuple[str, str]) -> Mutation:
    line = f"Reason.{reason}: {condition},"
    edit = Edit("reconciling.py", line, f'Reason.{reason}: "TRUE",')
    return Mutation(f"still holds: {reason}", (edit,), killer)


def _without(reason: str, line: str, part: str, killer: tuple[str, str]) -> Mutation:
    name = part.strip("(){}").replace("} OR {", " OR ")
    edit = weakened("reconciling.py", line, part)
    return Mutation(f"still holds: {reason}: {name}", (edit,), killer)


_LOST = 'Reason.WORKER_LOST: f"{HAS_NOT_RETURNED} AND {WORKER_IS_GONE}",'
_ABANDONED = 'Reason.ATTEMPT_ABANDONED: f"{HAS_NOT_RETURNED} AND {WORKER_DOES_NOT_LIST}",'
_TOO_MANY = "{HAS_NOT_RETURNED} AND ({WORKER_IS_GONE} OR {WORKER_DOES_NOT_LIST})"

OF_VERDICTS = (
    *among(
        "a verdict",
        "reconciling.py",
        _SEEN_STATE,
        {
            "SAME_ATTEMPT": ANYTHING_ELSE,
            "SAME_DISPATCH": ANYTHING_ELSE,
            "SAME_MESSAGE": ANYTHING_ELSE,
        },
    ),
    *among(
        "a sighting",
        "reconciling.py",
        _PUT_OFF,
        {"SAME_ATTEMPT": ANYTHING_ELSE, "SAME_DISPATCH": ANYTHING_ELSE},
    ),
    Mutation(
        "a verdict on a queued run: NOT_IN_HAND",
        (Edit("reconciling.py", "guards = (*guards, NOT_IN_HAND)", "guards = (*guards,)"),),
        LEFT_TO_IT,
    ),
    *among(
        "a conclusion",
        "concluding.py",
        "guards=(SAME_ATTEMPT, SAME_DISPATCH, ",
        {
            "SAME_ATTEMPT": _OF_ANOTHER_ATTEMPT,
            "SAME_DISPATCH": _OF_ANOTHER_ATTEMPT,
        },
    ),
    Mutation(
        "a conclusion: NOT_IN_HAND",
        (Edit("concluding.py", "OR {NOT_IN_HAND})", "OR TRUE)"),),
        (EVIDENCE, "test_a_run_in_a_live_workers_hands_is_not_concluded_over_its_head"),
    ),
    *(
        Mutation(f"what a live worker holds: {part}", (Edit("reserving.py", part, "TRUE"),), _TOLD)
        for part in (
            "known.listed_at > lastword_run.held_at + {BEGIN_WITHIN_MS}",
            "REPLACE(known.working, lastword_run.id, '') = known.working",
        )
    ),
    _always(
        "STALE_QUEUED", "_PAST_STALE", (EVIDENCE, "test_a_queued_run_is_stale_only_once_it_is")
    ),
    _always(
        "STALE_RUNNING",
        "_PAST_STALE",
        (RECONCILING, "test_a_running_run_inside_its_limit_is_never_closed_as_stale"),
    ),
    _always(
        "QUEUE_WAIT_EXCEEDED",
        "_PAST_WAIT",
        (RECONCILING, "test_a_run_is_closed_for_waiting_too_long_only_when_it_has"),
    ),
    _always(
        "CANCEL_IGNORED",
        'f"cancel_requested_at <= {{now}} - {CANCEL_BOUND_MS}"',
        (EVIDENCE, "test_an_attempt_gets_its_time_to_stop"),
    ),
    _without("WORKER_LOST", _LOST, "{HAS_NOT_RETURNED}", NEEDS_NO_WORKER),
    _without("WORKER_LOST", _LOST, "{WORKER_IS_GONE}", _CAME_BACK),
    _without("ATTEMPT_ABANDONED", _ABANDONED, "{HAS_NOT_RETURNED}", NEEDS_NO_WORKER),
    _without("ATTEMPT_ABANDONED", _ABANDONED, "{WORKER_DOES_NOT_LIST}", _LISTS_AFTER_ALL),
    _without("TOO_MANY_DELIVERIES", _TOO_MANY, "{HAS_NOT_RETURNED}", NEEDS_NO_WORKER),
    _without(
        "TOO_MANY_DELIVERIES",
        _TOO_MANY,
        "({WORKER_IS_GONE} OR {WORKER_DOES_NOT_LIST})",
        LISTED,
    ),
)

_OPEN = 'if row["children_open"] == 0 and row["returned_at"] is not None'
_GATHER = "guards=(HAS_RETURNED, NO_CHILD_IS_OPEN),"
_ADOPT = '"WHERE id = item_run_id AND completed_at IS NULL",'
_COUNT_OFF = 'AS item WHERE id = item_run_id AND completed_at IS NULL "\n        "RETURNING'

OF_PARENTS_AND_OPERATORS = (
    Mutation(
        "gather: HAS_RETURNED",
        (
            weakened("children.py", _OPEN, 'row["returned_at"] is not None'),
            weakened("moves.py", _GATHER, "HAS_RETURNED"),
        ),
        (EVIDENCE, "test_a_parent_still_at_work_does_not_end_with_its_last_child"),
    ),
    Mutation(
        "gather: NO_CHILD_IS_OPEN",
        (
            weakened("children.py", _OPEN, 'row["children_open"] == 0'),
            weakened("moves.py", _GATHER, "NO_CHILD_IS_OPEN"),
        ),
        (EVIDENCE, "test_a_run_with_two_open_children_does_not_end_with_the_first"),
    ),
    Mutation(
        "adopt: completed_at IS NULL",
        (weakened("children.py", _ADOPT, "completed_at IS NULL"),),
        NO_MORE_CHILDREN,
    ),
    Mutation(
        "count off: completed_at IS NULL",
        (weakened("children.py", _COUNT_OFF, "completed_at IS NULL"),),
        NO_MORE_CHILDREN,
        REFUSED_BY_THE_DATABASE,
    ),
    Mutation(
        "cancel a queued run: NOT_IN_HAND",
        (
            Edit(
                "cancelling.py",
                "_cancel(CANCEL_QUEUED, NOT_IN_HAND)",
                '_cancel(CANCEL_QUEUED, "TRUE")',
            ),
        ),
        (GUARDS, "test_a_cancelled_run_is_not_one_that_a_worker_may_have_begun"),
    ),
    Mutation(
        "cancel a waiting run: HAS_RETURNED",
        (
            Edit(
                "cancelling.py",
                "_cancel(CANCEL_WAITING, HAS_RETURNED)",
                '_cancel(CANCEL_WAITING, "TRUE")',
            ),
        ),
        (EVIDENCE, "test_a_parent_is_asked_to_stop_while_it_works_and_ended_while_it_waits"),
    ),
    Mutation(
        "ask to stop: not asked before",
        (Edit("cancelling.py", 'f"AND cancel_requested_at IS NULL "', '" "'),),
        (
            RECONCILING,
            "test_a_queued_run_is_cancelled_at_once_and_a_running_one_asked_to_stop",
        ),
    ),
    Mutation(
        "leases: a worker that was ended has none",
        (Edit("leases.py", "known.ended_at IS NULL AND ", "", times=3),),
        (EVIDENCE, "test_a_worker_that_was_ended_has_no_lease_whatever_is_left_of_it"),
    ),
    Mutation(
        "leases: one that has run out is none",
        (Edit("leases.py", " AND known.lease_until > {now}", "", times=3),),
        (GUARDS, "test_a_worker_whose_lease_has_run_out_reserves_nothing"),
    ),
    Mutation(
        "renewal: a worker that was ended gets none",
        (Edit("workers.py", "WHERE id = {param} AND ended_at IS NULL", "WHERE id = {param}", 2),),
        (EVIDENCE, "test_a_worker_that_was_ended_cannot_renew_its_lease"),
    ),
)
