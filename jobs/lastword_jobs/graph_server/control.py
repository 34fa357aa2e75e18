"""The routes under `/_lab`: faults, rules, seeds, drifts, the journal."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lastword_jobs.graph_server.drifts import apply_drift
from lastword_jobs.graph_server.faults import fault_from
from lastword_jobs.graph_server.rules import changed_rules
from lastword_jobs.graph_server.seeding import seed_tenant
from lastword_jobs.graph_server.server import GraphServer
from lastword_jobs.graph_server.tenants import Size, Tenant
from lastword_jobs.graph_server.throttling import Throttle

#: Answers one request to the laboratory, which has no body but JSON.
Control = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class LaboratoryRoutes:
    """What may be done to a running server; every fault in a request is said by name."""

    graph: GraphServer

    def routes(self) -> list[Route]:
        """The routes."""
        posts: Mapping[str, Control] = {
            "faults": self.add_faults,
            "rules": self.change_rules,
            "seed": self.seed,
            "drift": self.drift,
            "reset": self.reset,
        }
        gets: Mapping[str, Control] = {
            "journal": lambda _: self.graph.laboratory.book.entries,
            "journal/counts": lambda _: self.counts(),
            "rules": lambda _: asdict(self.graph.rules),
        }
        return [
            *(Route(f"/_lab/{name}", _said(act), methods=["POST"]) for name, act in posts.items()),
            *(Route(f"/_lab/{name}", _said(act)) for name, act in gets.items()),
        ]

    def add_faults(self, asked: Any) -> dict[str, Any]:
        """POST /_lab/faults: one fault or a list of them."""
        faults = [fault_from(rule) for rule in (asked if isinstance(asked, list) else [asked])]
        self.graph.laboratory.faults.extend(faults)
        return {"faults": len(self.graph.laboratory.faults)}

    def change_rules(self, asked: Any) -> dict[str, Any]:
        """POST /_lab/rules: some of the rules; the rest stays."""
        earlier = self.graph.rules
        self.graph.rules = changed_rules(earlier, _object(asked))
        if self.graph.rules.scale != earlier.scale:
            # Waits told under other limits mean nothing any more.
            self.graph.throttle = Throttle()
        return asdict(self.graph.rules)

    def seed(self, asked: Any) -> dict[str, Any]:
        """POST /_lab/seed: a tenant afresh; with the size null it is taken away."""
        asked = _object(asked, "tenant", "size")
        tenant_id, size = asked.get("tenant"), asked.get("size")
        if not isinstance(tenant_id, str) or not tenant_id or "size" not in asked:
            raise ValueError("seed needs a tenant and a size")
        earlier = self.graph.tenants.get(tenant_id)
        if size is None:
            self.graph.tenants.pop(tenant_id, None)
            return {"tenant": tenant_id, "collections": {}}
        tenant = seed_tenant(tenant_id, Size(size))
        # Delta tokens of what was there before are worth nothing now.
        tenant.generation = earlier.generation + 1 if earlier else 0
        self.graph.tenants[tenant_id] = tenant
        counts = {name: len(entities) for name, entities in tenant.collections.items()}
        return {"tenant": tenant_id, "collections": counts}

    def drift(self, asked: Any) -> dict[str, Any]:
        """POST /_lab/drift: a named drift in a tenant."""
        asked = _object(asked, "tenant", "drift", "collection", "nth", "id")
        nth = asked.get("nth", 0)
        if type(nth) is not int or nth < 0:
            raise ValueError(f"nth is {nth!r}; expected a whole number of at least 0")
        return apply_drift(
            self._tenant(asked.get("tenant")),
            str(asked.get("drift")),
            now_s=self.graph.clock(),
            collection=str(asked.get("collection") or ""),
            nth=nth,
            id_=str(asked.get("id") or ""),
        )

    def reset(self, asked: Any) -> dict[str, Any]:
        """POST /_lab/reset: no faults, no journal, full limits, every token expired."""
        del asked
        self.graph.laboratory.faults.clear()
        self.graph.laboratory.book.clear()
        self.graph.tokens.revoke_all()
        self.graph.throttle = Throttle()
        return {}

    def counts(self) -> dict[str, Any]:
        """GET /_lab/journal/counts: how many requests went to each route."""
        book = self.graph.laboratory.book
        return {"asked": book.asked, "remembered": len(book.entries), "routes": dict(book.counts)}

    def _tenant(self, tenant_id: Any) -> Tenant:
        if not isinstance(tenant_id, str) or tenant_id not in self.graph.tenants:
            raise ValueError(f"no tenant {tenant_id!r}; there are {sorted(self.graph.tenants)}")
        return self.graph.tenants[tenant_id]


def _said(act: Control) -> Callable[[Request], Awaitable[Response]]:
    async def respond(request: Request) -> Response:
        try:
            content = await request.body()
            return JSONResponse(act(json.loads(content) if content else {}))
        except (ValueError, RecursionError) as error:
            return JSONResponse({"error": str(error)}, status_code=400)

    return respond


def _object(asked: Any, *keys: str) -> dict[str, Any]:
    if not isinstance(asked, dict):
        raise ValueError(f"the body is {asked!r}; expected an object")
    unknown = set(asked) - set(keys)
    if keys and unknown:
        raise ValueError(f"unknown keys {sorted(unknown)}; expected some of {sorted(keys)}")
    return asked
