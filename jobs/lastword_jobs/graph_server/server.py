"""The server itself: how one call is answered, from its token to the fault that strikes it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from lastword_jobs.graph_server import batch
from lastword_jobs.graph_server.answers import Answer, Refusal, expired, not_allowed
from lastword_jobs.graph_server.calls import Call, Errand, Target
from lastword_jobs.graph_server.clock import Clock, stamp
from lastword_jobs.graph_server.faults import Fault, Laboratory
from lastword_jobs.graph_server.resources import Workload
from lastword_jobs.graph_server.routes import (
    VERSIONS,
    handler_of,
    require_role,
    target_of,
    workload_of,
)
from lastword_jobs.graph_server.rules import Rules
from lastword_jobs.graph_server.tenants import Tenant, stable_id
from lastword_jobs.graph_server.throttling import Asker, Throttle, Throttled
from lastword_jobs.graph_server.tokens import Grant, TokenIssuer

#: Objects below which a page costs the directory less.
SMALL_PAGE = 20


class Dropped(Exception):
    """The connection is closed instead of an answer."""


@dataclass(slots=True)
class GraphServer:
    """Everything the server holds.

    Args:
        tenants: the tenants, by id.
        tokens: who may ask.
        laboratory: the faults in force and the journal.
        rules: how it behaves.
        clock: its clock.
        throttle: how much of the limits is used up.
    """

    tenants: dict[str, Tenant]
    tokens: TokenIssuer
    laboratory: Laboratory = field(default_factory=Laboratory)
    rules: Rules = field(default_factory=Rules)
    clock: Clock = time.time
    throttle: Throttle = field(default_factory=Throttle)

    async def answer(self, call: Call) -> Answer:
        """Answer a call and write it down.

        Raises:
            Dropped: a fault closes the connection.
        """
        now_s, book = self.clock(), self.laboratory.book
        grant = self.tokens.check(call.headers.get("authorization"))
        client_request_id = call.headers.get("client-request-id")
        entry = book.note(
            method=call.method,
            path=f"/{call.version}/{call.path}",
            query="&".join(f"{key}={value}" for key, value in call.options),
            tenant=grant.tenant_id if grant else None,
            client_request_id=client_request_id,
            priority=call.headers.get("x-ms-throttle-priority"),
            batch=call.batch,
            at=stamp(now_s),
            status=0,
        )
        date = format_datetime(datetime.fromtimestamp(now_s, UTC), usegmt=True)
        ids = {"request-id": stable_id("request", str(book.asked)), "Date": date}
        if client_request_id:
            ids["client-request-id"] = client_request_id
        try:
            answer = await self._struck(call, grant)
        except Refusal as refusal:
            if isinstance(refusal, Throttled):
                entry["early"] = refusal.is_early
            answer = refusal.answer(
                request_id=ids["request-id"], client_request_id=client_request_id, date=stamp(now_s)
            )
        entry |= _noted(answer)
        return answer.with_headers(ids)

    async def hit(self, *, method: str, path: str, tenant_id: str) -> Fault | None:
        """The fault that strikes a request, after the wait it brings."""
        fault = self.laboratory.fault_for(method=method, path=path, tenant=tenant_id)
        await asyncio.sleep(self.rules.latency_s + (fault.wait_s if fault else 0.0))
        return fault

    async def _struck(self, call: Call, grant: Grant | None) -> Answer:
        if grant is None or grant.tenant_id not in self.tenants:
            raise expired()
        path = f"/{call.version}/{call.path}"
        fault = await self.hit(method=call.method, path=path, tenant_id=grant.tenant_id)
        if fault is None:
            return await self._own_answer(call, grant)
        self._undermine(call, grant, fault)
        if not fault.after and not fault.is_silence:
            return _strike(fault)
        try:
            answer = await self._own_answer(call, grant)
        except Refusal:
            if fault.is_silence:
                raise
            return _strike(fault)
        if not fault.is_silence:
            return _strike(fault)
        if fault.truncate:
            content = answer.content.decode()
            return replace(answer, body=content[: len(content) // 2])
        return answer

    def _undermine(self, call: Call, grant: Grant, fault: Fault) -> None:
        if fault.gone:
            target = target_of(call.version, call.path)
            if target.resource is not None:
                tenant = self.tenants[grant.tenant_id]
                tenant.remove(target.resource.name, target.entity_id)
        if fault.expire_tokens:
            self.tokens.revoke(grant.tenant_id)
            raise expired()

    async def _own_answer(self, call: Call, grant: Grant) -> Answer:
        if call.path == batch.BATCH_PATH and call.version in VERSIONS:
            book = self.laboratory.book
            book.count(call.method, f"/{call.version}/{call.path}")
            if call.method != "POST":
                raise not_allowed(call.method)
            return await batch.answer_batch(call, self._answer_inside, number=book.asked)
        target = target_of(call.version, call.path)
        self.laboratory.book.count(call.method, f"/{call.version}/{target.template}")
        tenant, now_s = self.tenants[grant.tenant_id], self.clock()
        asker = asker_of(call, target, grant, tenant)
        headers = self.throttle.admit(asker, self.rules, now_s)
        if asker.workload is Workload.DIRECTORY:
            headers["x-ms-resource-unit"] = str(asker.units)
        handler = handler_of(call.method, target)
        require_role(call.method, target, grant)
        answer = handler(Errand(call, target, grant, tenant, self.rules, now_s))
        return answer.with_headers(headers)

    async def _answer_inside(self, call: Call) -> Answer:
        try:
            return await self.answer(call)
        except Dropped:
            # One request of a batch has no connection of its own to lose.
            return Answer(504)


def asker_of(call: Call, target: Target, grant: Grant, tenant: Tenant) -> Asker:
    """Whose request this is, against which limits, and what it costs."""
    names = dict(call.options)
    units = target.resource.units if target.resource else 1
    units += ("$expand" in names) - ("$select" in names)
    top = names.get("$top", "")
    units -= top.isdecimal() and len(top) < 3 and int(top) < SMALL_PAGE
    return Asker(
        client_id=grant.client_id,
        tenant_id=grant.tenant_id,
        size=tenant.size,
        workload=workload_of(target),
        kind="read" if call.method == "GET" else "write",
        units=max(1, units),
        caller=call.headers.get("client-request-id", ""),
    )


def _strike(fault: Fault) -> Answer:
    if fault.drop:
        raise Dropped
    return fault.answer


def _noted(answer: Answer) -> dict[str, Any]:
    noted: dict[str, Any] = {"status": answer.status}
    if "Retry-After" in answer.headers:
        noted["retry_after"] = answer.headers["Retry-After"]
    if answer.status == 201 and isinstance(answer.body, dict):
        noted["created"] = answer.body.get("id")
    return noted
