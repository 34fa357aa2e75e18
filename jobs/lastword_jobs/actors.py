"""The actors of the shipped operations, on the broker of `lastword_jobs.application`."""

from __future__ import annotations

import dramatiq
from dramatiq.broker import Broker

from lastword.config import Config
from lastword.current import current_run
from lastword.storage.ledger import Ledger
from lastword_jobs.graph.contracts import ALL_TYPES, POLICY_TYPES
from lastword_jobs.provider.reaching import Provider
from lastword_jobs.syncing import Sync


def declare_actors(broker: Broker, *, config: Config, records: Ledger) -> None:
    """Declare every actor on a broker that has Lastword installed.

    Args:
        broker: the broker.
        config: names the provider.
        records: where the operations keep their records, on connections of their own.
    """
    provider = Provider.of(config, broker, records)

    @dramatiq.actor(broker=broker, actor_name="inventory_sync", operation="inventory_sync")
    def inventory_sync(types: list[str] | None = None) -> None:
        run = current_run()
        Sync(run, provider.client(run), records).inventory(types or ALL_TYPES)

    @dramatiq.actor(broker=broker, actor_name="policy_sync", operation="policy.sync")
    def policy_sync(types: list[str] | None = None) -> None:
        run = current_run()
        Sync(run, provider.client(run), records).policies(types or POLICY_TYPES)
