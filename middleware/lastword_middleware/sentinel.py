"""The process beside a worker that outlives it: renews its lease, and reports its death at once.

It holds a handle on the worker's process, so that it sees the end itself and not the silence after
it; what the worker worked on has its last word, or is queued again, within a second. It writes
through the same guarded verbs as the reconcilers: where both act, one of them moves nothing.

Started by the worker (`watched.py`), which tells it by a pipe what it needs to know; nothing of
that is visible in the list of processes. Signals that stop the worker do not stop it; it ends by
itself, soon after the worker.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lastword.config import Config
from lastword.errors import LastwordError, LedgerUnavailable
from lastword.identity import WorkerId
from lastword.log_formats import configure_logging
from lastword.logs import log_notice
from lastword.losses import recover_losses
from lastword.service import WorkerService
from lastword.states import Source
from lastword.storage.ledger import Ledger
from lastword.storage.opening import open_described
from lastword_middleware.autopsy import cause_of_death, is_stopped, oom_kills
from lastword_middleware.broker import plain_broker
from lastword_middleware.dispatch import BrokerDispatcher
from lastword_middleware.messages import TrackMessages
from lastword_middleware.tracker import Tracker

#: Where the worker hears that it is watched.
READY_PIPE = 1

#: Seconds the loss of a worker is tried to be written; after that it is the reconciler's to find.
REPORT_WITHIN_S = 20.0


@dataclass(slots=True)
class Watch:
    """What the sentinel knows of its worker.

    Attributes:
        pid: the worker's process.
        handle: a handle on it; None where the system has none, and the pipe has to tell.
        worker_ids: the ids it has had, the current one last.
        is_done: whether it said that it ends in good order.
    """

    pid: int
    handle: int | None
    pipe: int = 0
    worker_ids: list[WorkerId] = field(default_factory=list)
    is_done: bool = False
    _is_closed: bool = False
    _unread: bytes = b""

    def wait(self, seconds: float) -> bool:
        """Listen for a while; whether the worker's process has ended."""
        sources = [] if self._is_closed else [self.pipe]
        if self.handle is not None:
            sources.append(self.handle)
        ready, _, _ = select.select(sources, [], [], seconds)
        if self.pipe in ready:
            self._listen()
        return self.handle in ready if self.handle is not None else self._is_closed

    def listen_to_the_end(self) -> None:
        """Hear what it said last."""
        while not self._is_closed and select.select([self.pipe], [], [], 0)[0]:
            self._listen()

    def _listen(self) -> None:
        data = os.read(self.pipe, 65536)
        self._is_closed = not data
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            told = json.loads(line)
            if "worker_id" in told:
                self.worker_ids.append(WorkerId(told["worker_id"]))
            self.is_done = self.is_done or bool(told.get("done"))


@dataclass(frozen=True, slots=True)
class Sentinel:
    """Watches one worker until its end.

    Args:
        config: where the broker is, and how long a lease lives.
        ledger: the ledger.
        watch: the worker.
    """

    config: Config
    ledger: Ledger
    watch: Watch

    def run(self) -> None:
        """Renew the lease while the worker lives; report its death."""
        kills_before = oom_kills()
        with contextlib.suppress(OSError):  # The worker may be gone already: all the more reason.
            os.write(READY_PIPE, b"!")
        while not self.watch.wait(self.config.heartbeat_interval):
            if self.watch.is_done:
                return
            self._renew()
        self.watch.listen_to_the_end()
        if self.watch.is_done or not self.watch.worker_ids:
            return
        cause = cause_of_death(self.watch.pid, self.watch.handle, oom_kills_before=kills_before)
        self._insist_on_reporting(cause)

    def _renew(self) -> None:
        # A process that is held by SIGSTOP lives and does nothing: its lease may run out.
        if not self.watch.worker_ids or is_stopped(self.watch.pid):
            return
        try:
            WorkerService(self.ledger).renew(
                self.watch.worker_ids[-1], lease_ttl_s=self.config.lease_ttl
            )
        except LedgerUnavailable as error:
            log_notice(logging.WARNING, "sentinel_cannot_renew", why=error)

    def _insist_on_reporting(self, cause: dict[str, Any]) -> None:
        deadline = time.monotonic() + REPORT_WITHIN_S
        while True:
            try:
                self._report(cause)
                return
            except LedgerUnavailable as error:
                if time.monotonic() > deadline:
                    log_notice(logging.ERROR, "loss_unreported", pid=self.watch.pid, why=error)
                    return
                time.sleep(0.2)

    def _report(self, cause: dict[str, Any]) -> None:
        workers = WorkerService(self.ledger)
        for worker_id in self.watch.worker_ids:
            workers.lose(worker_id, cause=cause)
        evidence = {"worker": {"host": socket.gethostname(), "pid": self.watch.pid, **cause}}
        tracker = Tracker(config=self.config, ledger=self.ledger)
        broker = plain_broker(self.config, middleware=[TrackMessages(tracker)])
        done = recover_losses(
            self.ledger,
            BrokerDispatcher(broker, self.config, self.ledger),
            self.watch.worker_ids,
            source=Source.SENTINEL,
            evidence=evidence,
        )
        log_notice(logging.ERROR, "worker_died", pid=self.watch.pid, runs=len(done), **cause)


def main() -> int:
    """Read the first line of the pipe, and watch."""
    told = json.loads(_first_line(0))
    configure_logging(told["config"]["log_format"])
    config = Config(**{**told["config"], "data_dir": Path(told["config"]["data_dir"])})
    ledger = open_described(told["ledger"])
    try:
        Sentinel(config, ledger, Watch(told["pid"], told["handle"])).run()
    except LastwordError as error:
        log_notice(logging.ERROR, "sentinel_failed", why=error)
        return 1
    finally:
        ledger.close()
    return 0


def _first_line(pipe: int) -> bytes:
    # Byte by byte: what follows is for `Watch`, which reads the pipe itself.
    line = bytearray()
    while (byte := os.read(pipe, 1)) not in (b"\n", b""):
        line += byte
    return bytes(line)
