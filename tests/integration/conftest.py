"""Workers in this process, processes under a supervisor, and a local Graph to sync."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lastword.service.tenants import add_tenant
from lastword.storage.ledger import Ledger
from tests.fleets import fleet
from tests.projects import bench_url, in_memory, opened, project
from tests.provider import TENANT, Provider, running_provider
from tests.stage import Stage
from tests.workers import broker, scene, start_worker

__all__ = [
    "bench_url",
    "broker",
    "fleet",
    "in_memory",
    "opened",
    "project",
    "scene",
    "start_worker",
]


@pytest.fixture(scope="session")
def provider_server() -> Iterator[Provider]:
    """One local Graph a session; stopping one takes a while."""
    with running_provider() as running:
        yield running


@pytest.fixture
def provider(provider_server: Provider) -> Provider:
    """A local Graph that has seen nothing yet."""
    provider_server.start_afresh()
    return provider_server


@pytest.fixture
def stage(provider: Provider, ledger: Ledger) -> Stage:
    """A provider and records to sync it into, on both databases."""
    add_tenant(ledger, tenant_id=TENANT, name="Contoso")
    return Stage(provider, ledger)
