"""The processes of `lastword up` and `lastword demo`: started, restarted when they die, stopped.

Not for production, where systemd, Kubernetes or the like does this.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO

from lastword.errors import LastwordError
from lastword.logs import log_notice
from lastword.orphans import tied

#: What asks the owner to stop.
STOPPING = (signal.SIGTERM, signal.SIGINT)

#: Seconds between two looks at the processes, and before one that died is started again.
LOOK_EVERY_S, RESTART_AFTER_S = 0.1, 0.3


@dataclass(slots=True)
class _Child:
    name: str
    arguments: Sequence[str]
    log: IO[bytes]
    process: subprocess.Popen[bytes] | None = None


@dataclass(slots=True)
class Supervisor:
    """Keeps processes of the `lastword` command running while it is entered.

    Args:
        environment: what is added to their environment.
        logs: the folder for their output, one file each.
        stop_within_s: how long they get to stop before they are killed, in seconds.
    """

    environment: Mapping[str, str]
    logs: Path
    stop_within_s: float = 15.0
    _children: list[_Child] = field(default_factory=list)
    _leaving: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _keeper: threading.Thread | None = None

    def __enter__(self) -> Supervisor:
        """Begin to look after processes."""
        self.logs.mkdir(parents=True, exist_ok=True)
        self._keeper = threading.Thread(target=self._keep, name="supervisor", daemon=True)
        self._keeper.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop every process, the last started first, and wait for all of them."""
        self._leaving.set()
        if self._keeper is not None:
            self._keeper.join()
        running = [child for child in reversed(self._children) if child.process is not None]
        for child in running:
            assert child.process is not None
            # Not its group: a worker's master tells its child itself, and told twice it is killed.
            child.process.terminate()
        for child in running:
            assert child.process is not None
            try:
                child.process.wait(self.stop_within_s)
            except subprocess.TimeoutExpired:
                log_notice(logging.WARNING, "killed_after_stop_wait", process=child.name)
            # Also what it may have left behind of its own children.
            _signal_group(child, signal.SIGKILL)
            child.process.wait()
            child.log.close()

    def run(self, name: str, *arguments: str) -> None:
        """Start `lastword ARGUMENTS...` and keep it running."""
        child = _Child(name, arguments, (self.logs / f"{name}.log").open("ab"))
        with self._lock:
            self._start(child)
            self._children.append(child)

    def pids(self) -> dict[str, int]:
        """The processes that run now, by name."""
        with self._lock:
            return {child.name: child.process.pid for child in self._children if child.process}

    def _keep(self) -> None:
        while not self._leaving.wait(LOOK_EVERY_S):
            with self._lock:
                dead = [
                    child
                    for child in self._children
                    if child.process is not None and child.process.poll() is not None
                ]
            for child in dead:
                assert child.process is not None
                log_notice(
                    logging.WARNING,
                    "process_ended",
                    process=child.name,
                    exit_code=child.process.returncode,
                )
                # What it may have left behind of its own children would work on beside the new one.
                _signal_group(child, signal.SIGKILL)
                if self._leaving.wait(RESTART_AFTER_S):
                    return
                with self._lock:
                    self._start(child)

    def _start(self, child: _Child) -> None:
        child.process = subprocess.Popen(  # noqa: S603 - our own command
            tied([sys.executable, "-m", "lastword.cli", *child.arguments]),
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=child.log,
            stderr=child.log,
            # A group of its own: Ctrl-C reaches the owner alone, which stops the others in order.
            start_new_session=True,
        )


@contextmanager
def sole_owner(data_dir: Path) -> Iterator[None]:
    """Hold a data folder for one command at a time.

    Raises:
        LastwordError: another command holds it.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "owner.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LastwordError(
                f"another command is running in {data_dir.absolute()}",
                mend="stop it, or give this one a folder of its own with LASTWORD_DATA_DIR",
            ) from None
        yield


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Let SIGTERM end this process as Ctrl-C does: through its own clean-up.

    What is given is set with either. Whoever waits for long should look at it.
    """
    asked = threading.Event()

    def interrupt(number: int, frame: FrameType | None) -> None:
        asked.set()
        if _is_in_destructor(frame):
            # What is raised there is only printed: once more, when it is over.
            threading.Timer(0.01, os.kill, (os.getpid(), number)).start()
            return
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in STOPPING}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_in_destructor(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


def _signal_group(child: _Child, number: signal.Signals) -> None:
    assert child.process is not None
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.process.pid, number)
