"""Whether this process can tell a worker's silence from its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class Contact:
    """How long the ledger has answered without a gap.

    While the ledger is away no worker can renew its lease. Whoever reaches it first afterwards sees
    the leases of healthy workers run out; so an expired lease tells something only to one who has
    reached the ledger for as long as a lease lives, and in that time heard nothing.

    Args:
        lease_ttl_s: how long a lease lives, in seconds.
        clock: seconds that only go up.
    """

    lease_ttl_s: float
    clock: Callable[[], float] = time.monotonic
    _since: float | None = None
    _last: float | None = None

    def made(self) -> None:
        """The ledger has just answered."""
        now = self.clock()
        if self._since is None or self._last is None or now - self._last > self.lease_ttl_s:
            self._since = now
        self._last = now

    def lost(self) -> None:
        """The ledger did not answer."""
        self._since = None

    @property
    def is_kept(self) -> bool:
        """Whether the ledger answered lately."""
        return self._last is not None and self.clock() - self._last <= self.lease_ttl_s

    @property
    def leases_tell(self) -> bool:
        """Whether an expired lease means that its worker is silent."""
        return self._since is not None and self.clock() - self._since >= self.lease_ttl_s
