"""Which index answers which question: cost follows the active runs, not the history."""

from __future__ import annotations

import json

import pytest

from lastword.reading.freshness import Freshness, freshness_sql
from lastword.service.claiming import _CLAIM
from lastword.service.moves import _statement
from lastword.storage.ledger import Ledger
from lastword_scheduler.candidates import _query


def plan_of(ledger: Ledger, statement: str, *parameters: object) -> str:
    """The plan a database makes when it may not simply read a small table from end to end."""
    if ledger.dialect.param == "?":
        rows = ledger.execute(f"EXPLAIN QUERY PLAN {statement}", *parameters)
        return "\n".join(row["detail"] for row in rows)
    ledger.execute("SET LOCAL enable_seqscan = off")
    ledger.execute("SET LOCAL enable_bitmapscan = off")
    [row] = ledger.execute(f"EXPLAIN (FORMAT JSON) {statement}", *parameters)
    return json.dumps(row["QUERY PLAN"])


def test_a_sweep_reads_the_index_of_active_runs(ledger: Ledger) -> None:
    with ledger.transaction():
        assert "lastword_run_active" in plan_of(ledger, _query(ledger), "", 1000)


def test_a_count_of_stale_runs_reads_an_index_of_active_runs(ledger: Ledger) -> None:
    statement = (
        "SELECT COUNT(*) FROM lastword_run WHERE completed_at IS NULL "
        f"AND {freshness_sql(ledger.dialect)} = '{Freshness.LIKELY_STALE}'"
    )
    with ledger.transaction():
        plan = plan_of(ledger, statement)
    assert "lastword_run_stale" in plan or "lastword_run_active" in plan


def test_a_move_finds_its_runs_by_their_ids(ledger: Ledger) -> None:
    with ledger.transaction():
        plan = plan_of(ledger, _statement(ledger, _CLAIM), "[]")
    assert "lastword_run_pkey" in plan or "lastword_run_active" in plan or "autoindex" in plan


@pytest.mark.parametrize("column", ["tenant", "workspace", "created"])
def test_a_list_reads_the_index_of_its_order(ledger: Ledger, column: str) -> None:
    where = {"tenant": "tenant_id = 't'", "workspace": "workspace_id = 'w'", "created": "TRUE"}
    statement = (
        f"SELECT id FROM lastword_run WHERE {where[column]} "
        "ORDER BY created_at DESC, id DESC LIMIT 50"
    )
    with ledger.transaction():
        assert f"lastword_run_{column}" in plan_of(ledger, statement)
