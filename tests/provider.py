"""A local Graph for the tests: served for real, asked for real, harmed through its laboratory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from dramatiq.rate_limits.backends import StubBackend

from lastword_jobs.graph.client import GraphClient
from lastword_jobs.graph.limits import Limits
from lastword_jobs.graph.tokens import Credentials, TokenCache
from lastword_jobs.graph.wire import Wire
from lastword_jobs.graph_server.app import GraphServer, create_app
from lastword_jobs.graph_server.clock import VirtualClock
from lastword_jobs.graph_server.faults import Laboratory
from lastword_jobs.graph_server.rules import Rules
from lastword_jobs.graph_server.seeding import Size, seed_tenant
from lastword_jobs.graph_server.serving import served
from lastword_jobs.graph_server.throttling import Throttle
from lastword_jobs.graph_server.tokens import TokenIssuer

TENANT, CLIENT_ID, SECRET, RUN_ID = "contoso", "app-1", "a-secret-nobody-may-see", "run-1"

#: Times of a fault that never ends.
FOR_EVER = 1_000_000


@dataclass(frozen=True, slots=True)
class Provider:
    """A running local Graph with one tenant.

    Attributes:
        url: its base URL.
        graph: what it holds, to change under its clients.
        http: a client to ask it with.
        waits: the seconds its clients would have waited.
    """

    url: str
    graph: GraphServer
    http: httpx.Client
    waits: list[float] = field(default_factory=list)

    def start_afresh(self) -> None:
        """Forget every fault, request, token and change of an earlier test."""
        self.graph.tenants = {TENANT: seed_tenant(TENANT, Size.M)}
        self.graph.tokens = TokenIssuer(CLIENT_ID, SECRET)
        self.graph.laboratory = Laboratory()
        self.graph.rules = Rules()
        self.graph.clock = time.time
        self.graph.throttle = Throttle()
        self.waits.clear()

    def fault(self, **rule: Any) -> None:
        self.lab("faults", **rule)

    def lab(self, name: str, **body: Any) -> dict[str, Any]:
        """Ask the laboratory: `faults`, `rules`, `seed`, `drift` or `reset`."""
        answer = self.http.post(f"{self.url}/_lab/{name}", json=body)
        assert answer.status_code == 200, answer.text
        done: dict[str, Any] = answer.json()
        return done

    def drift(self, name: str, **details: Any) -> dict[str, Any]:
        """Let a named drift happen in the tenant; what was done."""
        return self.lab("drift", tenant=TENANT, drift=name, **details)

    def stop_time(self) -> VirtualClock:
        """Give the server a clock that only moves when somebody waits on it."""
        clock = VirtualClock()
        self.graph.clock = self.graph.tokens.clock = clock
        return clock

    def counts(self) -> dict[str, int]:
        """How many requests went to each route, ids left open."""
        counts: dict[str, int] = self.http.get(f"{self.url}/_lab/journal/counts").json()["routes"]
        return counts

    def journal(self, ending: str = "") -> list[dict[str, Any]]:
        """The requests so far whose path ends like this."""
        entries: list[dict[str, Any]] = self.http.get(f"{self.url}/_lab/journal").json()
        return [entry for entry in entries if entry["path"].endswith(ending)]

    def ask_token(self, tenant: str = TENANT, **changes: str) -> httpx.Response:
        form = {
            "grant_type": "client_credentials",
            "client_id": CLIENT_ID,
            "client_secret": SECRET,
            "scope": f"{self.url}/.default",
            **changes,
        }
        return self.http.post(f"{self.url}/{tenant}/oauth2/v2.0/token", data=form)

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> httpx.Response:
        """Any request with this token, or a fresh one."""
        token = self.ask_token().json()["access_token"] if token is None else token
        url = path if path.startswith("http") else f"{self.url}/{path}"
        headers = {"Authorization": f"Bearer {token}", **(headers or {})}
        if content is not None:
            headers = {"Content-Type": "application/json", **headers}
            return self.http.request(method, url, headers=headers, content=content)
        return self.http.request(method, url, headers=headers, json=body)

    def ask(self, path: str, token: str | None = None) -> httpx.Response:
        """GET a path with this token, or a fresh one."""
        return self.send("GET", path, token=token)

    def all_pages(self, path: str) -> list[dict[str, Any]]:
        """Every object of a listing, whatever its pages."""
        token = self.ask_token().json()["access_token"]
        entities: list[dict[str, Any]] = []
        link: str | None = path
        while link is not None:
            answer = self.ask(link, token)
            assert answer.status_code == 200, answer.text
            entities += answer.json()["value"]
            link = answer.json().get("@odata.nextLink")
        return entities

    def client(
        self,
        *,
        secret: str = SECRET,
        run_id: str = RUN_ID,
        sleep: Callable[[float], None] | None = None,
        limits: Limits | None = None,
        may_block: bool = False,
        tenant_id: str = TENANT,
    ) -> GraphClient:
        """The adapter, with a token cache of its own; it notes its waits instead of waiting.

        With a `sleep`, such as that of a virtual clock, it does that instead.
        """
        given = Credentials(CLIENT_ID, secret)
        tokens = TokenCache(self.http, self.url, self.url, lambda tenant_id: given)
        sleep = sleep or self.waits.append
        # No limits but those of the server, unless a test is about them.
        limits = limits or Limits(StubBackend(), CLIENT_ID, share=1e6)
        wire = Wire(self.http, self.url, tenant_id, run_id, limits, sleep=sleep)
        return GraphClient(wire, tokens, may_block=may_block)


@contextmanager
def running_provider() -> Iterator[Provider]:
    """Serve a tenant with 150 policies on loopback."""
    app = create_app([], TokenIssuer(CLIENT_ID, SECRET))
    with served(app) as url, httpx.Client(timeout=10, trust_env=False) as http:
        provider = Provider(url, app.state.graph, http)
        provider.start_afresh()
        yield provider
