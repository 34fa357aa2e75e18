"""Every verb in any order: whatever happens, each run gets one honest last word, in time.

The clock is the database's and only passes when it is told to; see `picture.inject_clock`.
"""

from __future__ import annotations

from collections import Counter

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import MultipleResults, multiple, rule, run_state_machine_as_test

from lastword.identity import RunId, WorkerId
from lastword.reasons import Reason
from lastword.service.cancelling import Cancelled
from lastword.service.requests import Acceptance
from lastword.service.values import Delivery, Recorded, Refusal, Rejection, Sighting, Verdict
from lastword.states import Status
from lastword.storage.ledger import Ledger
from lastword.storage.opening import open_ledger
from lastword_scheduler.probe import MessageState
from tests.faults.judging import Step
from tests.faults.life import LEASE_TTL_S, deliveries, verdicts, workers
from tests.faults.picture import inject_clock
from tests.faults.working import Working

#: The verdicts that a reconciler may write on a run in a state, whatever it takes itself to have
#: seen. Others come from a domain's own record, which is not guessed here.
CLOSING = {
    Status.QUEUED: [Reason.STALE_QUEUED, Reason.QUEUE_WAIT_EXCEEDED, Reason.MESSAGE_LOST],
    Status.RUNNING: [
        Reason.STALE_RUNNING,
        Reason.WORKER_LOST,
        Reason.ATTEMPT_ABANDONED,
        Reason.CANCEL_IGNORED,
        Reason.TOO_MANY_DELIVERIES,
    ],
}
SENDING_AGAIN = {
    Status.QUEUED: [Reason.MESSAGE_LOST, Reason.MESSAGE_STRANDED],
    Status.RUNNING: [Reason.WORKER_LOST, Reason.ATTEMPT_ABANDONED],
}

#: Milliseconds: within a hold, just at its end, past a lease, past a hold's and a run's limits.
MOMENTS_MS = [1, 900, 4_000, 4_001, 10_001, 20_001, 30_001]

#: What the service itself may answer; the other refusals are the middleware's.
REFUSALS = set(Refusal) - {Refusal.UNACCEPTABLE, Refusal.TAMPERED, Refusal.BLOCKED}


class AnyOrder(Working):
    """With those who act from outside: reconcilers, operators, supervisors, time."""

    @rule(worker_id=workers, everything=st.sampled_from([True, True, False]))
    def heartbeat(self, worker_id: WorkerId, everything: bool) -> None:
        self._beat(worker_id, everything=everything)

    def _beat(self, worker_id: str, *, everything: bool = True) -> None:
        working = [
            RunId(run_id)
            for run_id, row in self.seen.runs.items()
            if everything and row["worker_id"] == worker_id
        ]
        self.act(
            Step("heartbeat"),
            lambda: self.workers.heartbeat(
                WorkerId(worker_id),
                lease_ttl_s=LEASE_TTL_S,
                working=working,
                listed_at_ms=self.seen.now,
            ),
        )

    @rule(worker_id=workers, goes=st.sampled_from(["in order", "by a signal", "unseen"]))
    def die(self, worker_id: WorkerId, goes: str) -> None:
        if goes == "in order":
            self.act(Step("end"), lambda: self.workers.end(worker_id))
        elif goes == "by a signal":
            self.act(Step("lose"), lambda: self.workers.lose(worker_id, cause={"seen": goes}))
        else:
            self.act(Step("lose_expired"), lambda: self.workers.lose_expired(self.seen.now))

    @rule(milliseconds=st.sampled_from(MOMENTS_MS), quiet=st.sampled_from([False, False, True]))
    def wait(self, milliseconds: int, quiet: bool) -> None:
        self.fired["wait"] += 1
        self.pass_time(milliseconds)
        for worker_id, row in self.seen.workers.items():
            if not quiet and row["ended_at"] is None:
                self._beat(worker_id)

    @rule(target=verdicts, delivery=deliveries, data=st.data())
    def look(self, delivery: Delivery, data: st.DataObject) -> MultipleResults[Verdict]:
        run_id = delivery.run_id
        row = self.seen.runs.get(run_id)
        if row is None or row["status"] == Status.COMPLETED:
            return multiple()
        status = Status(row["status"])
        reason = data.draw(st.sampled_from(CLOSING[status] + SENDING_AGAIN[status]))
        return multiple(
            Verdict(
                run_id,
                status,
                row["attempt"],
                row["dispatch"],
                reason,
                {},
                message_ref=row["message_ref"],
                charged=status is Status.RUNNING,
            )
        )

    @rule(target=deliveries, verdict=verdicts, closes=st.booleans())
    def write_verdict(self, verdict: Verdict, closes: bool) -> MultipleResults[Delivery]:
        if closes or verdict.reason not in SENDING_AGAIN[verdict.status]:
            self.act(self._step_of("close", verdict), lambda: self.service.close([verdict]))
            return multiple()
        step = self._step_of("redispatch", verdict)
        sent = self.act(step, lambda: self.service.redispatch([verdict]))
        self.fired["sent again"] += len(sent)
        return multiple(*(Delivery(item.run_id, item.dispatch) for item in sent))

    def _step_of(self, name: str, verdict: Verdict) -> Step:
        return Step(
            name,
            frozenset({verdict.run_id}),
            (verdict.run_id, verdict.attempt),
            is_outsider=True,
        )

    @rule(verdict=verdicts)
    def put_off(self, verdict: Verdict) -> None:
        sighting = Sighting(verdict.run_id, verdict.attempt, verdict.dispatch, {})
        self.act(Step("put_off"), lambda: self.service.put_off([sighting]))

    @rule(
        target=deliveries,
        state=st.sampled_from([MessageState.READY, MessageState.UNREACHABLE, MessageState.GONE]),
    )
    def sweep(self, state: MessageState) -> MultipleResults[Delivery]:
        self.broker.state = state
        self.broker.sent.clear()
        self.sweep_once()
        return multiple(*self.broker.sent)

    @rule(delivery=deliveries, by=st.sampled_from(["operator", "operator", "queue"]))
    def give_up(self, delivery: Delivery, by: str) -> None:
        if by == "queue":
            self._reject(delivery)
        else:
            self._cancel(delivery.run_id)

    def _cancel(self, run_id: RunId) -> None:
        step = Step("cancel", frozenset({run_id}), is_outsider=True)
        for answer in self.act(step, lambda: self.service.cancel([run_id], by="ada")).values():
            self.fired[f"cancel: {answer}"] += 1

    def _reject(self, delivery: Delivery) -> None:
        rejection = Rejection(delivery.run_id, delivery.dispatch, Reason.AGE_LIMIT_EXCEEDED)
        row = self.seen.runs.get(delivery.run_id)
        step = Step("reject", frozenset({delivery.run_id}))
        for _ in self.act(step, lambda: self.service.reject([rejection])):
            self.fired["a delivery ended its run"] += 1
            assert row is not None
            assert (row["status"], row["dispatch"]) == ("queued", delivery.dispatch)


def live(ledger: Ledger, *, lives: int) -> Counter[str]:
    """Lead many lives on one ledger; how often each rule fired and each answer was given."""
    inject_clock(ledger)
    fired: Counter[str] = Counter()
    run_state_machine_as_test(
        # Its own documentation allows whatever makes a machine.
        lambda: AnyOrder(ledger, fired),  # type: ignore[arg-type]
        settings=settings(
            max_examples=lives,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            database=None,
            # To shrink a life of 40 steps takes minutes; what failed is told in full as it is.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    return fired


def test_whatever_happens_every_run_gets_one_honest_last_word(sqlite_ledger: Ledger) -> None:
    fired = live(sqlite_ledger, lives=200)
    rules = {
        *[
            "accept",
            "boot",
            "sent",
            "reserve",
            "release",
            "begin",
            "claim",
            "finish",
            "fail",
            "cancelled",
            "retry",
        ]
    }
    rules |= {
        *[
            "reject",
            "heartbeat",
            "end",
            "lose",
            "lose_expired",
            "wait",
            "close",
            "redispatch",
            "put_off",
        ]
    }
    assert {*rules, "sweep", "cancel"} - {*fired} == set()
    assert {f"recorded: {value}" for value in Recorded} - {*fired} == set()
    assert {f"refused: {value}" for value in REFUSALS} - {*fired} == set()
    assert {f"cancel: {value}" for value in Cancelled} - {*fired} == set()
    assert {Acceptance.ACCEPTED, Acceptance.DEDUPED} - {*fired} == set()
    assert fired["a start was recorded after the fact"]
    assert fired["went back to the queue"]
    assert fired["a delivery ended its run"]


def test_whatever_happens_on_postgresql_too(new_postgres_url: str) -> None:
    ledger = open_ledger(new_postgres_url)
    try:
        assert live(ledger, lives=25)["recorded: moved"]
    finally:
        ledger.close()
