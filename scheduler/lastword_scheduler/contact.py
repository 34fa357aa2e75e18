"""Whether a worker's silence is its own, or the ledger's."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class Contact:
    """How long the ledger is known to have taken what is written to it, without a gap.

    While it takes nothing - it is away, it hangs, its disk is full, it is read-only - no worker can
    renew its lease, and afterwards the leases of healthy workers have run out. So an expired lease
    tells something only to one who has written for as long as a lease lives. To have read is not
    enough. Moments are the ledger's own, which judges the leases too: where its clock jumps, or
    its host sleeps, that is a gap like any other.

    Args:
        lease_ttl_s: how long a lease lives, in seconds; with 0 an expired one always tells.
        clock: seconds of this process that only go up.
    """

    lease_ttl_s: float
    clock: Callable[[], float] = time.monotonic
    _since_ms: int | None = None
    _last_ms: int = 0
    _heard_s: float | None = None

    def wrote(self, at_ms: int) -> None:
        """The ledger took something after the moment `at_ms` of its clock."""
        if self._since_ms is None or at_ms < self._last_ms or self._is_gap(at_ms):
            self._since_ms = at_ms
        self._last_ms = at_ms
        self._heard_s = self.clock()

    def lost(self) -> None:
        """The ledger did not answer, or took nothing."""
        self._since_ms = None

    @property
    def is_kept(self) -> bool:
        """Whether the ledger took something lately."""
        return self._heard_s is not None and self.clock() - self._heard_s <= self.lease_ttl_s

    def leases_tell(self, at_ms: int) -> bool:
        """Whether a lease that had run out at that moment means that its worker is silent."""
        if not self.lease_ttl_s:
            return True
        if self._since_ms is None or self._is_gap(at_ms):
            return False
        return at_ms - self._since_ms >= self.lease_ttl_s * 1000

    def _is_gap(self, at_ms: int) -> bool:
        # A lease is renewed three times while it lives, so it outlasts any gap of two thirds.
        return at_ms - self._last_ms > self.lease_ttl_s * 1000 * 2 / 3
