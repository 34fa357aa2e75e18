"""Every verb of the service in a story of its own: what comes before it, and what it is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lastword.identity import RunId, WorkerId
from lastword.reasons import Reason
from lastword.service.concluding import Conclusion
from lastword.service.requests import Denial, NewRun
from lastword.service.values import (
    AttemptEnd,
    Barred,
    Beginning,
    Delivery,
    PutOff,
    Recorded,
    Rejection,
    Retry,
    Sending,
    Sighting,
    Verdict,
)
from lastword.service.workers import NewWorker
from lastword.states import Outcome, Source, Status
from lastword.storage.clock import now_ms
from tests.support import Scene, policy

DENIAL = Denial(Reason.WRITE_GATE_BLOCKED, "it may not")


@dataclass(frozen=True, slots=True)
class Case:
    """One run and one worker, for one telling of a story."""

    scene: Scene
    run_id: RunId
    worker_id: WorkerId

    @property
    def delivery(self) -> Delivery:
        """The first sending of the run."""
        return Delivery(self.run_id, 1)

    def new(self, **fields: Any) -> NewRun:
        """The request for the run."""
        return NewRun(self.run_id, policy(), "build_report", "{}", **fields)

    def end(self, outcome: Outcome, reason: Reason | None = None) -> AttemptEnd:
        """The end of the first attempt."""
        return AttemptEnd(self.run_id, 1, self.worker_id, outcome, reason)

    def beginning(self) -> Beginning:
        """The start of the first attempt."""
        return Beginning(self.run_id, 1, 1, self.worker_id)

    def verdict(self, status: Status, reason: Reason) -> Verdict:
        """What is concluded of the run as it stands."""
        charged = status is Status.RUNNING
        return Verdict(self.run_id, status, int(charged), 1, reason, {}, charged=charged)


Story = Callable[[Case], object]


def _lost(case: Case) -> None:
    case.scene.workers.lose(case.worker_id, cause={})


def _kept(recorded: Any) -> None:
    # However often its end is told, an attempt is told in time.
    assert set(recorded.values()) <= {Recorded.MOVED, Recorded.ALREADY}, recorded


def _claim(case: Case) -> None:
    [answer] = case.scene.runs.claim([case.delivery], worker_id=case.worker_id)
    assert (answer.attempt, answer.refusal) == (1, None)


def _reserve(case: Case) -> None:
    [answer] = case.scene.runs.reserve([case.delivery], worker_id=case.worker_id)
    assert (answer.attempt, answer.refusal) == (1, None)


def _retry(case: Case) -> None:
    told = Retry(case.run_id, 1, case.worker_id, 0.0, 1, Reason.THROTTLED)
    assert case.scene.runs.retry([told]) == {case.run_id: 2}


def _defer(case: Case) -> None:
    told = PutOff(case.run_id, 1, case.worker_id, 1.0, 60.0, Reason.THROTTLED)
    assert case.scene.runs.defer([told]) == {case.run_id: 2}


def _cancelled(case: Case) -> None:
    end = case.end(Outcome.CANCELLED, Reason.CANCELLED_BY_OPERATOR)
    _kept(case.scene.runs.cancelled([end]))


def _accept(case: Case) -> None:
    [answer] = case.scene.runs.accept([case.new()])
    assert answer.run_id == case.run_id


def _sent(case: Case) -> None:
    assert case.scene.runs.sent([Sending(case.run_id, 1, "default", f"ref of {case.run_id}")])


def _boot(case: Case) -> None:
    worker = NewWorker(case.worker_id, host="host", pid=1, version="1", threads=8, broker_id=None)
    case.scene.workers.boot(worker, lease_ttl_s=60)


def _heartbeat(case: Case) -> None:
    assert case.scene.workers.heartbeat(case.worker_id, lease_ttl_s=60, working=[case.run_id])


def _run_out(case: Case) -> None:
    case.scene.workers.renew(case.worker_id, lease_ttl_s=-1)


def _conclude(case: Case) -> None:
    told = Conclusion(case.run_id, 1, 1, Source.ADAPTER, Outcome.SUCCEEDED, None, {})
    case.scene.runs.conclude([told])


#: Of `RunService`: by verb, what has to have happened, and its call.
OF_RUNS: dict[str, tuple[tuple[Story, ...], Story]] = {
    "accept": ((), _accept),
    "refuse": ((), lambda case: case.scene.runs.refuse([case.new(denial=DENIAL)])),
    "keep_policies": ((_accept,), lambda case: case.scene.runs.keep_policies([policy()])),
    "sent": ((_accept,), _sent),
    "reserve": ((_accept,), _reserve),
    "release": (
        (_accept, _reserve),
        lambda case: case.scene.runs.release([case.delivery], worker_id=case.worker_id),
    ),
    "message_refs": ((_accept, _sent), lambda case: case.scene.runs.message_refs([case.run_id])),
    "disown": (
        (_accept, _sent),
        lambda case: case.scene.runs.disown([case.delivery], message_ref=f"ref of {case.run_id}"),
    ),
    "claim": ((_accept,), _claim),
    "begin": ((_accept, _reserve), lambda case: case.scene.runs.begin([case.beginning()])),
    "begin_and_finish": (
        (_accept, _reserve),
        lambda case: _kept(
            case.scene.runs.begin_and_finish([(case.beginning(), case.end(Outcome.SUCCEEDED))])
        ),
    ),
    "finish": (
        (_accept, _claim),
        lambda case: _kept(case.scene.runs.finish([case.end(Outcome.SUCCEEDED)])),
    ),
    "decline": (
        (_accept, _claim),
        lambda case: _kept(
            case.scene.runs.decline([case.end(Outcome.BLOCKED, Reason.WRITE_GATE_BLOCKED)])
        ),
    ),
    "fail": (
        (_accept, _claim),
        lambda case: _kept(
            case.scene.runs.fail([case.end(Outcome.FAILED, Reason.RETRIES_EXHAUSTED)])
        ),
    ),
    "cancelled": (
        (_accept, _claim, lambda case: case.scene.runs.cancel([case.run_id], by="ada")),
        _cancelled,
    ),
    "retry": ((_accept, _claim), _retry),
    "defer": ((_accept, _claim), _defer),
    "reject": (
        (_accept,),
        lambda case: case.scene.runs.reject([Rejection(case.run_id, 1, Reason.AGE_LIMIT_EXCEEDED)]),
    ),
    "reject_message": (
        (_accept, _sent),
        lambda case: case.scene.runs.reject_message(
            message_queue="default",
            message_ref=f"ref of {case.run_id}",
            reason=Reason.UNDECODABLE_MESSAGE,
            worker_id=case.worker_id,
        ),
    ),
    "block": (
        (_accept,),
        lambda case: case.scene.runs.block([Barred(case.run_id, 1, case.worker_id, DENIAL)]),
    ),
    "cancel": ((_accept,), lambda case: case.scene.runs.cancel([case.run_id], by="ada")),
    "is_asked_to_stop": (
        (_accept, _claim),
        lambda case: case.scene.runs.is_asked_to_stop(case.run_id),
    ),
    "redispatch": (
        (_accept, _claim, _lost),
        lambda case: case.scene.runs.redispatch([case.verdict(Status.RUNNING, Reason.WORKER_LOST)]),
    ),
    "close": (
        (_accept, _claim, _lost),
        lambda case: case.scene.runs.close([case.verdict(Status.RUNNING, Reason.WORKER_LOST)]),
    ),
    "put_off": (
        (_accept,),
        lambda case: case.scene.runs.put_off([Sighting(case.run_id, 0, 1, {})]),
    ),
    "conclude": ((_accept, _claim), _conclude),
}

#: Of `WorkerService`, as above; `boot` is the second boot of the same worker.
OF_WORKERS: dict[str, tuple[tuple[Story, ...], Story]] = {
    "boot": ((_accept,), _boot),
    "heartbeat": ((_accept, _claim), _heartbeat),
    "renew": ((_accept,), lambda case: case.scene.workers.renew(case.worker_id, lease_ttl_s=60)),
    "end": ((_accept, _claim), lambda case: case.scene.workers.end(case.worker_id)),
    "lose": ((_accept, _claim), _lost),
    "lose_expired": (
        (_accept, _claim, _run_out),
        lambda case: case.scene.workers.lose_expired(now_ms(case.scene.ledger)),
    ),
    "unrescued": ((_accept, _lost), lambda case: case.scene.workers.unrescued()),
    "rescued": ((_accept, _lost), lambda case: case.scene.workers.rescued([case.worker_id])),
}
