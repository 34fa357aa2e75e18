"""Notifications: a run's end is told once, to the person who started it, and to nobody else."""

from __future__ import annotations

from collections.abc import Sequence

from peewee import SQL

from lastword.storage.ledger import Ledger, Row, as_batch
from lastword.storage.web_tables import Notification


def notify_of_ends(ledger: Ledger, ended: Sequence[Row]) -> None:
    """Tell the initiators of these runs. Call it in the transaction that ended them.

    Runs that the system started are told to nobody.
    """
    items = [
        {"run_id": row["id"], "user_id": row["initiator_id"]}
        for row in ended
        if row["initiator_id"]
    ]
    if not items:
        return
    source = ledger.dialect.batch({"run_id": "text", "user_id": "text"})
    ledger.execute(
        "INSERT INTO lastword_notification (run_id, user_id, at) "
        f"SELECT item_run_id, item_user_id, {ledger.dialect.now_ms} FROM {source} AS item "
        # The initiator may have been somebody whom nobody knows: such a run is blocked.
        "JOIN lastword_user AS person ON person.id = item_user_id WHERE TRUE "
        "ON CONFLICT DO NOTHING",
        as_batch(items),
    )


def mark_read(ledger: Ledger, user_id: str, run_id: str | None = None) -> int:
    """A person has read one notification, or all; how many were unread."""
    mine = (Notification.user_id == user_id) & Notification.read_at.is_null()
    if run_id is not None:
        mine &= Notification.run_id == run_id
    update = Notification.update(read_at=SQL(ledger.dialect.now_ms)).where(mine)
    with ledger.transaction():
        return int(update.execute(ledger.database))
