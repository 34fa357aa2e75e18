"""The table of evidence and verdicts, row by row: what a reconciler does and never does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lastword.identity import RunId
from lastword.policy import OnLoss
from lastword.reasons import Reason
from lastword.states import Status
from lastword_scheduler.candidates import Candidate, WorkerEvidence
from lastword_scheduler.contact import Contact
from lastword_scheduler.probe import MessageEvidence, MessageState
from lastword_scheduler.verdicts import Action, Decision, decide
from tests.support import policy

ALIVE = WorkerEvidence("w-1", lease="live", lists_run=True, listed_after_s=60.0)

QUEUED = Candidate(
    run_id=RunId("r-1"),
    operation="report.build",
    status=Status.QUEUED,
    attempt=0,
    dispatch=1,
    lost_deliveries=0,
    message_queue="default",
    message_ref="ref-1",
    policy=policy(),
    age_s=10.0,
    sent_age_s=10.0,
    is_past_stale=False,
    is_past_wait=False,
    worker=None,
)


def queued(
    state: MessageState,
    *,
    holder_is_alive: bool = True,
    leases_tell: bool = True,
    **changes: Any,
) -> Decision:
    holder = "w-1" if state is MessageState.HELD else None
    return decide(
        replace(QUEUED, **changes),
        MessageEvidence(state, holder),
        holder_is_alive=holder_is_alive,
        heartbeat_interval_s=2.0,
        leases_tell=leases_tell,
    )


def running(worker: WorkerEvidence, *, leases_tell: bool = True, **changes: Any) -> Decision:
    run = replace(QUEUED, status=Status.RUNNING, attempt=1, worker=worker, **changes)
    return decide(
        run, None, holder_is_alive=False, heartbeat_interval_s=2.0, leases_tell=leases_tell
    )


def verdict(decision: Decision) -> tuple[Action, Reason | None]:
    return decision.action, decision.reason


@pytest.mark.parametrize("state", [MessageState.READY, MessageState.HELD, MessageState.UNKNOWN])
def test_a_run_that_waits_inside_its_limits_is_left_alone(state: MessageState) -> None:
    assert verdict(queued(state)) == (Action.LEAVE, None)


def test_a_run_that_waits_in_a_real_backlog_is_never_called_lost() -> None:
    assert verdict(queued(MessageState.READY, is_past_stale=True)) == (Action.PUT_OFF, None)


def test_a_message_in_the_hold_of_a_dead_worker_is_released() -> None:
    held = queued(MessageState.HELD, holder_is_alive=False)
    assert verdict(held) == (Action.RELEASE, None)


def test_a_message_that_a_live_worker_holds_for_too_long_is_sent_again() -> None:
    held = queued(MessageState.HELD, is_past_stale=True)
    assert verdict(held) == (Action.REDISPATCH, Reason.MESSAGE_STRANDED)


def test_a_message_that_is_gone_is_sent_again_or_failed_by_policy() -> None:
    gone = queued(MessageState.GONE)
    assert verdict(gone) == (Action.REDISPATCH, Reason.MESSAGE_LOST)
    failing = policy(on_message_lost="fail")
    gone = queued(MessageState.GONE, policy=failing, sent_age_s=31.0)
    assert verdict(gone) == (Action.CLOSE, Reason.MESSAGE_LOST)


def test_a_run_is_not_failed_over_a_message_that_may_still_be_on_its_way() -> None:
    failing = policy(on_message_lost="fail")
    slow = queued(MessageState.GONE, policy=failing, sent_age_s=29.0)
    assert verdict(slow) == (Action.LEAVE, None)


@pytest.mark.parametrize("lease", ["expired", "unknown"])
def test_after_an_outage_of_the_ledger_an_expired_lease_tells_nothing_yet(lease: str) -> None:
    silent = replace(ALIVE, lease=lease)
    assert verdict(running(silent, leases_tell=False)) == (Action.LEAVE, None)
    ended = replace(ALIVE, lease="ended")
    assert verdict(running(ended, leases_tell=False)) == (Action.REDISPATCH, Reason.WORKER_LOST)


def test_after_an_outage_a_run_is_not_taken_from_whoever_holds_it() -> None:
    for late in ({"is_past_stale": True}, {"is_past_wait": True}, {"cancel_age_s": 60.0}):
        held = queued(
            MessageState.HELD, leases_tell=False, holder="w-1", holder_is_silent=True, **late
        )
        assert held.action is Action.LEAVE
        assert held.evidence["held_by"] == "w-1"


def test_leases_tell_once_the_ledger_has_taken_writes_for_as_long_as_one_lives() -> None:
    contact = Contact(9.0)
    assert not contact.leases_tell(0)
    heard = []
    for moment in (1000, 4000, 7000, 9900, 10_000):
        contact.wrote(moment)
        heard.append(contact.leases_tell(moment))
    assert heard == [False, False, False, False, True]
    contact.lost()
    contact.wrote(10_000)
    assert not contact.leases_tell(10_000)


def test_leases_tell_nothing_after_a_gap_of_two_thirds_of_one() -> None:
    contact = Contact(9.0)
    for moment in (0, 6000, 12_000):
        contact.wrote(moment)
    assert contact.leases_tell(18_000)
    # Nothing was written lately: a process that was paused, a ledger that hangs, its host asleep.
    assert not contact.leases_tell(18_001)
    # What was read just before the last write is no gap.
    assert contact.leases_tell(11_999)
    contact.wrote(18_001)
    assert not contact.leases_tell(18_001)


def test_leases_tell_nothing_after_the_ledgers_clock_went_back() -> None:
    contact = Contact(9.0)
    for moment in (0, 5000, 10_000, 9_999):
        contact.wrote(moment)
    assert not contact.leases_tell(10_000)


def test_contact_is_kept_for_as_long_as_a_lease_lives() -> None:
    now = [0.0]
    contact = Contact(9.0, clock=lambda: now[0])
    assert not contact.is_kept
    contact.wrote(1000)
    now[0] = 9.0
    assert contact.is_kept
    now[0] = 9.1
    assert not contact.is_kept


def test_a_dead_lettered_message_ends_its_run() -> None:
    dead = queued(MessageState.DEAD_LETTERED)
    assert verdict(dead) == (Action.CLOSE, Reason.MESSAGE_DEAD_LETTERED)


def test_without_any_evidence_the_threshold_rules() -> None:
    unknown = queued(MessageState.UNKNOWN, is_past_stale=True)
    assert verdict(unknown) == (Action.CLOSE, Reason.STALE_QUEUED)
    assert unknown.threshold_s == 20


def test_a_broker_that_does_not_answer_makes_no_run_stale() -> None:
    unreachable = queued(MessageState.UNREACHABLE, is_past_stale=True)
    assert verdict(unreachable) == (Action.LEAVE, None)


@pytest.mark.parametrize("state", list(MessageState))
def test_the_longest_wait_ends_a_run_whatever_the_broker_says(state: MessageState) -> None:
    waited = queued(state, is_past_stale=True, is_past_wait=True)
    assert verdict(waited) == (Action.CLOSE, Reason.QUEUE_WAIT_EXCEEDED)


def test_a_run_whose_worker_is_alive_and_works_on_it_is_left_alone() -> None:
    assert verdict(running(ALIVE)) == (Action.LEAVE, None)


def test_work_past_its_longest_time_is_ended() -> None:
    decision = running(ALIVE, is_past_stale=True)
    assert verdict(decision) == (Action.CLOSE, Reason.STALE_RUNNING)
    assert decision.threshold_s == 30


@pytest.mark.parametrize("lease", ["expired", "ended", "unknown"])
def test_a_run_whose_worker_is_gone_is_taken_back_or_failed_by_policy(lease: str) -> None:
    gone = replace(ALIVE, lease=lease)
    assert verdict(running(gone)) == (Action.REDISPATCH, Reason.WORKER_LOST)
    failing = policy(on_worker_lost=OnLoss.FAIL.value)
    assert verdict(running(gone, policy=failing)) == (Action.CLOSE, Reason.WORKER_LOST)
    assert running(gone).charged


def test_a_run_that_kills_its_workers_is_delivered_so_often_and_no_more() -> None:
    gone = replace(ALIVE, lease="expired")
    assert running(gone, lost_deliveries=1).action is Action.REDISPATCH
    last = running(gone, lost_deliveries=2)
    assert verdict(last) == (Action.CLOSE, Reason.TOO_MANY_DELIVERIES)
    assert last.evidence["losses"] == 3


def test_an_attempt_that_a_live_worker_no_longer_lists_is_abandoned_after_two_beats() -> None:
    silent = replace(ALIVE, lists_run=False)
    assert verdict(running(silent)) == (Action.REDISPATCH, Reason.ATTEMPT_ABANDONED)
    just_claimed = replace(silent, listed_after_s=3.9)
    assert verdict(running(just_claimed)) == (Action.LEAVE, None)


def test_every_decision_carries_what_it_rests_on() -> None:
    assert queued(MessageState.HELD).evidence == {
        "message": {"state": "held", "holder": "w-1", "holder_is_alive": True}
    }
    assert running(ALIVE).evidence["worker"]["lease"] == "live"
