"""The web over a ledger of its own; with nothing but the ledger: no broker and no provider."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lastword.access import Role
from lastword.config import Config
from lastword.storage.ledger import Ledger
from tests.web.starting import startable as startable
from tests.web.world import SHIPPED, World, world_of


@pytest.fixture
def web_config(tmp_path: Path) -> Config:
    return Config(
        data_dir=tmp_path,
        # Nothing listens there: whatever works in these tests works without a broker.
        broker_url="redis://127.0.0.1:1/0",
        secret_key="0123456789abcdef" * 2,
        web_auth=("password",),
        policies=SHIPPED,
    )


@pytest.fixture
def world(sqlite_ledger: Ledger, web_config: Config) -> Iterator[World]:
    with world_of(sqlite_ledger, web_config) as made:
        yield made


@pytest.fixture
def both(ledger: Ledger, web_config: Config) -> Iterator[World]:
    """The same on both databases."""
    with world_of(ledger, replace(web_config)) as made:
        yield made


@pytest.fixture
def web(world: World) -> World:
    """Whoever asks owns the workspace."""
    world.person("ada", Role.OWNER)
    world.sign_in("ada")
    return world
