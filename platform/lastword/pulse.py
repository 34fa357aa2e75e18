"""What a process says of its own health: in a file, and to systemd if that started it.

A probe has to tell the truth and to be patient: C code that holds the interpreter's lock for a
minute stops every thread, and is no death. So whoever reads should wait longer than that.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from lastword.errors import LastwordError
from lastword.logs import log_notice

#: What a file says of a process that is well.
WELL = "well"

#: Seconds after which a file that was not renewed says that its process is not well.
FRESH_S = 90.0


class NotWell(LastwordError):
    """A process is not well, or says nothing."""


class Pulse(threading.Thread):
    """Says how this process is, at once and then again and again, until it is stopped.

    Args:
        look: gives what is wrong; nothing if all is well.
        every_s: seconds between two looks.
        file: where it is said; None says it to systemd only.
        address: where systemd listens, as it is in `NOTIFY_SOCKET`.
    """

    def __init__(
        self,
        look: Callable[[], Sequence[str]],
        *,
        every_s: float,
        file: Path | None = None,
        address: str | None = None,
    ) -> None:
        super().__init__(name="lastword-pulse", daemon=True)
        self._look = look
        self._every_s = every_s
        self._file = file
        self._address = os.environ.get("NOTIFY_SOCKET") if address is None else address
        self._stopped = threading.Event()
        self._was_silent = False
        self._status = WELL

    def run(self) -> None:
        """Look and say until stopped. What cannot be said is logged once, and tried again."""
        self._notify("READY=1")
        while True:
            troubles = self.troubles()
            self._write("; ".join(troubles) or WELL)
            # No word to the watchdog from a process that is not well: it is to be started anew.
            status = f"STATUS={'; '.join(troubles) or self._status}"
            self._notify(status if troubles else f"{status}\nWATCHDOG=1")
            if self._stopped.wait(self._every_s):
                return

    def stopping(self) -> None:
        """The process ends in good order, which may take a while: it is well until then.

        Not `STOPPING=1`: systemd would have it killed after `TimeoutStopSec`, and a worker that was
        told to reload goes on under the same process id.
        """
        self._status = "stopping"
        self._notify(f"STATUS={self._status}")

    def stop(self) -> None:
        """Say nothing more. The file goes: what is not there is not well."""
        self._stopped.set()
        self.join()
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.unlink()

    def troubles(self) -> Sequence[str]:
        """What is wrong now, whatever the look does."""
        try:
            return self._look()
        except Exception as error:
            logging.getLogger("lastword").exception("the look at this process's health")
            return [f"it cannot look at itself ({type(error).__name__})"]

    def _write(self, said: str) -> None:
        if self._file is None:
            return
        try:
            # Whole or not at all: a probe may read in the middle.
            draft = self._file.with_name(f"{self._file.name}.{os.getpid()}")
            draft.write_text(f"{said}\n", encoding="utf-8")
            draft.replace(self._file)
            self._was_silent = False
        except OSError as error:
            if not self._was_silent:
                log_notice(logging.ERROR, "health_unsaid", file=str(self._file), why=error)
            self._was_silent = True

    def _notify(self, state: str) -> None:
        # The protocol of sd_notify(3): one datagram, and nobody answers.
        if not self._address:
            return
        address = self._address
        if address.startswith("@"):
            address = f"\0{address[1:]}"
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.sendto(state.encode(), address)


def require_well(file: Path, *, within_s: float) -> str:
    """What a process says of itself in `file`.

    Raises:
        NotWell: it is not well, or has not said anything for `within_s` seconds.
    """
    try:
        age_s = time.time() - file.stat().st_mtime
        said = file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError as error:
        raise NotWell(
            f"{file} cannot be read: {error.strerror}",
            mend="the process that writes it has not started, or has ended",
        ) from error
    if age_s > within_s:
        raise NotWell(f"{file} was not renewed for {age_s:.0f} s", expected=f"{within_s:g} at most")
    if said != WELL:
        raise NotWell(f"{file}: {said or '(nothing)'}")
    return f"well {max(0.0, age_s):.0f} s ago"
