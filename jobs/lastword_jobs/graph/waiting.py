"""How long to wait before asking again: what the provider says, else back-off with full jitter."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from lastword_jobs.graph.errors import Throttled, Unreachable
from lastword_jobs.graph.exchanges import Reply
from lastword_jobs.graph.traffic import Traffic

#: Tries of one request before the run has to wait for its own retry.
MAX_TRIES = 5

#: Seconds one request may spend waiting; a longer Retry-After is left to the queue.
MAX_WAIT_S = 20.0

#: Seconds: the first back-off, and the longest.
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.5, 8.0


@dataclass(slots=True)
class Patience:
    """The waits of one request, until there were enough of them.

    Args:
        sleep: waits for a number of seconds.
        traffic: counts what is asked again.
    """

    sleep: Callable[[float], None]
    traffic: Traffic
    tries: int = 0
    waited_s: float = 0.0

    def wait(self, reply: Reply | None) -> None:
        """Wait before the next try, as long as the provider says or by a back-off.

        Raises:
            Throttled: the wait would be too long for a worker, or the last try was throttled.
            Unreachable: the last try had no good answer either.
        """
        throttled = reply is not None and reply.status == httpx.codes.TOO_MANY_REQUESTS
        self.traffic.throttled += throttled
        asked_s = _asked_s(reply) if reply is not None else None
        wait_s = asked_s if asked_s is not None else backoff_s(self.tries)
        self.tries += 1
        if self.waited_s + wait_s > MAX_WAIT_S:
            raise Throttled(wait_s, f"The provider asked for a wait of {wait_s:.0f} s.")
        if self.tries == MAX_TRIES:
            # Nothing is asked after this one, so there is nothing to wait for.
            if throttled:
                raise Throttled(MAX_WAIT_S)
            raise Unreachable
        self.traffic.retried += 1
        self.waited_s += wait_s
        self.sleep(wait_s)


def retry_after_s(header: str | None, *, now: datetime) -> float | None:
    """A Retry-After header in seconds; None when it is missing or says nothing.

    Seconds may have decimals (Graph documents `2.128`), and a date may stand instead (RFC 9110).
    """
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        return _until(header, now)
    return seconds if 0 <= seconds < float("inf") else None


def backoff_s(tries: int) -> float:
    """A random wait below a bound that doubles with each try."""
    bound = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2**tries)
    return random.uniform(0, bound)  # noqa: S311 - jitter, not a secret


def _asked_s(reply: Reply) -> float | None:
    # By the provider's own clock where it tells it: ours may be in another zone, or wrong.
    told = _moment(reply.headers.get("date", ""))
    return retry_after_s(reply.headers.get("retry-after"), now=told or datetime.now(UTC))


def _until(header: str, now: datetime) -> float | None:
    moment = _moment(header)
    return None if moment is None else max(0.0, (moment - now).total_seconds())


def _moment(header: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
