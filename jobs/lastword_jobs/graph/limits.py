"""The provider's documented limits, shared between workers through Dramatiq's rate limiters.

Each application may ask so much of a service for a tenant; what is refused counts too. Workers that
share a Redis keep below the limits together, so that none of them runs into the others' wall.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import redis
from dramatiq.rate_limits import RateLimiterBackend, WindowRateLimiter

from lastword.logs import log_notice
from lastword_jobs.graph.errors import Throttled

#: The share of a documented limit that is used: others ask the same tenant too.
SHARE = 0.8

#: Seconds one request waits for its turn in the worker; longer waits are left to the queue.
TURN_WITHIN_S = 30.0


class Workload(StrEnum):
    """A service behind the API; each has limits of its own."""

    INTUNE = "intune"
    DIRECTORY = "directory"
    CONDITIONAL_ACCESS = "conditional_access"


@dataclass(frozen=True, slots=True)
class Limit:
    """So many requests, or units, in a window of so many seconds."""

    amount: int
    window_s: int


#: Documented limits per application and tenant (learn.microsoft.com/graph/throttling-limits); for
#: the directory those of the smallest tenants. Conditional access answers one request a second.
READS: Mapping[Workload, Limit] = {
    Workload.INTUNE: Limit(1000, 20),
    Workload.DIRECTORY: Limit(3500, 10),
    Workload.CONDITIONAL_ACCESS: Limit(1, 1),
}
WRITES: Mapping[Workload, Limit] = {
    Workload.INTUNE: Limit(100, 20),
    Workload.DIRECTORY: Limit(3000, 150),
    Workload.CONDITIONAL_ACCESS: Limit(1, 1),
}


class _Window(WindowRateLimiter):
    """Dramatiq's sliding window, for requests that count more than once."""

    def __init__(
        self, backend: RateLimiterBackend, key: str, limit: Limit, *, share: float, amount: int
    ) -> None:
        most = int(limit.amount * share)
        # A share of one request is one in a longer window.
        window = limit.window_s if most else limit.window_s + 1
        super().__init__(backend, key, limit=max(most, 1), window=window)
        self.amount = amount

    def _acquire(self) -> bool:
        keys = self._get_keys()
        return bool(
            self.backend.incr_and_sum(
                keys[0], self._get_keys, self.amount, maximum=self.limit, ttl=self.window_millis
            )
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one application towards the tenants it works on.

    Args:
        backend: where the counts are; shared by the workers if it is in Redis.
        application: who asks, as the provider knows it.
        sleep: waits for a number of seconds.
        share: how much of a documented limit is used.
    """

    backend: RateLimiterBackend
    application: str
    sleep: Callable[[float], None] = time.sleep
    share: float = SHARE

    def await_turn(
        self, tenant_id: str, workload: Workload, *, writes: bool, amount: int = 1
    ) -> None:
        """Wait until a request may be sent.

        Nothing is held meanwhile that a worker which is killed would leave behind.

        Raises:
            Throttled: its turn did not come soon enough.
        """
        place = f"lastword:graph:{self.application}:{tenant_id}"
        limits = {f"{place}:{workload}": READS[workload]}
        if writes:
            limits[f"{place}:{workload}:write"] = WRITES[workload]
        for key, limit in limits.items():
            window = _Window(self.backend, key, limit, share=self.share, amount=amount)
            self._await(window._acquire)

    def most_at_once(self, workload: Workload) -> int:
        """The most requests that can ever have a turn together."""
        return max(1, int(READS[workload].amount * self.share))

    def _await(self, acquire: Callable[[], bool]) -> None:
        waited_s = 0.0
        while not self._quietly(acquire):
            if waited_s >= TURN_WITHIN_S:
                raise Throttled(waited_s, "Other runs use up what the provider allows.")
            # Windows move with the full second.
            wait_s = 1.0 - time.time() % 1.0 + 0.01
            self.sleep(wait_s)
            waited_s += wait_s

    def _quietly(self, ask: Callable[[], bool]) -> bool:
        try:
            return ask()
        except redis.RedisError as error:
            # Without the counts the provider itself says when it is too much.
            log_notice(logging.WARNING, "limits_unknown", why=type(error).__name__)
            return True


def workload_of(path: str) -> Workload:
    """The service that answers a path below the version."""
    if path.startswith("identity/conditionalAccess"):
        return Workload.CONDITIONAL_ACCESS
    return Workload.INTUNE if path.startswith("deviceManagement") else Workload.DIRECTORY
