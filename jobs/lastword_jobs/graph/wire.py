"""The wire: one question over HTTP, within the shared limits, to the configured host alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from lastword_jobs.graph.errors import RequestRefused
from lastword_jobs.graph.exchanges import Ask, Reply
from lastword_jobs.graph.limits import Limits, Workload, workload_of

TIMEOUT = httpx.Timeout(60.0, connect=5.0)

#: Above this share of a limit the provider says how close it is, and it is time to slow down.
SLOW_DOWN_ABOVE = 0.8

#: Codes that are told exactly; others by their class.
_TOLD_EXACTLY = frozenset({401, 403, 404, 409, 410, 429})

#: The path below the version that takes many questions at once.
BATCH = "$batch"


@dataclass(frozen=True, slots=True)
class Wire:
    """Carries the questions of one run about one tenant.

    Args:
        http: a pooled client, shared by the threads of a process.
        base_url: the API without a version.
        tenant_id: the tenant.
        correlation_id: sent with every request; the run's id.
        limits: what may be asked of the provider, shared with other workers.
        urgent: whether a person waits for it.
        sleep: waits for a number of seconds.
        meter: is told of each request: its method, and its code or `none`.
    """

    http: httpx.Client
    base_url: str
    tenant_id: str
    correlation_id: str
    limits: Limits
    urgent: bool = False
    sleep: Callable[[float], None] = time.sleep
    meter: Callable[[str, str], None] = lambda method, code: None

    def most_at_once(self, ask: Ask) -> int:
        """How many questions like this one may be asked together."""
        return self.limits.most_at_once(self._cost(self._url(ask.path), ask)[0])

    def exchange(self, ask: Ask, token: str) -> Reply | None:
        """Send one question; None if nothing came back.

        Raises:
            Throttled: its turn did not come.
            RequestRefused: it would go to another host.
        """
        url = self._url(ask.path)
        headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/json",
            "client-request-id": self.correlation_id,
            "x-ms-throttle-priority": "high" if self.urgent else "low",
        }
        workload, amount = self._cost(url, ask)
        self.limits.await_turn(
            self.tenant_id, workload, writes=_counts_as_write(ask), amount=amount
        )
        try:
            answer = self.http.request(ask.method, url, headers=headers, json=ask.body)
        except httpx.RequestError:
            self.meter(ask.method, "none")
            return None
        reply = Reply.of(answer)
        self.meter(ask.method, _code(reply.status))
        self._slow_down(reply)
        return reply

    def _cost(self, url: str, ask: Ask) -> tuple[Workload, int]:
        below = url.removeprefix(f"{self.base_url}/").partition("/")[2]
        if below != BATCH:
            return workload_of(below), 1
        requests = (ask.body or {}).get("requests", [])
        return workload_of(requests[0]["url"].lstrip("/")), len(requests)

    def _slow_down(self, reply: Reply) -> None:
        try:
            share = float(reply.headers.get("x-ms-throttle-limit-percentage", 0))
        except ValueError:
            return
        if share > SLOW_DOWN_ABOVE:
            self.sleep(min(share - SLOW_DOWN_ABOVE, 1.0))

    def _url(self, path: str) -> str:
        if "://" not in path and not path.startswith("/"):
            return f"{self.base_url}/{path}"
        own = urlsplit(self.base_url)
        try:
            given = urlsplit(path)
            httpx.URL(path)
        except (ValueError, httpx.InvalidURL) as error:
            raise RequestRefused("The provider's next page is at no address.") from error
        # Following a link to another host would hand it our token.
        if (own.scheme, own.netloc) != (given.scheme, given.netloc):
            raise RequestRefused("The provider's next page is on another host.")
        return path


def _code(status: int) -> str:
    return str(status) if status in _TOLD_EXACTLY else f"{status // 100}xx"


def _counts_as_write(ask: Ask) -> bool:
    return ask.writes and not ask.path.endswith(BATCH)
