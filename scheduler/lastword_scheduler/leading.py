"""Whether this scheduler is the one that acts."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time

from lastword.errors import LastwordError
from lastword.identity import new_worker_id
from lastword.logs import log_notice
from lastword.service.counters import Counted, count
from lastword.service.leading import Contender, LeaderService
from lastword.storage.clock import now_ms
from lastword.storage.ledger import Ledger
from lastword_scheduler.contact import Contact

#: The lease that schedulers contend for.
SCHEDULER = "scheduler"

#: Seconds that a stopping scheduler spends on giving its lease up.
RESIGNS_WITHIN_S = 5.0


class Leadership(threading.Thread):
    """Takes the leader's lease when it is free, and renews it, until it is stopped.

    It also keeps contact with the ledger, whatever the jobs do: how long that has taken what is
    written to it is what makes the silence of workers mean something.

    Args:
        ledger: where the lease is.
        lease_ttl_s: how long it lives without renewal, in seconds.
        contact: told of everything that was written, and of every failure.
    """

    def __init__(self, ledger: Ledger, *, lease_ttl_s: float, contact: Contact) -> None:
        super().__init__(name="lastword-leadership", daemon=True)
        self.contender = Contender(new_worker_id(), socket.gethostname(), os.getpid())
        self._ledger = ledger
        self._service = LeaderService(ledger)
        self._lease_ttl_s = lease_ttl_s
        self._contact = contact
        self._until = 0.0
        self._stopped = threading.Event()
        self._was_held = False
        self._is_away = False

    @property
    def is_held(self) -> bool:
        """Whether this process knows that it leads, by its own clock; never too late."""
        return time.monotonic() < self._until

    def run(self) -> None:
        """Contend until stopped, then resign."""
        while True:
            self._contend()
            if self._stopped.wait(self._lease_ttl_s / 3):
                break
        self._until = 0.0
        try:
            self._service.resign(SCHEDULER, self.contender)
        except LastwordError as error:
            # The lease runs out instead.
            log_notice(logging.WARNING, "resignation_unrecorded", why=error)
        self._ledger.leave_thread()

    def stop(self) -> None:
        """Give the lease up, so that another scheduler need not wait for its end."""
        self._stopped.set()
        self.join(RESIGNS_WITHIN_S)

    def _contend(self) -> None:
        asked = time.monotonic()
        try:
            at_ms = now_ms(self._ledger)
            held = self._service.lead(SCHEDULER, self.contender, lease_ttl_s=self._lease_ttl_s)
            if not held:
                # The leader's lease has been written. Who stands by, and will judge in its place,
                # has to know as well whether the ledger takes anything.
                count(self._ledger, Counted.STOOD_BY, SCHEDULER)
            self._contact.wrote(at_ms)
            self._is_away = False
        except LastwordError as error:
            self._contact.lost()
            if not self._is_away:
                log_notice(logging.ERROR, "ledger_down", waiting_to="lead", why=error)
            self._is_away = True
            return
        except Exception:
            # Whatever it is, a thread that ended would leave nobody to lead.
            logging.getLogger("lastword").exception("the leader's lease")
            return
        self._until = asked + self._lease_ttl_s if held else 0.0
        if held != self._was_held:
            log_notice(logging.INFO, "leading" if held else "standing_by")
        self._was_held = held
