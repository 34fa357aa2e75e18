"""Gives back what Redis holds for workers that are gone, and lets old dead letters go.

Dramatiq does both by a roll of dice with each command, for the queue of that command only. Here it
is done for every queue that any worker consumed, at every sweep, and without `KEYS`.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import redis

from lastword.logs import log_notice
from lastword.service import WorkerService
from lastword.storage.clock import now_ms
from lastword.storage.ledger import Ledger, as_batch
from lastword_scheduler.contact import Contact
from lastword_scheduler.reports import GivenUp, SweepReport, never

#: Messages moved, and dead letters dropped, with one call.
BATCH = 1000

#: Silent processes that the ledger does not know, looked at with one sweep.
MOST_STRANGERS = 500

#: Milliseconds of silence after which a process is not only dead but forgotten.
FORGOTTEN_AFTER_MS = 24 * 3600 * 1000

#: Moves up to so many messages from the hold of a dead worker to the end of their queue, each once.
_GIVE_BACK = """
local taken = redis.call('SPOP', KEYS[1], ARGV[1])
local moved = 0
for _, ref in ipairs(taken) do
    if redis.call('HEXISTS', KEYS[2], ref) > 0 then
        redis.call('RPUSH', KEYS[3], ref)
        moved = moved + 1
    end
end
return {moved, #taken}
"""


@dataclass(slots=True)
class BrokerRescue:
    """Looks after one Redis.

    Args:
        ledger: says which workers have ended, and which queues there are.
        client: the Redis.
        namespace: the prefix of Dramatiq's keys.
        silent_after_ms: after so long a process that the ledger does not know counts as dead.
        dead_letter_ttl_ms: how long dead letters are kept.
        contact: whether an expired lease tells anything.
    """

    ledger: Ledger
    client: redis.Redis
    namespace: str
    silent_after_ms: int
    dead_letter_ttl_ms: int
    contact: Contact

    def sweep(self, given_up: GivenUp = never) -> SweepReport:
        """Look after every queue once. Safe to run twice, and in two processes at once.

        Raises:
            LedgerUnavailable: the ledger does not answer.
            RedisError: Redis does not answer.
        """
        report = SweepReport()
        service = WorkerService(self.ledger)
        at_ms = now_ms(self.ledger)
        if self.contact.leases_tell(at_ms):
            report.lost_workers = len(service.lose_expired(at_ms))
        queues = self.queues()
        for worker in service.unrescued():
            if given_up():
                return report
            own = set(json.loads(worker["queues"])) if worker["queues"] else queues
            report.found += 1
            if worker["broker_id"]:
                self._rescue(worker["broker_id"], own, report)
                self.client.zrem(self._key("__heartbeats__"), worker["broker_id"])
            service.rescued([worker["id"]])
        for stranger in self._strangers():
            self._rescue(stranger, queues, report)
        for queue in queues:
            if not given_up() and not queue.endswith(".DQ"):
                self._expire_dead_letters(queue, report)
        return report

    def forget(self, given_up: GivenUp = never) -> SweepReport:
        """Drop the heartbeats of processes that are long gone and hold nothing.

        Every process that ever sent a message leaves one. Who holds something is found by a walk
        through the names of all keys, a little at a time; so this is done seldom.
        """
        report = SweepReport()
        latest = int(time.time() * 1000) - FORGOTTEN_AFTER_MS
        heartbeats = self._key("__heartbeats__")
        silent: Any = self.client.zrangebyscore(heartbeats, 0, latest, start=0, num=BATCH)
        holds = self._key("__acks__.")
        holders: set[str] = set()
        for key in self.client.scan_iter(match=f"{holds}*", count=BATCH):
            if given_up():
                return report
            holders.add(key.decode().removeprefix(holds).partition(".")[0])
        gone = [name for name in silent if name.decode() not in holders]
        report.found = len(silent)
        if gone:
            report.acted["forgotten"] = len(gone)
            self.client.zrem(heartbeats, *gone)
        return report

    def queues(self) -> set[str]:
        """Every queue and delay queue that a worker has consumed or an active run waits in."""
        with self.ledger.session():
            consumed = self.ledger.execute(
                "SELECT DISTINCT queues FROM lastword_worker WHERE queues IS NOT NULL"
            )
            waited_in = self.ledger.execute(
                "SELECT DISTINCT message_queue FROM lastword_run WHERE completed_at IS NULL "
                "AND message_queue IS NOT NULL"
            )
        names = {name for row in consumed for name in json.loads(row["queues"])}
        return names | {row["message_queue"] for row in waited_in}

    def _strangers(self) -> Iterator[str]:
        # Processes without Lastword: their silence is all that is known of them.
        latest = int(time.time() * 1000) - self.silent_after_ms
        silent: Any = self.client.zrangebyscore(
            self._key("__heartbeats__"), 0, latest, start=0, num=MOST_STRANGERS
        )
        names = [name.decode() for name in silent]
        with self.ledger.session():
            known = self.ledger.execute(
                "SELECT broker_id FROM lastword_worker JOIN "
                f"{self.ledger.dialect.batch({'id': 'text'})} AS item ON broker_id = item_id",
                as_batch([{"id": name} for name in names]),
            )
        ours = {row["broker_id"] for row in known}
        yield from (name for name in names if name not in ours)

    def _rescue(self, broker_id: str, queues: set[str], report: SweepReport) -> None:
        for queue in sorted(queues):
            keys = [f"__acks__.{broker_id}.{queue}", f"{queue}.msgs", queue]
            given_back = 0
            while True:
                reply: Any = self.client.eval(
                    _GIVE_BACK, len(keys), *(self._key(key) for key in keys), str(BATCH)
                )
                given_back += reply[0]
                if reply[1] < BATCH:
                    break
            if given_back:
                report.acted["given_back"] += given_back
                log_notice(
                    logging.INFO,
                    "messages_given_back",
                    queue=queue,
                    holder=broker_id,
                    messages=given_back,
                )

    def _expire_dead_letters(self, queue: str, report: SweepReport) -> None:
        latest = int(time.time() * 1000) - self.dead_letter_ttl_ms
        letters = self._key(f"{queue}.XQ")
        old: Any = self.client.zrangebyscore(letters, 0, latest, start=0, num=BATCH)
        refs = [ref.decode() for ref in old]
        if not refs:
            return
        # A run that still waits for such a message has to be ended by it first.
        with self.ledger.session():
            waiting = self.ledger.execute(
                "SELECT message_ref FROM lastword_run JOIN "
                f"{self.ledger.dialect.batch({'ref': 'text'})} AS item "
                "ON message_ref = item_ref WHERE completed_at IS NULL",
                as_batch([{"ref": ref} for ref in refs]),
            )
        gone = sorted(set(refs) - {row["message_ref"] for row in waiting})
        if gone:
            with self.client.pipeline() as pipeline:
                pipeline.zrem(letters, *gone)
                pipeline.hdel(f"{letters}.msgs", *gone)
                pipeline.execute()
            report.acted["expired"] += len(gone)

    def _key(self, name: str) -> str:
        return f"{self.namespace}:{name}"
