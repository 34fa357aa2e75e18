"""Throttling: token buckets with the documented limits, and every form of Retry-After."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from itertools import cycle
from typing import Literal

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
    """

    scope: str
    amount: float
    window_s: float
    tells_when: bool = True


@dataclass(frozen=True, slots=True)
class Asker:
    """Whose request is counted, and against what."""

    client_id: str
    tenant_id: str
    size: Size
    workload: Workload
    kind: Kind
    units: int = 1

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
            limits.append(Limit(f"directory/read/{both}", _DIRECTORY_UNITS[self.size], 10))
        else:
            limits.append(Limit(f"directory/write/{both}", 3000, 150))
        return limits


@dataclass(slots=True)
class Bucket:
    """A token bucket: full at first, filled up evenly, emptied by every request.

    Attributes:
        capacity: what it holds when full.
        rate: what flows in each second.
        level: what is in it; below 0 after requests that came in spite of it.
        at_s: when that was, in Unix seconds.
        closed_until_s: when those that were sent away may come back.
    """

    capacity: float
    rate: float
    level: float
    at_s: float
    closed_until_s: float = 0.0

    @property
    def share(self) -> float:
        """How much of the limit is used up."""
        return min(TELL_AT_MOST, (self.capacity - self.level) / self.capacity)

    def is_closed(self, now_s: float) -> bool:
        """Whether somebody was told to wait, and the wait is not over."""
        return now_s < self.closed_until_s

    def take(self, units: float, now_s: float, *, penalty_s: float) -> float:
        """Take units out; the seconds to wait when there are not enough, else 0."""
        self.level = min(self.capacity, self.level + (now_s - self.at_s) * self.rate)
        self.at_s = now_s
        units = min(units, self.capacity)
        missing = units - self.level
        # What is refused counts all the same: who hammers on stays outside.
        self.level = max(self.level - units, self.capacity * (1 - TELL_AT_MOST))
        # Sums of many small inflows miss a whole by a hair.
        wait_s = max(SHORTEST_WAIT_S, missing / self.rate) if missing > 1e-9 else 0.0
        if self.is_closed(now_s):
            # Coming back early makes it longer, however full the bucket is by now.
            left_s = self.closed_until_s - now_s
            wait_s = max(wait_s, left_s, min(left_s + penalty_s, LONGEST_PENALTY_S))
        if wait_s:
            self.closed_until_s = now_s + wait_s
        return wait_s


@dataclass(frozen=True, slots=True)
class Wait:
    """Why a request is refused.

    Attributes:
        limit: the limit that keeps it out longest.
        seconds: how long.
        share: how much of a limit is used up.
        is_early: whether it came before an earlier wait was over.
    """

    limit: Limit
    seconds: float
    share: float
    is_early: bool


class Throttled(Refusal):
    """429, with whether the asker had been told to stay away longer."""

    def __init__(self, headers: Mapping[str, str], *, is_early: bool) -> None:
        self.is_early = is_early
        super().__init__(429, "TooManyRequests", "Please retry again later.", headers)


@dataclass(slots=True)
class Throttle:
    """The buckets of everybody who asks."""

    buckets: dict[str, Bucket] = field(default_factory=dict)
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
        waits = [self._wait(limit, asker, rules, now_s) for limit in asker.limits]
        longest = max(waits, key=lambda wait: wait.seconds)
        share = max(wait.share for wait in waits)
        headers = {"x-ms-throttle-limit-percentage": f"{share:.2f}"} if share > TELL_ABOVE else {}
        if longest.seconds:
            headers |= self._told(asker, longest, rules, now_s)
            raise Throttled(headers, is_early=any(wait.is_early for wait in waits))
        return headers

    def _wait(self, limit: Limit, asker: Asker, rules: Rules, now_s: float) -> Wait:
        bucket = self._bucket(limit, rules, now_s)
        is_early = limit.tells_when and bucket.is_closed(now_s)
        # Nobody can keep to a wait of which nothing is said.
        penalty_s = rules.penalty_s if limit.tells_when else 0.0
        seconds = bucket.take(asker.units, now_s, penalty_s=penalty_s)
        return Wait(limit, seconds, bucket.share, is_early)

    def _bucket(self, limit: Limit, rules: Rules, now_s: float) -> Bucket:
        key = f"{limit.scope} at {rules.scale:g}"
        if key not in self.buckets:
            capacity = max(1.0, limit.amount / rules.scale)
            rate = limit.amount / rules.scale / limit.window_s
            self.buckets[key] = Bucket(capacity, rate, capacity, now_s)
        return self.buckets[key]

    def _told(self, asker: Asker, wait: Wait, rules: Rules, now_s: float) -> dict[str, str]:
        form = rules.retry_after if wait.limit.tells_when else RetryAfter.ABSENT
        if form is RetryAfter.MIXED:
            form = next(self._forms)
        kind = asker.kind.title()
        return {
            "x-ms-throttle-scope": f"Tenant_Application/{kind}/{wait.limit.scope}",
            "x-ms-throttle-information": f"{kind}LimitExceeded",
            **retry_after(form, wait.seconds, now_s),
        }


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
