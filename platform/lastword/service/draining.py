"""Asking workers to finish what they do and to end, so that whatever keeps them starts others."""

from __future__ import annotations

from collections.abc import Sequence

from lastword.identity import WorkerId
from lastword.logs import log_transition
from lastword.storage.ledger import Ledger, as_batch


def request_drain(ledger: Ledger, worker_ids: Sequence[WorkerId], *, by: str) -> list[WorkerId]:
    """Ask workers to drain; those that are there to hear it. Asking twice does no harm.

    A worker hears it with its next heartbeat.

    Args:
        ledger: the ledger.
        worker_ids: whom to ask.
        by: who asks, as people are named in the log.
    """
    if not worker_ids:
        return []
    dialect = ledger.dialect
    with ledger.transaction():
        asked = ledger.execute(
            f"UPDATE lastword_worker SET drain_requested_at = "
            f"COALESCE(drain_requested_at, {dialect.now_ms}) "
            f"FROM {dialect.batch({'id': 'text'})} AS item "
            "WHERE id = item_id AND ended_at IS NULL RETURNING id, host, pid",
            as_batch([{"id": worker_id} for worker_id in worker_ids]),
        )
    for row in asked:
        log_transition(
            "worker_asked_to_drain", worker=row["id"], host=row["host"], pid=row["pid"], by=by
        )
    return [WorkerId(row["id"]) for row in asked]
