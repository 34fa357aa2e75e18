"""Schedulers as people and metrics read them: who leads, what the jobs did, schedules and slots."""

from __future__ import annotations

import json
from collections.abc import Sequence

from lastword.storage.ledger import Ledger, Row
from lastword.times import to_iso


def read_leader(ledger: Ledger) -> Row | None:
    """The scheduler that leads; None if none does.

    Its `lease` is `live` or `expired`.
    """
    now = ledger.dialect.now_ms
    with ledger.session():
        rows = ledger.execute(
            "SELECT holder, host, pid, since, lease_until, "
            f"CASE WHEN lease_until > {now} THEN 'live' ELSE 'expired' END AS lease "
            "FROM lastword_leader"
        )
    if not rows:
        return None
    [row] = rows
    return {**row, "since": to_iso(row["since"]), "lease_until": to_iso(row["lease_until"])}


def list_sweeps(ledger: Ledger) -> list[Row]:
    """What each job of the scheduler last did, by name. Moments are milliseconds since 1970."""
    with ledger.session():
        return ledger.execute("SELECT * FROM lastword_sweep ORDER BY job")


def list_schedules(ledger: Ledger) -> list[Row]:
    """Every schedule by name, with its last slot."""
    with ledger.session():
        rows = ledger.execute(
            "SELECT schedule.id, name, operation, tenant_id, cron, timezone, inputs, next_at, "
            "paused_at, error, slot.slot_at AS last_slot_at, slot.result AS last_result "
            "FROM lastword_schedule AS schedule LEFT JOIN lastword_slot AS slot "
            "ON slot.schedule_id = schedule.id AND slot.slot_at = (SELECT MAX(slot_at) "
            "FROM lastword_slot AS latest WHERE latest.schedule_id = schedule.id) ORDER BY name"
        )
    moments = ("next_at", "paused_at", "last_slot_at")
    return [
        {
            **row,
            **{name: to_iso(row[name]) for name in moments},
            "inputs": json.loads(row["inputs"]),
        }
        for row in rows
    ]


def list_slots(ledger: Ledger, name: str, *, limit: int = 100) -> list[Row]:
    """The latest slots of a schedule, the last first, with how their runs stand."""
    with ledger.session():
        rows = ledger.execute(
            "SELECT slot_at, result, run_id, run.status, run.outcome FROM lastword_slot AS slot "
            "JOIN lastword_schedule AS schedule ON schedule.id = slot.schedule_id "
            "LEFT JOIN lastword_run AS run ON run.id = slot.run_id "
            f"WHERE schedule.name = {ledger.dialect.param} ORDER BY slot_at DESC "
            f"LIMIT {int(limit)}",
            name,
        )
    return [{**row, "slot_at": to_iso(row["slot_at"])} for row in rows]


def read_counters(ledger: Ledger, names: Sequence[str]) -> dict[tuple[str, str], int]:
    """Counters of these names: by name and label, their value."""
    marks = ", ".join([ledger.dialect.param] * len(names))
    with ledger.session():
        rows = ledger.execute(
            f"SELECT name, label, value FROM lastword_counter WHERE name IN ({marks})", *names
        )
    return {(row["name"], row["label"]): row["value"] for row in rows}
