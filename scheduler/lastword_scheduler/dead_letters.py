"""`lastword dead-letters`: what the queue gave up, with the truth of its runs."""

from __future__ import annotations

from typing import Any

import click
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import DecodeError
from dramatiq.message import Message

from lastword.cli.opening import open_current
from lastword.cli.output import json_option, print_rows
from lastword.errors import BrokerUnavailable, LastwordError
from lastword.storage.ledger import Ledger, Row, as_batch
from lastword.times import to_iso
from lastword_middleware.broker import plain_broker, require_broker
from lastword_scheduler.contact import Contact
from lastword_scheduler.rescue import BrokerRescue

#: Dead letters listed of one queue, the latest first.
MOST_LISTED = 500

_COLUMNS = {
    "queue": "queue",
    "since": "since",
    "actor": "actor",
    "run": "run",
    "status": "status",
    "outcome": "outcome",
    "reason": "reason",
}


@click.command()
@json_option
def dead_letters(as_json: bool) -> None:
    """Messages that the queue gave up. A run is ended by its dead letter; the letter is kept."""
    config, ledger = open_current()
    broker = plain_broker(config)
    require_broker(broker, config)
    if not isinstance(broker, RedisBroker):
        raise LastwordError("only Redis can be asked for its dead letters")
    rescue = BrokerRescue(ledger, broker.client, broker.namespace, 0, 0, Contact(0))
    try:
        rows = [row for queue in sorted(rescue.queues()) for row in _letters(broker, queue)]
    except redis.RedisError as error:
        raise BrokerUnavailable(f"the broker does not answer: {error}", address="") from error
    print_rows(_with_runs(ledger, rows), _COLUMNS, as_json=as_json, empty="no dead letter")


def _letters(broker: RedisBroker, queue: str) -> list[Row]:
    key = f"{broker.namespace}:{queue}.XQ"
    found: Any = broker.client.zrevrange(key, 0, MOST_LISTED - 1, withscores=True)
    if not found:
        return []
    bodies: Any = broker.client.hmget(f"{key}.msgs", [ref for ref, _ in found])
    return [
        {"queue": queue, "since": to_iso(int(score)), "ref": ref.decode(), **_read(body)}
        for (ref, score), body in zip(found, bodies, strict=True)
    ]


def _read(body: bytes | None) -> Row:
    try:
        message: Message[Any] = Message.decode(body or b"")
    except (DecodeError, TypeError, ValueError, KeyError):
        return {"actor": None, "run": None}
    return {"actor": str(message.actor_name), "run": str(message.message_id)}


def _with_runs(ledger: Ledger, rows: list[Row]) -> list[Row]:
    with ledger.session():
        runs = ledger.execute(
            "SELECT id, status, outcome, reason FROM lastword_run JOIN "
            f"{ledger.dialect.batch({'id': 'text'})} AS item ON id = item_id",
            as_batch([{"id": row["run"]} for row in rows if row["run"]]),
        )
    known = {run["id"]: run for run in runs}
    # A message of an actor that names no operation has no run, and nothing is known of it.
    nothing = {"status": None, "outcome": None, "reason": None}
    return [{**row, **nothing, **_facts(known.get(row["run"]))} for row in rows]


def _facts(run: Row | None) -> Row:
    return {key: run[key] for key in ("status", "outcome", "reason")} if run else {}
