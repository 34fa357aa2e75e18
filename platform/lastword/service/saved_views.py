"""Saved views: filters of the list of runs that a person keeps under a name."""

from __future__ import annotations

from peewee import SQL

from lastword.errors import InvalidInputs
from lastword.service.members import require_text
from lastword.storage.ledger import Ledger
from lastword.storage.web_tables import SavedView

#: Views that one person may keep.
MOST_VIEWS = 50

LONGEST_NAME = 60
LONGEST_QUERY = 2000


def save_view(ledger: Ledger, *, user_id: str, name: str, query: str) -> None:
    """Keep a view, in the place of one of the same name.

    Raises:
        InvalidInputs: the name or the query is too long, or there are too many.
    """
    require_text("name of the view", name, LONGEST_NAME)
    if len(query) > LONGEST_QUERY:
        raise InvalidInputs(f"the view has {len(query)} characters", expected=f"{LONGEST_QUERY}")
    with ledger.transaction():
        others = SavedView.select().where((SavedView.user_id == user_id) & (SavedView.name != name))
        if others.count(ledger.database) >= MOST_VIEWS:
            raise InvalidInputs(
                f"there are {MOST_VIEWS} saved views already", mend="remove one of them first"
            )
        SavedView.insert(
            user_id=user_id, name=name, query=query, created_at=SQL(ledger.dialect.now_ms)
        ).on_conflict(
            conflict_target=[SavedView.user_id, SavedView.name], update={"query": query}
        ).execute(ledger.database)


def remove_view(ledger: Ledger, *, user_id: str, name: str) -> bool:
    """Forget a view; False if there is none."""
    query = SavedView.delete().where((SavedView.user_id == user_id) & (SavedView.name == name))
    with ledger.transaction():
        return bool(query.execute(ledger.database))


def list_views(ledger: Ledger, user_id: str) -> list[tuple[str, str]]:
    """The views of a person: name and query, by name."""
    query = (
        SavedView.select(SavedView.name, SavedView.query)
        .where(SavedView.user_id == user_id)
        .order_by(SavedView.name)
        .tuples()
    )
    with ledger.session():
        return [(str(name), str(text)) for name, text in query.execute(ledger.database)]
