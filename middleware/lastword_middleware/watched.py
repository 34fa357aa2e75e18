"""The worker's side of its sentinel: starts it, tells it what it is, and says goodbye."""

from __future__ import annotations

import contextlib
import json
import logging
import multiprocessing
import os
import select
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

from lastword.config import Config
from lastword.identity import WorkerId
from lastword.logs import log_notice
from lastword.storage.ledger import Ledger
from lastword.storage.opening import described
from lastword_middleware.autopsy import open_process

# Whatever stops the worker's processes must not stop this one, not even while it still imports.
_MAIN = """
import signal
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
from lastword_middleware.sentinel import main
raise SystemExit(main())
"""

#: The command of a sentinel. Not from the working folder: an application's may hold anything.
COMMAND = (sys.executable, "-P", "-c", _MAIN)

#: Seconds a worker waits for its sentinel before it takes work.
READY_WITHIN_S = 5.0

#: Seconds a sentinel that was told that all is done gets to end.
ENDS_WITHIN_S = 3.0

#: What a sentinel needs of a configuration.
_SETTINGS = (
    "broker_url",
    "broker_namespace",
    "heartbeat_interval",
    "lease_ttl",
    "log_format",
    "max_payload_bytes",
)


@dataclass(slots=True)
class Watched:
    """Keeps a sentinel beside this worker.

    Args:
        config: the configuration.
        ledger: the ledger to report to.
    """

    config: Config
    ledger: Ledger
    _process: subprocess.Popen[bytes] | None = None
    _worker_ids: list[WorkerId] = field(default_factory=list)

    def start(self) -> None:
        """Start a sentinel, if this process was made to be a worker and for nothing else.

        An application that runs a worker inside its own process is left to the reconcilers.
        """
        if multiprocessing.parent_process() is None:
            return
        place = described(self.ledger)
        if place is None:
            log_notice(
                logging.WARNING, "no_sentinel", why="the ledger cannot be opened from beside"
            )
            return
        # Opened here: this process may die sooner than the other is up.
        handle = open_process(os.getpid())
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=() if handle is None else (handle,),
                # Not stopped with the worker's group: it has to outlive it.
                start_new_session=True,
            )
        except OSError as error:
            self._process = None
            log_notice(logging.WARNING, "no_sentinel", why=error)
            return
        finally:
            if handle is not None:
                os.close(handle)
        settings = {name: getattr(self.config, name) for name in _SETTINGS}
        settings["data_dir"] = str(self.config.data_dir.absolute())
        self._tell({"pid": os.getpid(), "handle": handle, "config": settings, "ledger": place})
        for worker_id in self._worker_ids:
            self._tell({"worker_id": worker_id})

    def await_ready(self) -> None:
        """Wait until the sentinel watches, so that it sees the end of the very first run's worker.

        A worker without a sentinel works too: what happens to it is found after its lease.
        """
        if self._process is None:
            return
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], READY_WITHIN_S)
        if not ready or not os.read(self._process.stdout.fileno(), 1):
            log_notice(logging.WARNING, "sentinel_not_ready", within_s=READY_WITHIN_S)

    def is_now(self, worker_id: WorkerId) -> None:
        """Tell the sentinel under which id this process works from now on."""
        self._worker_ids.append(worker_id)
        self._tell({"worker_id": worker_id})

    def look(self) -> None:
        """Start another sentinel if the one there was has died."""
        if self._process is not None and self._process.poll() is not None:
            log_notice(logging.ERROR, "sentinel_died", exit_code=self._process.returncode)
            self._close_pipes(self._process)
            self.start()

    def say_goodbye(self) -> None:
        """The worker ends in good order: there will be nothing to report."""
        self._tell({"done": True})
        if self._process is None:
            return
        self._close_pipes(self._process)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(ENDS_WITHIN_S)

    def _close_pipes(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.close()
        with contextlib.suppress(OSError):
            process.stdin.close()

    def _tell(self, what: dict[str, Any]) -> None:
        if self._process is None:
            return
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(what).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            log_notice(logging.WARNING, "sentinel_unheard", why=error)
