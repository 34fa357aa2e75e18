"""The life of workers: boot, heartbeat, end, loss. The database's clock judges a lease."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from lastword.counts import Number
from lastword.identity import RunId, WorkerId
from lastword.logs import log_transition
from lastword.service.metering import Timed, observe
from lastword.storage.ledger import Ledger, Row, as_batch, as_json

#: Ended workers looked after with one sweep.
MOST_RESCUED = 200


class WorkerEnding(StrEnum):
    """How a worker's life ended."""

    STOPPED = "stopped"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class NewWorker:
    """One boot of a worker process, as it introduces itself."""

    worker_id: WorkerId
    host: str
    pid: int
    version: str
    threads: int
    broker_id: str | None
    queues: tuple[str, ...] = ()
    revision: str = ""
    shutdown_timeout_s: float = 0.0
    stop_wait_s: float = 0.0
    unsafe_timing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Beat:
    """The answer to a heartbeat.

    Attributes:
        at_ms: its moment by the ledger's clock.
        cancel: the runs of this worker, in work or held, that were asked to stop.
        saved: the runs whose progress is kept; one whose start is not recorded yet is missing.
        current: which of the listed runs it still has, begun or not, with the attempt's number.
        drain: whether somebody asked it to finish and end.
    """

    at_ms: int
    cancel: frozenset[RunId] = frozenset()
    saved: frozenset[RunId] = frozenset()
    current: Mapping[RunId, int] = field(default_factory=dict)
    drain: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """What an attempt has counted so far."""

    run_id: RunId
    attempt: int
    counts: Mapping[str, Number]


class WorkerService:
    """Writes the life of workers. See `RunService` for the life of runs."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._writing = Timed("heartbeat_write")

    def boot(self, worker: NewWorker, *, lease_ttl_s: float) -> None:
        """Register a worker with its first lease. Registering the same id twice does no harm."""
        now, param = self.ledger.dialect.now_ms, self.ledger.dialect.param
        with self.ledger.transaction():
            self.ledger.execute(
                "INSERT INTO lastword_worker (id, host, pid, version, broker_id, threads, queues, "
                "revision, shutdown_timeout_ms, stop_wait_ms, unsafe_timing, "
                "started_at, heartbeat_at, ticked_at, lease_until, working, listed_at) VALUES "
                f"({', '.join([param] * 11)}, {now}, {now}, {now}, {now} + {param}, '[]', 0) "
                "ON CONFLICT (id) DO NOTHING",
                worker.worker_id,
                worker.host,
                worker.pid,
                worker.version,
                worker.broker_id,
                worker.threads,
                as_batch(list(worker.queues)),
                worker.revision or None,
                int(worker.shutdown_timeout_s * 1000) or None,
                int(worker.stop_wait_s * 1000) or None,
                as_batch(list(worker.unsafe_timing)),
                int(lease_ttl_s * 1000),
            )
        log_transition("worker_booted", worker=worker.worker_id, host=worker.host, pid=worker.pid)

    def heartbeat(
        self,
        worker_id: WorkerId,
        *,
        lease_ttl_s: float,
        working: Sequence[RunId],
        listed_at_ms: int = 0,
        progress: Sequence[Progress] = (),
        draining: bool = False,
    ) -> Beat | None:
        """Renew a lease, list what is being worked on, and carry progress with it.

        Args:
            worker_id: the worker.
            lease_ttl_s: how long the lease lives from now, in seconds.
            working: the runs it works on.
            listed_at_ms: a moment by the ledger's clock before that list was drawn: what was
                claimed after it may be missing. 0 says nothing of any run.
            progress: what its attempts have counted.
            draining: whether it takes nothing new, because it was told to end.

        Returns:
            What it has to know; None if it was ended: it may start nothing, all it ends is late.
        """
        listed = (as_batch(list(working)), listed_at_ms)
        with self._writing, self.ledger.transaction():
            self._writing.observe_last(self.ledger)
            renewed = self._renewed(worker_id, int(lease_ttl_s * 1000), *listed, int(draining))
            if not renewed:
                return None
            saved = self._save(worker_id, progress)
            asked = self._asked_to_stop(worker_id)
            current = self._current(worker_id, working)
        drain = renewed[0]["drain_requested_at"] is not None
        return Beat(int(renewed[0]["heartbeat_at"]), asked, saved, current, drain)

    def renew(self, worker_id: WorkerId, *, lease_ttl_s: float) -> bool:
        """Renew a lease from beside the worker, whose process is seen to be alive.

        Says nothing of what it works on. False if the worker was ended.
        """
        now, param = self.ledger.dialect.now_ms, self.ledger.dialect.param
        with self.ledger.transaction():
            renewed = self.ledger.execute(
                f"UPDATE lastword_worker SET heartbeat_at = {now}, lease_until = {now} + {param} "
                f"WHERE id = {param} AND ended_at IS NULL RETURNING id",
                int(lease_ttl_s * 1000),
                worker_id,
            )
        return bool(renewed)

    def end(self, worker_id: WorkerId, *, cause: Mapping[str, Any] | None = None) -> None:
        """A worker has stopped by itself. Repeating it changes nothing.

        Args:
            worker_id: the worker.
            cause: what should be known of its end, if it was not in good order.
        """
        self._end("id = {param}", WorkerEnding.STOPPED, cause, worker_id)

    def lose(self, worker_id: WorkerId, *, cause: Mapping[str, Any]) -> bool:
        """A worker's process was seen to be gone; whether it was not ended already."""
        return bool(self._end("id = {param}", WorkerEnding.LOST, cause, worker_id))

    def lose_expired(self, at_ms: int) -> list[WorkerId]:
        """End every worker whose lease had run out at that moment of the ledger's clock."""
        cause = {"seen": "its lease ran out"}
        return self._end("lease_until <= {param}", WorkerEnding.LOST, cause, at_ms)

    def unrescued(self) -> list[Row]:
        """Workers that have ended, and whose messages the broker may still hold for them.

        Not those of a process that goes on as another worker: its messages are in its hands.
        """
        with self.ledger.session():
            return self.ledger.execute(
                "SELECT id, broker_id, queues FROM lastword_worker AS gone "
                "WHERE ended_at IS NOT NULL AND rescued_at IS NULL AND NOT EXISTS "
                "(SELECT 1 FROM lastword_worker AS other WHERE other.ended_at IS NULL "
                f"AND other.broker_id = gone.broker_id) ORDER BY id LIMIT {MOST_RESCUED}"
            )

    def rescued(self, worker_ids: Sequence[WorkerId]) -> None:
        """Nothing is left in the broker's hold of these workers."""
        with self.ledger.transaction():
            self.ledger.execute(
                f"UPDATE lastword_worker SET rescued_at = {self.ledger.dialect.now_ms} FROM "
                f"{self.ledger.dialect.batch({'id': 'text'})} AS item WHERE id = item_id",
                as_batch([{"id": worker_id} for worker_id in worker_ids]),
            )

    def _end(
        self,
        condition: str,
        ending: WorkerEnding,
        cause: Mapping[str, Any] | None,
        *parameters: str | int,
    ) -> list[WorkerId]:
        now, param = self.ledger.dialect.now_ms, self.ledger.dialect.param
        with self.ledger.transaction():
            ended = self.ledger.execute(
                f"UPDATE lastword_worker SET ended_at = {now}, ending = '{ending}', "
                f"cause = {param} "
                f"WHERE ended_at IS NULL AND {condition.format(now=now, param=param)} "
                "RETURNING id, host, pid, draining_at, ended_at",
                as_json(cause) if cause is not None else None,
                *parameters,
            )
            for row in ended:
                self._measure_exit(row, ending)
        for row in ended:
            log_transition(
                f"worker_{ending}",
                worker=row["id"],
                host=row["host"],
                pid=row["pid"],
                cause=dict(cause) if cause else None,
            )
        return [WorkerId(row["id"]) for row in ended]

    def _measure_exit(self, row: Row, ending: WorkerEnding) -> None:
        drained = ending is WorkerEnding.STOPPED and row["draining_at"] is not None
        # One that was told to end and was killed before it had: whatever stops it has no patience.
        killed = ending is WorkerEnding.LOST and row["draining_at"] is not None
        reason = "drained" if drained else "grace_exceeded" if killed else str(ending)
        self.ledger.measure("worker_exits", (reason,))
        if drained:
            drained_s = (row["ended_at"] - row["draining_at"]) / 1000
            observe(self.ledger, "worker_drain", (), drained_s)

    def _renewed(
        self, worker_id: WorkerId, lease_ms: int, working: str, listed_at_ms: int, draining: int
    ) -> list[Row]:
        now, param = self.ledger.dialect.now_ms, self.ledger.dialect.param
        return self.ledger.execute(
            f"UPDATE lastword_worker SET heartbeat_at = {now}, ticked_at = {now}, "
            f"lease_until = {now} + {param}, working = {param}, listed_at = {param}, "
            f"draining_at = CASE WHEN {param} = 0 THEN draining_at "
            f"ELSE COALESCE(draining_at, {now}) END "
            f"WHERE id = {param} AND ended_at IS NULL RETURNING heartbeat_at, drain_requested_at",
            lease_ms,
            working,
            listed_at_ms,
            draining,
            worker_id,
        )

    def _asked_to_stop(self, worker_id: WorkerId) -> frozenset[RunId]:
        param = self.ledger.dialect.param
        rows = self.ledger.execute(
            "SELECT id FROM lastword_run WHERE completed_at IS NULL "
            f"AND cancel_requested_at IS NOT NULL AND (worker_id = {param} OR holder = {param})",
            worker_id,
            worker_id,
        )
        return frozenset(RunId(row["id"]) for row in rows)

    def _current(self, worker_id: WorkerId, run_ids: Sequence[RunId]) -> dict[RunId, int]:
        if not run_ids:
            return {}
        dialect = self.ledger.dialect
        rows = self.ledger.execute(
            "SELECT id, CASE WHEN status = 'running' THEN attempt ELSE attempt + 1 END AS number "
            f"FROM lastword_run JOIN {dialect.batch({'run_id': 'text'})} AS item "
            "ON id = item_run_id WHERE completed_at IS NULL AND ("
            f"(status = 'running' AND worker_id = {dialect.param}) OR holder = {dialect.param})",
            as_batch([{"run_id": run_id} for run_id in run_ids]),
            worker_id,
            worker_id,
        )
        return {RunId(row["id"]): row["number"] for row in rows}

    def _save(self, worker_id: WorkerId, progress: Sequence[Progress]) -> frozenset[RunId]:
        if not progress:
            return frozenset()
        self.ledger.lock_runs([item.run_id for item in progress])
        source = self.ledger.dialect.batch(
            {"run_id": "text", "attempt": "integer", "counts": "text"},
        )
        rows = self.ledger.execute(
            f"UPDATE lastword_run SET summary_counts = item_counts FROM {source} AS item "
            "WHERE id = item_run_id AND status = 'running' AND attempt = item_attempt "
            "AND returned_at IS NULL "
            f"AND worker_id = {self.ledger.dialect.param} RETURNING id",
            as_batch(
                [
                    {
                        "run_id": item.run_id,
                        "attempt": item.attempt,
                        "counts": as_json(item.counts),
                    }
                    for item in progress
                ]
            ),
            worker_id,
        )
        return frozenset(RunId(row["id"]) for row in rows)
