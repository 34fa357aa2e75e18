"""The client: one request with its retries, and listings with every page of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from lastword_jobs.graph.errors import (
    AuthenticationFailed,
    PermissionDenied,
    RequestRefused,
    Throttled,
    Unreachable,
)
from lastword_jobs.graph.tokens import TokenCache
from lastword_jobs.graph.waiting import backoff_s, retry_after_s

#: Tries of one request before the run has to wait for its own retry.
MAX_TRIES = 5

#: Seconds one request may spend waiting; a longer Retry-After is left to the queue.
MAX_WAIT_S = 20.0

#: Pages of one listing; more than any tenant has, fewer than a loop makes.
MAX_PAGES = 10_000

TIMEOUT = httpx.Timeout(60.0, connect=5.0)

Json = dict[str, Any]


@dataclass(slots=True)
class Traffic:
    """What one piece of work cost in requests."""

    pages: int = 0
    throttled: int = 0
    retried: int = 0


@dataclass(frozen=True, slots=True)
class GraphClient:
    """Reads one tenant on behalf of one run.

    Args:
        http: a pooled client, shared by the threads of a process.
        base_url: the API without a version.
        tokens: where tokens come from.
        tenant_id: the tenant.
        correlation_id: sent with every request; the run's id.
        traffic: counts what is asked.
        sleep: waits for a number of seconds.
    """

    http: httpx.Client
    base_url: str
    tokens: TokenCache
    tenant_id: str
    correlation_id: str
    traffic: Traffic
    sleep: Callable[[float], None] = time.sleep

    def pages(self, version: str, path: str) -> Iterator[list[Json]]:
        """Every page of a listing, to the end: a page may be empty and still not be the last.

        Raises:
            RequestRefused: a link to the next page loops or leads elsewhere.
            RunFailure: see `get`.
        """
        url: str | None = f"{self.base_url}/{version}/{path}"
        seen: set[str] = set()
        while url is not None:
            self._require_own(url)
            if url in seen or len(seen) >= MAX_PAGES:
                raise RequestRefused("The provider's pages of a listing do not end.")
            seen.add(url)
            body = self.get(url)
            entities = body.get("value")
            if not isinstance(entities, list):
                raise RequestRefused("The provider's answer to a listing holds no list.")
            self.traffic.pages += 1
            yield entities
            url = body.get("@odata.nextLink")

    def get(self, url: str) -> Json:
        """One object, asked for as often as it takes within the limits.

        Raises:
            Throttled: the provider wants a longer wait.
            Unreachable: no good answer in `MAX_TRIES`.
            AuthenticationFailed: a fresh token was refused too.
            PermissionDenied: 403.
            RequestRefused: any other refusal.
        """
        waited_s, refreshed = 0.0, False
        for tries in range(MAX_TRIES):
            token = self.tokens.token(self.tenant_id)
            answer = self._ask(url, token)
            if answer is not None and answer.status_code == httpx.codes.UNAUTHORIZED:
                if refreshed:
                    raise AuthenticationFailed("The provider refused a fresh token.")
                self.tokens.forget(self.tenant_id, token)
                refreshed = True
                continue
            body = None if answer is None else _body(answer)
            if body is not None:
                return body
            waited_s += self._wait(answer, tries, waited_s)
        if answer is not None and answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise Throttled
        raise Unreachable

    def _ask(self, url: str, token: str) -> httpx.Response | None:
        headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/json",
            "client-request-id": self.correlation_id,
        }
        try:
            return self.http.get(url, headers=headers)
        except httpx.RequestError:
            return None

    def _wait(self, answer: httpx.Response | None, tries: int, waited_s: float) -> float:
        asked_s = None
        if answer is not None:
            asked_s = retry_after_s(answer.headers.get("Retry-After"), now=datetime.now(UTC))
            if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
                self.traffic.throttled += 1
        wait_s = asked_s if asked_s is not None else backoff_s(tries)
        if waited_s + wait_s > MAX_WAIT_S:
            raise Throttled(f"The provider asked for a wait of {wait_s:.0f} s.")
        if tries + 1 == MAX_TRIES:
            # Nothing is asked after this one, so there is nothing to wait for.
            return 0.0
        self.traffic.retried += 1
        self.sleep(wait_s)
        return wait_s

    def _require_own(self, url: str) -> None:
        own, given = urlsplit(self.base_url), urlsplit(url)
        # Following a link to another host would hand it our token.
        if (own.scheme, own.netloc) != (given.scheme, given.netloc):
            raise RequestRefused("The provider's next page is on another host.")


def _body(answer: httpx.Response) -> Json | None:
    # None for what may pass: throttling, a fault on the provider's side, an answer cut off.
    if answer.status_code == httpx.codes.FORBIDDEN:
        raise PermissionDenied
    if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
        return None
    if answer.is_client_error:
        raise RequestRefused(f"The provider refused a request with status {answer.status_code}.")
    if not answer.is_success:
        return None
    try:
        body = answer.json()
    except ValueError:
        # Cut off on its way: a 200 whose body is no JSON is no answer.
        return None
    if not isinstance(body, dict):
        raise RequestRefused("The provider's answer is no object.")
    return body
