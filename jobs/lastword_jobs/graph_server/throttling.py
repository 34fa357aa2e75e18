"""Throttling: token buckets with the documented limits, and every form of Retry-After."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from itertools import cycle
from typing import Literal
from urllib.parse import quote

from lastword_jobs.graph_server.answers import Refusal
from lastword_jobs.graph_server.resources import Workload
from lastword_jobs.graph_server.rules import RetryAfter, Rules
from lastword_jobs.graph_server.tenants import Size

Kind = Literal["read", "write"]

#: The share of a limit above which answers tell of it, and the highest that they tell.
TELL_ABOVE, TELL_AT_MOST = 0.8, 1.8

#: Seconds a throttled caller is sent away for at least, before its penalty.
SHORTEST_WAIT_S = 1.0

#: Seconds up to which coming back early makes a wait longer.
LONGEST_PENALTY_S = 60.0

#: Units in 10 s that the directory gives an application, by the size of the tenant.
_DIRECTORY_UNITS = {Size.S: 3500.0, Size.M: 5000.0, Size.L: 8000.0}


@dataclass(frozen=True, slots=True)
class Limit:
    """A documented limit.

    Attributes:
        scope: whom it counts.
        amount: requests, or units, in a window.
        window_s: the window in seconds.
        tells_when: whether the answer has a Retry-After.
        in_units: whether it counts units; else every request is one.
    """

    scope: str
    amount: float
    window_s: float
    tells_when: bool = True
    in_units: bool = False


@dataclass(frozen=True, slots=True)
class Asker:
    """Whose request is counted, and against what.

    Attributes:
        client_id: the application.
        tenant_id: the tenant.
        size: the tenant's size.
        workload: the service.
        kind: whether it reads or writes.
        units: what it costs where units are counted.
        caller: the client's own id for what it is doing; who was told to wait is known by it.
    """

    client_id: str
    tenant_id: str
    size: Size
    workload: Workload
    kind: Kind
    units: int = 1
    caller: str = ""

    @property
    def limits(self) -> list[Limit]:
        """The limits that apply to it."""
        both, tenant = f"{self.client_id}/{self.tenant_id}", self.tenant_id
        limits = [Limit(f"app/{self.client_id}", 2000, 1)]
        if self.workload is Workload.INTUNE:
            limits += [
                Limit(f"intune/any/{both}", 1000, 20),
                Limit(f"intune/any/{tenant}", 2000, 20),
            ]
            if self.kind == "write":
                limits += [
                    Limit(f"intune/write/{both}", 100, 20),
                    Limit(f"intune/write/{tenant}", 200, 20),
                ]
        elif self.workload is Workload.CONDITIONAL_ACCESS:
            limits.append(Limit(f"conditional-access/{tenant}", 1, 1, tells_when=False))
        elif self.kind == "read":
            limits.append(
                Limit(f"directory/read/{both}", _DIRECTORY_UNITS[self.size], 10, in_units=True)
            )
        else:
            limits.append(Limit(f"directory/write/{both}", 3000, 150))
        return limits


@dataclass(slots=True)
class Bucket:
    """A token bucket: full at first, filled up evenly, emptied by requests.

    Attributes:
        capacity: what it holds when full.
        rate: what flows in each second.
        level: what is in it; below 0 after requests that came in spite of it.
        at_s: when that was, in Unix seconds.
    """

    capacity: float
    rate: float
    level: float
    at_s: float

    @property
    def share(self) -> float:
        """How much of the limit is used up."""
        return min(TELL_AT_MOST, (self.capacity - self.level) / self.capacity)

    def wait_s(self, units: float, now_s: float) -> float:
        """The seconds until it has these units; 0 when it has them now."""
        self.level = min(self.capacity, self.level + (now_s - self.at_s) * self.rate)
        self.at_s = now_s
        missing = min(units, self.capacity) - self.level
        # Sums of many small inflows miss a whole by a hair.
        return max(SHORTEST_WAIT_S, missing / self.rate) if missing > 1e-9 else 0.0

    def take(self, units: float) -> None:
        """Take units out, whether they are there or not."""
        least = self.capacity * (1 - TELL_AT_MOST)
        self.level = max(least, self.level - min(units, self.capacity))


class Throttled(Refusal):
    """429, with whether the asker had been told to stay away longer."""

    def __init__(self, headers: Mapping[str, str], *, is_early: bool) -> None:
        self.is_early = is_early
        super().__init__(429, "TooManyRequests", "Please retry again later.", headers)


@dataclass(slots=True)
class Throttle:
    """The buckets of everybody who asks, and who was told to stay away until when."""

    buckets: dict[str, Bucket] = field(default_factory=dict)
    told: dict[tuple[str, str], float] = field(default_factory=dict)
    _forms: cycle[RetryAfter] = field(
        default_factory=lambda: cycle(form for form in RetryAfter if form is not RetryAfter.MIXED)
    )

    def admit(self, asker: Asker, rules: Rules, now_s: float) -> dict[str, str]:
        """Count a request; the headers that tell how much of a limit is used up.

        Raises:
            Throttled: 429; a limit is used up, or the asker came back before it was told to.
        """
        if not rules.scale:
            return {}
        limits = asker.limits
        buckets = [self._bucket(limit, rules, now_s) for limit in limits]
        costs = [asker.units if limit.in_units else 1 for limit in limits]
        pairs = list(zip(buckets, costs, strict=True))
        waits = [bucket.wait_s(cost, now_s) for bucket, cost in pairs]
        left = [self.told.get((limit.scope, asker.caller), 0.0) - now_s for limit in limits]
        is_early = max(left) > 0
        if is_early or not any(waits):
            # What is refused costs nothing, but coming back early costs as much as coming in.
            for bucket, cost in pairs:
                bucket.take(cost)
        share = max(bucket.share for bucket in buckets)
        headers = {"x-ms-throttle-limit-percentage": f"{share:.2f}"} if share > TELL_ABOVE else {}
        if not is_early and not any(waits):
            return headers
        for place, (bucket, cost) in enumerate(pairs):
            waits[place] = max(bucket.wait_s(cost, now_s), _longer(left[place], rules.penalty_s))
        longest_s, limit = max(zip(waits, limits, strict=True), key=lambda pair: pair[0])
        headers |= self._told(asker, limit, longest_s, rules, now_s)
        raise Throttled(headers, is_early=is_early)

    def _bucket(self, limit: Limit, rules: Rules, now_s: float) -> Bucket:
        key = f"{limit.scope} at {rules.scale:g}"
        if key not in self.buckets:
            capacity = max(1.0, limit.amount / rules.scale)
            rate = limit.amount / rules.scale / limit.window_s
            self.buckets[key] = Bucket(capacity, rate, capacity, now_s)
        return self.buckets[key]

    def _told(
        self, asker: Asker, limit: Limit, wait_s: float, rules: Rules, now_s: float
    ) -> dict[str, str]:
        form = rules.retry_after if limit.tells_when else RetryAfter.ABSENT
        if form is RetryAfter.MIXED:
            form = next(self._forms)
        if form is not RetryAfter.ABSENT:
            # Nobody can keep to a wait of which nothing is said.
            self.told[(limit.scope, asker.caller)] = now_s + wait_s
        kind = asker.kind.title()
        return {
            "x-ms-throttle-scope": f"Tenant_Application/{kind}/{quote(limit.scope)}",
            "x-ms-throttle-information": f"{kind}LimitExceeded",
            **retry_after(form, wait_s, now_s),
        }


def _longer(left_s: float, penalty_s: float) -> float:
    # Coming back early makes a wait longer, up to a point.
    if left_s <= 0:
        return 0.0
    return max(left_s, min(left_s + penalty_s, LONGEST_PENALTY_S))


def retry_after(form: RetryAfter, wait_s: float, now_s: float) -> dict[str, str]:
    """The header that sends a caller away, never too short by rounding."""
    if form is RetryAfter.INT:
        return {"Retry-After": str(math.ceil(wait_s))}
    if form is RetryAfter.DECIMAL:
        return {"Retry-After": f"{math.ceil(wait_s * 1000) / 1000:.3f}"}
    if form is RetryAfter.DATE:
        then = datetime.fromtimestamp(math.ceil(now_s + wait_s), UTC)
        return {"Retry-After": format_datetime(then, usegmt=True)}
    return {}
