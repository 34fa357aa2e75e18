"""The guards of what is refused, put off or excluded; see `tests.faults.mutations`."""

from __future__ import annotations

from tests.faults.mutations import Edit, Mutation, among

LEGITIMACY = "tests/conformance/test_legitimacy.py"

_DEFER = "guards=(SAME_ATTEMPT, SAME_WORKER, HAS_NOT_RETURNED, NOT_ASKED_TO_STOP, _IN_TIME),"
_DECLINE = """"closed_by": f"'{Source.WORKER}'"},
    guards=(SAME_ATTEMPT, SAME_WORKER, HAS_NOT_RETURNED),"""
_BLOCK = "guards=(SAME_DISPATCH, MAY_HOLD),"
_ONLY_THE_CURRENT = (LEGITIMACY, "test_only_the_current_attempt_is_put_off")

OF_THE_GATE = (
    *among(
        "defer",
        "retrying.py",
        _DEFER,
        {
            "SAME_ATTEMPT": _ONLY_THE_CURRENT,
            "SAME_WORKER": _ONLY_THE_CURRENT,
            "HAS_NOT_RETURNED": (LEGITIMACY, "test_an_attempt_that_has_returned_is_not_put_off"),
            "NOT_ASKED_TO_STOP": (LEGITIMACY, "test_what_was_asked_to_stop_is_not_put_off"),
            "_IN_TIME": (LEGITIMACY, "test_a_run_is_put_off_for_as_long_as_its_policy_allows"),
        },
    ),
    *among(
        "decline",
        "ending.py",
        _DECLINE,
        {
            "SAME_ATTEMPT": (LEGITIMACY, "test_only_the_current_attempt_ends_a_run_as_blocked"),
            "SAME_WORKER": (LEGITIMACY, "test_only_the_current_attempt_ends_a_run_as_blocked"),
            "HAS_NOT_RETURNED": (
                LEGITIMACY,
                "test_an_attempt_that_has_returned_is_not_blocked_any_more",
            ),
        },
    ),
    *among(
        "block",
        "barring.py",
        _BLOCK,
        {
            "SAME_DISPATCH": (LEGITIMACY, "test_the_gate_ends_what_it_was_asked_about_and_no_more"),
            "MAY_HOLD": (LEGITIMACY, "test_what_another_worker_holds_is_not_the_gates"),
        },
    ),
    Mutation(
        "scope: among active runs",
        (
            Edit(
                "accepting.py",
                "OR (scope_key = item_scope_key AND completed_at IS NULL)",
                "OR scope_key = item_scope_key",
            ),
        ),
        (LEGITIMACY, "test_a_scope_is_free_again_once_its_run_has_ended"),
    ),
)
