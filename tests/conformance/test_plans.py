"""Which index answers which question: cost follows the active runs, not the history."""

from __future__ import annotations

import json

import pytest

from lastword.reading.freshness import Freshness, freshness_sql
from lastword.service.claiming import _CLAIM
from lastword.service.moves import statement
from lastword.storage.ledger import Ledger
from lastword_scheduler.candidates import _page, _query
from tests.support import Scene

#: What an active run's row lacks to be that of a completed one.
COMPLETED = {
    "status": "'completed'",
    "outcome": "'succeeded'",
    "closed_by": "'worker'",
    "completed_at": "created_at",
    "stale_at": "NULL",
}


def plan_of(ledger: Ledger, statement: str, *parameters: object) -> str:
    """The plan a database makes when it may not simply read a small table from end to end."""
    if ledger.dialect.param == "%s":
        ledger.execute("SET LOCAL enable_seqscan = off")
        ledger.execute("SET LOCAL enable_bitmapscan = off")
    return own_plan_of(ledger, statement, *parameters)


def own_plan_of(ledger: Ledger, statement: str, *parameters: object) -> str:
    """The plan a database makes by itself."""
    if ledger.dialect.param == "?":
        rows = ledger.execute(f"EXPLAIN QUERY PLAN {statement}", *parameters)
        return "\n".join(row["detail"] for row in rows)
    [row] = ledger.execute(f"EXPLAIN (FORMAT JSON) {statement}", *parameters)
    return json.dumps(row["QUERY PLAN"])


def clone(ledger: Ledger, run_id: str, times: int, **changes: str) -> None:
    """Write a run's row many times more, changed as SQL says, where `number` counts them."""
    param = ledger.dialect.param
    [row] = ledger.execute(f"SELECT * FROM lastword_run WHERE id = {param}", run_id)
    values = {name: changes.get(name, name) for name in row}
    ledger.execute(
        "WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers "
        f"WHERE number < {times}) INSERT INTO lastword_run ({', '.join(values)}) "
        f"SELECT {', '.join(values.values())} FROM lastword_run, numbers WHERE id = {param}",
        run_id,
    )


def test_a_sweep_reads_the_index_of_active_runs(ledger: Ledger) -> None:
    with ledger.transaction():
        assert "lastword_run_active" in plan_of(ledger, _query(ledger), "", 1000)


def test_a_page_of_a_sweep_is_read_in_its_order_beside_a_history(ledger: Ledger) -> None:
    # Not sorted: that would read all active runs again for each page of them, and they are many.
    run_id = Scene(ledger).accept()
    with ledger.transaction():
        clone(ledger, run_id, 3000, **COMPLETED, id="'old-' || CAST(number AS VARCHAR(10))")
        clone(ledger, run_id, 6000, id="'new-' || CAST(number AS VARCHAR(10))")
        ledger.execute("ANALYZE")
        plan = own_plan_of(ledger, _page(ledger), "", 1000)
    assert "lastword_run_active" in plan
    assert "Sort" not in plan
    assert "TEMP B-TREE" not in plan


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
        plan = plan_of(ledger, statement(ledger, _CLAIM, _CLAIM.arrow.origins), "[]")
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
