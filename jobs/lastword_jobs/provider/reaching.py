"""Reaching the provider: what the threads of one process share, and a client for each run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx
from dramatiq.broker import Broker
from dramatiq.brokers.redis import RedisBroker
from dramatiq.rate_limits import RateLimiterBackend
from dramatiq.rate_limits.backends import RedisBackend, StubBackend

from lastword.config import Config
from lastword.current import CurrentRun
from lastword.reasons import Blocked, Reason
from lastword.storage.ledger import Ledger
from lastword_jobs.graph.client import GraphClient
from lastword_jobs.graph.errors import ConnectionInvalid
from lastword_jobs.graph.limits import Limits
from lastword_jobs.graph.tokens import TokenCache
from lastword_jobs.graph.wire import TIMEOUT, Wire
from lastword_jobs.provider.connections import credentials_of


@dataclass(slots=True)
class Provider:
    """The provider as this process is configured to reach it; shared by its threads.

    Args:
        config: names it.
        records: where the connections of tenants are.
        backend: where the counts of the shared limits are.
        sleep: waits for a number of seconds.
    """

    config: Config
    records: Ledger
    backend: RateLimiterBackend
    sleep: Callable[[float], None] = time.sleep
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=TIMEOUT))
    _tokens: TokenCache = field(init=False)

    def __post_init__(self) -> None:
        self._tokens = TokenCache(
            self.http,
            self.config.graph_token_url,
            self.config.graph_url,
            lambda tenant_id: credentials_of(self.records, self.config, tenant_id),
        )

    @classmethod
    def of(cls, config: Config, broker: Broker, records: Ledger) -> Provider:
        """With limits that workers share, where their broker is a Redis. Nothing is asked yet."""
        if isinstance(broker, RedisBroker):
            return cls(config, records, RedisBackend(client=broker.client))
        return cls(config, records, StubBackend())

    def _asked(self, method: str, code: str) -> None:
        with self.records.transaction():
            self.records.measure("provider_requests", (method, code))

    def _waited(self, seconds: float) -> None:
        self.sleep(seconds)
        with self.records.transaction():
            labels, waited_ms = ("throttled",), round(seconds * 1000)
            self.records.measure("provider_wait_ms", labels, waited_ms)

    def client(self, run: CurrentRun) -> GraphClient:
        """A client for the tenant of a run.

        Raises:
            Blocked: the run names no tenant, or nobody has said how to reach it.
            ConnectionInvalid: the same, and an earlier attempt may have done something.
        """
        if run.tenant_id is None:
            raise Blocked(Reason.TENANT_MISSING, "The run was started without a tenant.")
        tenant_id = run.tenant_id
        try:
            application = credentials_of(self.records, self.config, tenant_id)
        except ConnectionInvalid as error:
            raise Blocked(error.reason, error.message) if run.attempt == 1 else error from error
        wire = Wire(
            http=self.http,
            base_url=self.config.graph_url,
            tenant_id=tenant_id,
            correlation_id=run.run_id,
            limits=Limits(self.backend, application.client_id, self.sleep),
            urgent=run.initiator_id is not None,
            sleep=self._waited,
            meter=self._asked,
        )
        return GraphClient(wire, self._tokens, may_block=run.attempt == 1)
