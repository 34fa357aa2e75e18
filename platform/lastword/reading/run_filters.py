"""Which runs a list holds, as SQL that walks an index and not the history.

A list over several workspaces, or over several kinds of trouble, is a union of branches: each takes
the newest from one index, so that its cost follows the page and not what is not on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lastword.reading.freshness import Freshness, ProblemClass, freshness_sql, problem_class_sql
from lastword.reading.viewers import Scope
from lastword.states import ACTIVE, RECONCILERS, TERMINAL, WELL_ENDED, Outcome
from lastword.storage.dialects import Dialect

#: Branches of one union at most; beyond that they are one condition.
MOST_BRANCHES = 40

Condition = tuple[str, list[object]]

# Word for word as the partial indexes have them, so that planners see that they fit.
_IS_ACTIVE = "completed_at IS NULL"
_ENDED_BADLY = "outcome IN ('blocked', 'failed', 'partially_succeeded')"
_IS_RECONCILED = "closed_by IN ('adapter', 'backup_schedule', 'generic', 'sentinel')"

_BY_INDEX = "created_at DESC, id DESC"
# The active ones are few among many, and have an index of their own: neither place nor order may
# lead a planner through the history in search of them.
_APART = "created_at + 0 DESC, id DESC"

assert all(f"'{outcome}'" in _ENDED_BADLY for outcome in set(Outcome) - WELL_ENDED - {"pending"})
assert all(f"'{source}'" in _IS_RECONCILED for source in RECONCILERS)


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs a list holds. None means: any.

    Attributes:
        scopes: what the reader may see; None: everything.
        attention: only what asks for attention: stale, or ended and to be followed up.
        active: only what has not ended.
        reconciled: whether a reconciler closed it.
        initiator_id: who started it.
        since_ms: not accepted before, in milliseconds since 1970.
        until_ms: accepted before.
        before: the `(created_at, id)` of the last run of the page before this one.
        limit: how many at most.
    """

    status: str | None = None
    outcome: str | None = None
    operation: str | None = None
    tenant_id: str | None = None
    workspace_id: str | None = None
    freshness_state: str | None = None
    problem_class: str | None = None
    reason: str | None = None
    reconciled: bool | None = None
    initiator_id: str | None = None
    attention: bool = False
    active: bool = False
    since_ms: int | None = None
    until_ms: int | None = None
    before: tuple[int, str] | None = None
    limit: int = 50
    scopes: tuple[Scope, ...] | None = None


def selection(dialect: Dialect, wanted: RunFilter, *, limit: int) -> Condition:
    """A query for the ids of the newest runs that fit, and its values."""
    parts: list[tuple[str, Condition]] = []
    for trouble in _troubles(dialect, wanted):
        apart = trouble[0].startswith(_IS_ACTIVE) or _IS_ACTIVE in _hints(wanted)
        conditions = [trouble, *_shared(dialect, wanted, apart=apart)]
        order = _APART if apart else _BY_INDEX
        for place in _places(dialect, wanted.scopes, apart=apart):
            parts.append((order, _all([place, *conditions])))
    if not parts:
        return "SELECT id FROM lastword_run WHERE FALSE", []
    if len(parts) > MOST_BRANCHES:
        text = " OR ".join(f"({condition})" for _, (condition, _) in parts)
        values = [value for _, (_, some) in parts for value in some]
        parts = [(_BY_INDEX, (f"({text})", values))]
    queries = [
        f"SELECT id FROM (SELECT id FROM lastword_run WHERE {condition} "
        f"ORDER BY {order} LIMIT {int(limit)}) AS part_{number}"
        for number, (order, (condition, _)) in enumerate(parts)
    ]
    return " UNION ALL ".join(queries), [value for _, (_, some) in parts for value in some]


def in_scope(dialect: Dialect, scopes: Sequence[Scope] | None) -> Condition:
    """A condition over `workspace_id` and `tenant_id`: that a reader may see the row."""
    places = _places(dialect, scopes)
    if not places:
        return "FALSE", []
    text = " OR ".join(f"({condition})" for condition, _ in places)
    return f"({text})", [value for _, values in places for value in values]


def _places(
    dialect: Dialect, scopes: Sequence[Scope] | None, *, apart: bool = False
) -> list[Condition]:
    if scopes is None:
        return [("TRUE", [])]
    workspace = "COALESCE(workspace_id, '')" if apart else "workspace_id"
    tenant = "COALESCE(tenant_id, '')" if apart else "tenant_id"
    places: list[Condition] = []
    for scope in scopes:
        if scope.workspace_id is None:
            places.append((f"{workspace} = ''" if apart else f"{workspace} IS NULL", []))
        elif scope.tenants is None:
            places.append((f"{workspace} = {dialect.param}", [scope.workspace_id]))
        else:
            both = f"{workspace} = {dialect.param} AND {tenant} = {dialect.param}"
            places += [(both, [scope.workspace_id, name]) for name in scope.tenants]
    return places


def _troubles(dialect: Dialect, wanted: RunFilter) -> list[Condition]:
    if not wanted.attention:
        return [("TRUE", [])]
    stale = f"{freshness_sql(dialect)} = '{Freshness.LIKELY_STALE}'"
    return [(f"{_IS_ACTIVE} AND {stale}", []), (_ENDED_BADLY, [])]


def _shared(dialect: Dialect, wanted: RunFilter, *, apart: bool) -> list[Condition]:
    param = dialect.param
    # What is no bare column has no index.
    bare = "COALESCE({}, '')" if apart else "{}"
    created_at = "created_at + 0" if apart else "created_at"
    columns = {
        "status": wanted.status,
        "outcome": wanted.outcome,
        bare.format("operation"): wanted.operation,
        bare.format("tenant_id"): wanted.tenant_id,
        bare.format("workspace_id"): wanted.workspace_id,
        "reason": wanted.reason,
        "initiator_id": wanted.initiator_id,
        freshness_sql(dialect): wanted.freshness_state,
        problem_class_sql(dialect): wanted.problem_class,
    }
    conditions: list[Condition] = [(text, []) for text in _hints(wanted)]
    conditions += [
        (f"{column} = {param}", [value]) for column, value in columns.items() if value is not None
    ]
    if wanted.since_ms is not None:
        conditions.append((f"{created_at} >= {param}", [wanted.since_ms]))
    if wanted.until_ms is not None:
        conditions.append((f"{created_at} < {param}", [wanted.until_ms]))
    if wanted.before is not None:
        conditions.append((f"({created_at}, id) < ({param}, {param})", list(wanted.before)))
    return conditions


def _hints(wanted: RunFilter) -> list[str]:
    # What follows from the filter, said so that a partial index can be used.
    stale = {Freshness.LIKELY_STALE, Freshness.FRESH_ACTIVE}
    if (
        wanted.active
        or wanted.status in ACTIVE
        or wanted.outcome == Outcome.PENDING
        or wanted.freshness_state in stale
        or wanted.problem_class == ProblemClass.ACTIVE_STALE_ATTENTION
    ):
        return [_IS_ACTIVE]
    if wanted.reconciled or wanted.freshness_state == Freshness.RECONCILED_FAILED:
        return [_IS_RECONCILED]
    hints = []
    if wanted.reconciled is False:
        hints.append(f"(closed_by IS NULL OR NOT {_IS_RECONCILED})")
    follow_up = wanted.problem_class == ProblemClass.TERMINAL_FOLLOW_UP
    if follow_up or (wanted.outcome and wanted.outcome not in WELL_ENDED):
        hints.append(_ENDED_BADLY)
    if wanted.status in TERMINAL:
        hints.append("completed_at IS NOT NULL")
    return hints


def _all(conditions: Sequence[Condition]) -> Condition:
    text = " AND ".join(condition for condition, _ in conditions)
    return text, [value for _, values in conditions for value in values]
