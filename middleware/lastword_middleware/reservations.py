"""What is in this worker's hands: messages it has fetched, and reservations not begun yet."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from dramatiq.broker import MessageProxy

from lastword.identity import RunId
from lastword.service.reserving import BEGIN_WITHIN_MS
from lastword.service.values import Delivery, Reservation

#: Seconds after which a reservation is too old to begin on it alone.
BEGIN_WITHIN_S = BEGIN_WITHIN_MS / 1000


@dataclass(slots=True)
class Held:
    """A delivery in this worker's hands.

    Attributes:
        since: when it was asked for, by this process's monotonic clock.
    """

    message: MessageProxy
    reservation: Reservation
    since: float

    @property
    def is_fresh(self) -> bool:
        """Whether it may be begun without asking the ledger first."""
        return time.monotonic() - self.since < BEGIN_WITHIN_S


@dataclass(slots=True)
class Reservations:
    """Every delivery held by this process. Threads share it."""

    _held: dict[int, Held] = field(default_factory=dict)
    _deliveries: set[Delivery] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, held: Iterable[Held]) -> None:
        """Note deliveries as held."""
        with self._lock:
            for item in held:
                self._held[id(item.message)] = item
                self._deliveries.add(item.reservation.delivery)

    def take(self, message: MessageProxy) -> Held | None:
        """The reservation of this very message, which is held no longer."""
        with self._lock:
            held = self._held.pop(id(message), None)
            if held is not None:
                self._deliveries.discard(held.reservation.delivery)
            return held

    def among(self, deliveries: Iterable[Delivery]) -> set[Delivery]:
        """Those of which some message is held."""
        with self._lock:
            return self._deliveries.intersection(deliveries)

    def of_runs(self, run_ids: Iterable[RunId]) -> list[Held]:
        """What is held of these runs."""
        wanted = set(run_ids)
        with self._lock:
            return [held for held in self._held.values() if held.reservation.run_id in wanted]
