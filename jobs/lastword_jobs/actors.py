"""The actors of the shipped operations, on the broker of `lastword_jobs.application`."""

from __future__ import annotations

from dataclasses import dataclass

import dramatiq
import httpx
from dramatiq.broker import Broker

from lastword.config import Config
from lastword.current import CurrentRun, current_run
from lastword.reasons import PermanentFailure, Reason
from lastword.storage.ledger import Ledger
from lastword_jobs.graph.client import TIMEOUT, GraphClient, Traffic
from lastword_jobs.graph.contracts import ALL_TYPES, POLICY_TYPES
from lastword_jobs.graph.tokens import Credentials, TokenCache
from lastword_jobs.syncing import Sync


@dataclass(frozen=True, slots=True)
class Provider:
    """The provider as this process is configured to reach it; shared by its threads."""

    http: httpx.Client
    base_url: str
    tokens: TokenCache

    @classmethod
    def of(cls, config: Config) -> Provider:
        """The configured provider. Nothing is asked yet."""
        http = httpx.Client(timeout=TIMEOUT)
        credentials = Credentials(config.graph_client_id, config.graph_client_secret)
        tokens = TokenCache(http, config.graph_token_url, config.graph_url, credentials)
        return cls(http, config.graph_url, tokens)

    def client(self, run: CurrentRun) -> GraphClient:
        """A client for the tenant of a run.

        Raises:
            PermanentFailure: the run names no tenant.
        """
        if run.tenant_id is None:
            raise PermanentFailure(Reason.TENANT_MISSING, "The run was started without a tenant.")
        return GraphClient(
            http=self.http,
            base_url=self.base_url,
            tokens=self.tokens,
            tenant_id=run.tenant_id,
            correlation_id=run.run_id,
            traffic=Traffic(),
        )


def declare_actors(broker: Broker, *, config: Config, records: Ledger) -> None:
    """Declare every actor on a broker that has Lastword installed.

    Args:
        broker: the broker.
        config: names the provider.
        records: where the operations keep their records, on connections of their own.
    """
    provider = Provider.of(config)

    @dramatiq.actor(broker=broker, actor_name="inventory_sync", operation="inventory_sync")
    def inventory_sync(types: list[str] | None = None) -> None:
        run = current_run()
        Sync(run, provider.client(run), records).inventory(types or ALL_TYPES)

    @dramatiq.actor(broker=broker, actor_name="policy_sync", operation="policy.sync")
    def policy_sync(types: list[str] | None = None) -> None:
        run = current_run()
        Sync(run, provider.client(run), records).policies(types or POLICY_TYPES)
