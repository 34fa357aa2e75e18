"""The rules of those who start and do the work: applications, workers, their queue."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from hypothesis import strategies as st
from hypothesis.stateful import MultipleResults, initialize, multiple, precondition, rule

from lastword.identity import RunId, WorkerId, new_run_id, new_worker_id
from lastword.reasons import Reason
from lastword.service.requests import Acceptance, NewRun
from lastword.service.values import (
    AttemptEnd,
    Beginning,
    Delivery,
    Recorded,
    Reservation,
    Retry,
    Sending,
)
from lastword.service.workers import NewWorker
from lastword.states import Outcome
from tests.faults.judging import Step
from tests.faults.life import (
    LEASE_TTL_S,
    POLICIES,
    Attempt,
    Life,
    attempts,
    deliveries,
    reservations,
    workers,
)

#: What a worker says of the age of a start: true, or nonsense of a clock that jumped.
AGES_S = st.sampled_from([0.0, 0.5, 3.0, -7200.0, 7200.0, 1e6])

Report = Callable[[Sequence[AttemptEnd]], Mapping[RunId, Recorded]]


class Working(Life):
    """Everything that a worker, or whoever starts runs, may ask of the service."""

    @initialize(target=workers)
    def boot_the_first_workers(self) -> MultipleResults[WorkerId]:
        return multiple(self._boot(), self._boot())

    @initialize(target=deliveries)
    def start_the_first_runs(self) -> MultipleResults[Delivery]:
        return multiple(*(self._accept(policy=policy) for policy in POLICIES.values()))

    @precondition(lambda self: len(self.alive()) < 2)
    @rule(target=workers)
    def boot(self) -> WorkerId:
        return self._boot()

    def _boot(self) -> WorkerId:
        worker = NewWorker(
            new_worker_id(), host="host", pid=1, version="1", threads=8, broker_id=None
        )
        self.act(Step("boot"), lambda: self.workers.boot(worker, lease_ttl_s=LEASE_TTL_S))
        return worker.worker_id

    @precondition(lambda self: len(self.open_runs()) < 3)
    @rule(
        target=deliveries,
        operation=st.sampled_from(sorted(POLICIES)),
        identity=st.sampled_from(["same", None]),
        delay_s=st.sampled_from([0.0, 0.0, 20.0]),
    )
    def start(self, operation: str, identity: str | None, delay_s: float) -> Delivery:
        return self._accept(policy=POLICIES[operation], identity_hash=identity, delay_s=delay_s)

    @rule(target=deliveries, parent=attempts)
    def start_child(self, parent: Attempt) -> Delivery:
        return self._accept(policy=POLICIES["report.build"], parent_id=parent.run_id)

    def _accept(self, **fields: object) -> Delivery:
        run_id = new_run_id()
        request = NewRun(
            run_id=run_id,
            actor_name="build_report",
            payload=self.payload_of(run_id),
            message_queue="default",
            message_ref="first",
            **fields,  # type: ignore[arg-type]  # as its callers above name them
        )
        [accepted] = self.act(Step("accept"), lambda: self.service.accept([request]))
        self.fired[accepted.result] += 1
        assert (accepted.result is Acceptance.ACCEPTED) == (accepted.run_id == run_id)
        # The message of a request that was deduped may have been sent before that was known.
        return Delivery(run_id, 1)

    @rule(delivery=deliveries, ref=st.sampled_from(["first", "second"]))
    def send(self, delivery: Delivery, ref: str) -> None:
        sending = Sending(delivery.run_id, delivery.dispatch, "default", ref)
        self.act(Step("sent"), lambda: self.service.sent([sending]))

    @rule(
        target=reservations,
        fetched=st.lists(deliveries, min_size=1, max_size=3),
        worker_id=workers,
    )
    def fetch(self, fetched: list[Delivery], worker_id: WorkerId) -> MultipleResults[Reservation]:
        return multiple(*self._fetch(fetched, worker_id))

    def _fetch(self, fetched: list[Delivery], worker_id: WorkerId) -> list[Reservation]:
        before = self.seen
        answers = self.act(
            Step("reserve"), lambda: self.service.reserve(fetched, worker_id=worker_id)
        )
        for answer in answers:
            self.fired[f"refused: {answer.refusal}"] += 1
            if answer.refusal is None:
                self._require_free(before.runs[answer.run_id], answer.dispatch, worker_id)
                assert self.seen.runs[answer.run_id]["holder"] == worker_id
        return [answer for answer in answers if answer.refusal is None]

    @rule(reservation=reservations)
    def give_back(self, reservation: Reservation) -> None:
        assert reservation.worker_id is not None
        worker_id = reservation.worker_id
        delivery = Delivery(reservation.run_id, reservation.dispatch)
        self.act(Step("release"), lambda: self.service.release([delivery], worker_id=worker_id))

    @rule(target=attempts, delivery=deliveries, worker_id=workers, age_s=AGES_S)
    def fetch_and_begin(
        self, delivery: Delivery, worker_id: WorkerId, age_s: float
    ) -> MultipleResults[Attempt]:
        return multiple(*(self._begin(item, age_s) for item in self._fetch([delivery], worker_id)))

    @rule(target=attempts, reservation=reservations, age_s=AGES_S)
    def begin(self, reservation: Reservation, age_s: float) -> Attempt:
        return self._begin(reservation, age_s)

    def _begin(self, reservation: Reservation, age_s: float) -> Attempt:
        assert reservation.worker_id is not None
        beginning = Beginning(
            reservation.run_id,
            reservation.dispatch,
            reservation.attempt,
            reservation.worker_id,
            age_s,
        )
        before = self.seen
        row = before.runs[beginning.run_id]
        if row["holder"] == beginning.worker_id:
            self.judge.see_begin(before, beginning)
        step = Step("begin", frozenset({beginning.run_id}))
        if self.act(step, lambda: self.service.begin([beginning])):
            self.fired["a start was recorded after the fact"] += 1
            assert row["holder"] == beginning.worker_id
            assert (row["dispatch"], row["attempt"] + 1) == (
                beginning.dispatch,
                beginning.attempt,
            )
        # Recorded or not, it works on, and will report.
        return Attempt(beginning.run_id, beginning.attempt, beginning.worker_id, row["retries"])

    @rule(target=attempts, delivery=deliveries, worker_id=workers)
    def claim(self, delivery: Delivery, worker_id: WorkerId) -> MultipleResults[Attempt]:
        before = self.seen
        row = before.runs.get(delivery.run_id)
        if row is not None:
            self.judge.see_claim(before, delivery.run_id, row["attempt"] + 1)
        step = Step("claim", frozenset({delivery.run_id}))
        [answer] = self.act(step, lambda: self.service.claim([delivery], worker_id=worker_id))
        self.fired[f"refused: {answer.refusal}"] += 1
        if answer.refusal is not None:
            return multiple()
        assert row is not None
        if row["status"] == "queued":
            self._require_free(row, delivery.dispatch, worker_id)
        now = self.seen.runs[delivery.run_id]
        assert (now["status"], now["worker_id"], now["attempt"]) == (
            "running",
            worker_id,
            answer.attempt,
        )
        return multiple(Attempt(delivery.run_id, answer.attempt, worker_id, now["retries"]))

    def _require_free(self, row: Mapping[str, object], dispatch: int, worker_id: WorkerId) -> None:
        # I5, before the start: one live worker, the current delivery, nobody else's, not stopped.
        assert (row["status"], row["dispatch"]) == ("queued", dispatch)
        assert row["cancel_requested_at"] is None
        assert self.seen.is_alive(worker_id)
        assert row["holder"] in (None, worker_id) or not self.seen.is_alive(str(row["holder"]))

    @rule(
        attempt=attempts,
        outcome=st.sampled_from([Outcome.SUCCEEDED, Outcome.PARTIALLY_SUCCEEDED]),
    )
    def finish(self, attempt: Attempt, outcome: Outcome) -> None:
        end = AttemptEnd(attempt.run_id, attempt.number, attempt.worker_id, outcome)
        self.judge.hear(end)
        stood = self._is_current(attempt)
        recorded = self._report("finish", self.service.finish, attempt, end)
        assert (recorded in (Recorded.MOVED, Recorded.WAITING)) == stood

    @rule(attempt=attempts, was_asked=st.booleans())
    def break_off(self, attempt: Attempt, was_asked: bool) -> None:
        if was_asked:
            self._stop_as_asked(attempt)
        else:
            self._break_down(attempt)

    def _stop_as_asked(self, attempt: Attempt) -> None:
        end = AttemptEnd(
            attempt.run_id,
            attempt.number,
            attempt.worker_id,
            Outcome.CANCELLED,
            Reason.CANCELLED_BY_OPERATOR,
        )
        was_asked = self.seen.runs[attempt.run_id]["cancel_requested_at"] is not None
        recorded = self._report("cancelled", self.service.cancelled, attempt, end)
        assert recorded is not Recorded.MOVED or was_asked

    def _break_down(self, attempt: Attempt) -> None:
        end = AttemptEnd(
            attempt.run_id,
            attempt.number,
            attempt.worker_id,
            Outcome.FAILED,
            Reason.RETRIES_EXHAUSTED,
        )
        stood = self._is_current(attempt)
        recorded = self._report("fail", self.service.fail, attempt, end)
        assert recorded is Recorded.MOVED or not stood

    def _report(self, name: str, verb: Report, attempt: Attempt, end: AttemptEnd) -> Recorded:
        recorded = self.act(self._step(name, attempt), lambda: verb([end]))[end.run_id]
        self.fired[f"recorded: {recorded}"] += 1
        again = verb([end])[end.run_id]
        self.fired[f"recorded: {again}"] += 1
        assert (again is Recorded.LATE) == (recorded is Recorded.LATE)
        return recorded

    @rule(target=deliveries, attempt=attempts, delay_s=st.sampled_from([0.0, 20.0]))
    def retry(self, attempt: Attempt, delay_s: float) -> MultipleResults[Delivery]:
        wanted = Retry(
            attempt.run_id,
            attempt.number,
            attempt.worker_id,
            delay_s,
            attempt.retries + 1,
            Reason.THROTTLED,
        )
        dispatches = self.act(self._step("retry", attempt), lambda: self.service.retry([wanted]))
        for run_id, dispatch in dispatches.items():
            self.fired["went back to the queue"] += 1
            row = self.seen.runs[run_id]
            assert (row["status"], row["dispatch"]) == ("queued", dispatch)
        return multiple(*(Delivery(run_id, number) for run_id, number in dispatches.items()))

    def _is_current(self, attempt: Attempt) -> bool:
        row = self.seen.runs[attempt.run_id]
        theirs = (attempt.number, attempt.worker_id)
        works = row["status"] == "running" and row["returned_at"] is None
        return works and (row["attempt"], row["worker_id"]) == theirs

    def _step(self, name: str, attempt: Attempt) -> Step:
        return Step(name, frozenset({attempt.run_id}), attempt.key, attempt.worker_id)
