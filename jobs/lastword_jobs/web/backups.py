"""Backups of a tenant: its sets, and the schedules that make them."""

from __future__ import annotations

import time

from starlette.responses import Response

from lastword.access import Capability
from lastword.cron import read_cron
from lastword.reading.scheduler import list_schedules
from lastword.schedules import add_schedule
from lastword.service.scheduling import ScheduleService
from lastword.storage.ledger import Row
from lastword.web.asking import Asked, NotFound
from lastword.web.guarding import Entry
from lastword.web.notices import tenant_page
from lastword.web.starts import start_here
from lastword_jobs.backups import BackupSet
from lastword_jobs.graph.contracts import ALL_TYPES
from lastword_jobs.web.lists import chosen_types, inputs_of, latest, path_of

OPERATION = "backup_schedule_run"

#: Sets of a schedule that may be kept at most.
MOST_KEPT = 1000


def backups(asked: Asked) -> Response:
    """The page of the backups."""
    order = [BackupSet.created_at.desc(), BackupSet.id.desc()]
    return tenant_page(
        asked,
        "backups.html",
        sets=latest(asked.ledger, BackupSet, asked.here.tenant_id, order=order),
        schedules=_schedules(asked),
        types=ALL_TYPES,
    )


def back_up(asked: Asked) -> Response:
    """Back up now."""
    asked.form.only({"type"})
    inputs = inputs_of(types=chosen_types(asked))
    return start_here(asked, OPERATION, inputs, back=path_of(asked, "backups"))


def new_schedule(asked: Asked) -> Response:
    """Back up again and again. Its runs are the system's own: they outlast whoever added it."""
    asked.form.only({"name", "cron", "timezone", "keep", "type"})
    name = asked.form.required("name", longest=200)
    asked.site.open_application()
    add_schedule(
        OPERATION,
        name=name,
        cron=asked.form.required("cron", longest=100),
        timezone=asked.form.text("timezone", longest=64) or "UTC",
        inputs=inputs_of(types=chosen_types(asked), keep=asked.form.number("keep", 1, MOST_KEPT)),
        tenant=asked.here.tenant_id,
        actor=asked.actor,
    )
    return asked.go(path_of(asked, "backups"))


def change_schedule(asked: Asked) -> Response:
    """Pause a schedule, resume it, or remove it."""
    asked.form.only({"name", "change"})
    name = asked.form.required("name", longest=200)
    found = next((row for row in _schedules(asked) if row["name"] == name), None)
    if found is None:
        raise NotFound
    service, actor = ScheduleService(asked.ledger), asked.actor
    change = asked.form.choice("change", ("pause", "resume", "remove"))
    if change == "pause":
        service.pause(name, actor=actor)
    elif change == "resume":
        cron = read_cron(found["cron"], found["timezone"])
        service.resume(name, next_at=cron.next_after(int(time.time() * 1000)), actor=actor)
    elif change == "remove":
        service.remove(name, actor=actor)
    return asked.go(path_of(asked, "backups"))


def _schedules(asked: Asked) -> list[Row]:
    return [
        row
        for row in list_schedules(asked.ledger)
        if row["tenant_id"] == asked.here.tenant_id and row["operation"] == OPERATION
    ]


ENTRIES = (
    Entry("/admin/t/{tenant}/backups", backups),
    Entry("/admin/t/{tenant}/backups/run", back_up, "POST", Capability.BACKUP),
    Entry("/admin/t/{tenant}/backups/schedules", new_schedule, "POST", Capability.BACKUP),
    Entry("/admin/t/{tenant}/backups/schedules/change", change_schedule, "POST", Capability.BACKUP),
)
