"""Schedules: work that is started again and again, at the slots of a cron expression.

A schedule keeps the message of its runs, so whoever starts them needs no application code.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from lastword.application import Application, application_here
from lastword.cron import Cron, read_cron
from lastword.errors import InvalidInputs, UnknownTenant
from lastword.identity import RunId, new_run_id, run_identity, scope_key
from lastword.input_rules import MAX_NAME, require_json
from lastword.policy import Policy
from lastword.reading.tenants import find_tenant
from lastword.service.audit import SYSTEM, Actor
from lastword.service.requests import NewRun
from lastword.service.scheduling import NewSchedule, ScheduleService
from lastword.storage.ledger import Row
from lastword.storage.schema import require_current_schema
from lastword.times import to_iso

#: Characters a schedule's name may have.
LONGEST_NAME = 200


def add_schedule(
    operation: str,
    *,
    name: str,
    cron: str,
    timezone: str = "UTC",
    inputs: Mapping[str, Any] | None = None,
    tenant: str | None = None,
    initiator: str | None = None,
    actor: Actor = SYSTEM,
) -> str:
    """Start `operation` at every slot of a cron expression from now on; the schedule's id.

    One run for a slot, however many schedulers there are. A slot that comes while a run of the same
    inputs is active is skipped; one that passed while no scheduler was there is not caught up.

    Args:
        operation: the operation's name.
        name: what people call the schedule; unique.
        cron: five fields: minute, hour, day of the month, month, day of the week.
        timezone: an IANA name; clock changes follow Debian's cron.
        inputs: the actor's keyword arguments, as JSON values.
        tenant: the id of the tenant to work on.
        initiator: whom the runs belong to; "System" when None.
        actor: who adds it.

    Raises:
        StartRefused: something of it is wrong; nothing was written.
    """
    application, kept = application_here(), dict(inputs or {})
    schedule = _new(
        application,
        application.config.offered(operation),
        name=name,
        cron=read_cron(cron, timezone),
        inputs=kept,
        tenant=tenant,
        initiator=initiator,
    )
    return _added(application, schedule, actor)


def run_of_slot(schedule: Row, slot_at: int, policy: Policy) -> NewRun:
    """The run that one slot of a schedule is to have."""
    run_id = RunId(new_run_id())
    inputs = json.loads(schedule["inputs"])
    context = {
        "schedule_id": schedule["id"],
        "schedule": schedule["name"],
        "slot": to_iso(slot_at),
    }
    return NewRun(
        run_id=run_id,
        policy=policy,
        actor_name=schedule["actor_name"],
        payload=json.dumps({**json.loads(schedule["payload"]), "message_id": run_id}),
        workspace_id=schedule["workspace_id"],
        tenant_id=schedule["tenant_id"],
        initiator_id=schedule["initiator_id"],
        initiator_name=schedule["initiator_id"] or "System",
        identity_hash=schedule["identity_hash"],
        context={**context, "inputs": inputs} if inputs else context,
        scope_key=scope_key(policy.scope, schedule["tenant_id"]),
    )


def _new(
    application: Application,
    policy: Policy,
    *,
    name: str,
    cron: Cron,
    inputs: dict[str, Any],
    tenant: str | None,
    initiator: str | None,
) -> NewSchedule:
    _require_label("name", name, LONGEST_NAME)
    if initiator is not None:
        _require_label("initiator", initiator, MAX_NAME)
    require_json(inputs)
    schedule_id = new_run_id()
    letter = application.dispatcher.template(policy.operation, schedule_id, inputs)
    workspace_id = _workspace(application, policy, tenant)
    return NewSchedule(
        id=schedule_id,
        name=name,
        operation=policy.operation,
        cron=cron.expression,
        timezone=cron.timezone,
        actor_name=letter.actor_name,
        payload=letter.payload,
        inputs=inputs,
        # This process's own clock is near enough: the slots are noted by the ledger's.
        next_at=cron.next_after(int(time.time() * 1000)),
        workspace_id=workspace_id,
        tenant_id=tenant,
        initiator_id=initiator,
        identity_hash=run_identity(
            workspace_id=workspace_id,
            tenant_id=tenant,
            operation=policy.operation,
            inputs=inputs,
        ),
    )


def _added(application: Application, schedule: NewSchedule, actor: Actor) -> str:
    require_current_schema(application.apart)
    if not ScheduleService(application.apart).add(schedule, actor=actor):
        raise InvalidInputs(
            f"there is a schedule {schedule.name!r} already",
            mend="remove it first, or take another name",
        )
    return schedule.id


def _workspace(application: Application, policy: Policy, tenant: str | None) -> str | None:
    if tenant is not None:
        return find_tenant(application.apart, tenant).workspace_id
    if policy.needs_tenant:
        raise UnknownTenant(
            f"operation {policy.operation!r} was to be scheduled without a tenant",
            expected="the id of a tenant",
            mend="see `lastword tenants list`",
        )
    return None


def _require_label(what: str, text: str, longest: int) -> None:
    if not 0 < len(text) <= longest or not text.isprintable():
        raise InvalidInputs(
            f"{what} {text!a} has {len(text)} characters",
            expected=f"1 to {longest} that can be printed",
        )
