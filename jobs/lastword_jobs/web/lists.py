"""The records of a tenant as its pages list them: the latest, and never more than a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from peewee import SQL, Field, Model, fn

from lastword.storage.ledger import Ledger, Row
from lastword.times import to_iso
from lastword.web.asking import Asked, NotFound
from lastword.web.fields import BadInput
from lastword_jobs.graph.contracts import BY_TYPE

#: Records of one list at most.
MOST = 200


def latest(
    ledger: Ledger,
    table: type[Model],
    tenant_id: str,
    *,
    order: Sequence[Any],
    where: Any = None,
    limit: int = MOST,
) -> list[Row]:
    """The records of a tenant in an order, as rows with their moments in ISO 8601."""
    tenant: Field = table.tenant_id  # type: ignore[attr-defined]  # every such table has one
    query = table.select().where(tenant == tenant_id)
    if where is not None:
        query = query.where(where)
    query = query.order_by(*order).limit(limit).dicts()
    with ledger.session():
        return [readable(row) for row in query.execute(ledger.database)]


def count_of(ledger: Ledger, table: type[Model], tenant_id: str, where: Any = None) -> int:
    """How many records of a tenant there are."""
    query = table.select(fn.COUNT(SQL("*"))).where(
        table.tenant_id == tenant_id  # type: ignore[attr-defined]
    )
    if where is not None:
        query = query.where(where)
    with ledger.session():
        return int(query.scalar(ledger.database))


def find_here(asked: Asked, table: type[Model], record_id: str) -> Row:
    """A record of the tenant of the page.

    Raises:
        NotFound: there is none of that id, or it is another tenant's.
    """
    query = table.select().where(
        (table.id == record_id)  # type: ignore[attr-defined]
        & (table.tenant_id == asked.here.tenant_id)  # type: ignore[attr-defined]
    )
    with asked.ledger.session():
        found = query.dicts().first(asked.ledger.database)
    if found is None:
        raise NotFound
    return readable(found)


def readable(row: Row) -> Row:
    """A row with its moments in ISO 8601."""
    return {
        name: to_iso(value) if name.endswith("_at") and isinstance(value, int) else value
        for name, value in row.items()
    }


def chosen_types(asked: Asked) -> list[str] | None:
    """The types that a form names; None if it names none.

    Raises:
        BadInput: one is unknown.
    """
    types = asked.form.many("type")
    for type_ in types:
        if type_ not in BY_TYPE:
            raise BadInput("type", type_, expected=f"some of {', '.join(BY_TYPE)}")
    return sorted(set(types)) or None


def inputs_of(**values: Any) -> dict[str, Any]:
    """Inputs of a run, without those that are None."""
    return {name: value for name, value in values.items() if value is not None}


def path_of(asked: Asked, page: str) -> str:
    """The path of a page of the tenant."""
    return f"/admin/t/{asked.here.tenant_id}/{page}"
