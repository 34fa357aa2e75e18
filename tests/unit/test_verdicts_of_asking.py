"""Verdicts on what was asked to stop, waits for its children, or is in somebody's hands."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lastword.policy import OnLoss
from lastword.reasons import Reason
from lastword.service.reconciling import CANCEL_BOUND_MS
from lastword.states import Outcome
from lastword_scheduler.probe import MessageState
from lastword_scheduler.verdicts import Action
from tests.support import policy
from tests.unit.test_verdicts import ALIVE, queued, running, verdict

GONE = replace(ALIVE, lease="expired")
BOUND_S = CANCEL_BOUND_MS / 1000


def test_a_run_that_waits_for_its_children_needs_no_worker_inside_its_limit() -> None:
    for worker in (GONE, replace(ALIVE, lists_run=False), replace(ALIVE, lease="ended")):
        assert verdict(running(worker, waits_for_children=True)) == (Action.LEAVE, None)
    late = running(ALIVE, waits_for_children=True, is_past_stale=True)
    assert verdict(late) == (Action.CLOSE, Reason.STALE_RUNNING)
    assert late.threshold_s == policy().max_queue_wait + policy().running_stale_after


def test_an_attempt_that_was_asked_to_stop_is_ended_once_its_time_to_do_so_is_over() -> None:
    assert verdict(running(ALIVE, cancel_age_s=BOUND_S - 1)) == (Action.LEAVE, None)
    ignored = running(ALIVE, cancel_age_s=BOUND_S + 1)
    assert verdict(ignored) == (Action.CLOSE, Reason.CANCEL_IGNORED)


def test_a_lost_attempt_that_was_asked_to_stop_is_not_tried_again() -> None:
    assert verdict(running(GONE, cancel_age_s=1.0)) == (Action.CLOSE, Reason.WORKER_LOST)


def test_a_run_that_waits_and_was_asked_to_stop_is_cancelled_whatever_became_of_its_message() -> (
    None
):
    for state in MessageState:
        decided = queued(state, cancel_age_s=0.5)
        assert verdict(decided) == (Action.CANCEL, Reason.CANCELLED_BY_OPERATOR)


@pytest.mark.parametrize("state", list(MessageState))
def test_a_run_that_a_live_worker_took_just_now_is_left_to_it_whatever_the_broker_says(
    state: MessageState,
) -> None:
    held = queued(
        state, holder_is_alive=False, is_in_hand=True, cancel_age_s=0.5, is_past_wait=True
    )
    assert verdict(held) == (Action.LEAVE, None)


def test_a_run_that_a_live_worker_holds_is_left_to_it_until_its_threshold() -> None:
    held = queued(MessageState.GONE, holder="w-1", holder_is_live=True)
    assert verdict(held) == (Action.LEAVE, None)
    late = queued(MessageState.GONE, holder="w-1", holder_is_live=True, is_past_stale=True)
    assert verdict(late) == (Action.REDISPATCH, Reason.MESSAGE_LOST)


def test_a_loss_that_nobody_saw_counts_with_the_first_that_was_seen() -> None:
    assert running(GONE, lost_deliveries=1, probation=0).action is Action.REDISPATCH
    suspected = running(GONE, lost_deliveries=1, probation=1)
    assert verdict(suspected) == (Action.CLOSE, Reason.TOO_MANY_DELIVERIES)


@pytest.mark.parametrize(
    ("partial", "processed", "outcome"),
    [
        (True, 1, Outcome.PARTIALLY_SUCCEEDED),
        (True, 0, Outcome.FAILED),
        (False, 1, Outcome.FAILED),
    ],
)
def test_a_lost_attempt_succeeded_in_part_only_where_its_policy_says_so_and_it_did_something(
    partial: bool, processed: int, outcome: Outcome
) -> None:
    failing = policy(partial_on_loss=partial, on_worker_lost=OnLoss.FAIL.value)
    lost = running(GONE, policy=failing, counts={"processed": processed})
    assert lost.outcome is outcome
