"""Real servers for the tests: one redis-server and one PostgreSQL a session, a database a test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from lastword.config import Config
from lastword.embedded import EmbeddedRedis
from lastword.storage.ledger import Ledger
from lastword.storage.opening import open_ledger
from lastword.storage.schema import migrate
from tests.postgres import Databases, running_postgres
from tests.support import POLICIES

# Of some containers: each of the hundreds of processes that tests start would compile everything.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

DATABASES = ("sqlite", "postgresql")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    # Not imported by the hundreds of runs of pytest that mutations are tried in.
    from tests.handing_out import HandingOut

    return HandingOut(config, log)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    """An empty Redis."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with running_postgres() as server:
        yield server.get_uri()


@pytest.fixture(scope="session")
def databases(postgres_url: str) -> Databases:
    return Databases(postgres_url)


@pytest.fixture
def new_postgres_url(databases: Databases) -> Iterator[str]:
    """A migrated database of this test alone."""
    name = databases.take()
    yield databases.url(name)
    databases.give_back(name)


@pytest.fixture
def empty_postgres_url(databases: Databases) -> Iterator[str]:
    """A database of this test alone with nothing in it."""
    name = databases.new()
    yield databases.url(name)
    databases.drop(name)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file, to be copied: migrating takes a tenth of a second."""
    file = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    ledger = open_ledger(f"sqlite:///{file}")
    migrate(ledger)
    ledger.close()
    return file


@pytest.fixture
def sqlite_url(tmp_path: Path, migrated_sqlite: Path) -> str:
    """A migrated file of this test alone."""
    shutil.copyfile(migrated_sqlite, tmp_path / "lastword.db")
    return f"sqlite:///{tmp_path / 'lastword.db'}"


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest) -> str:
    """A migrated database without rows: every test that asks for it runs on both."""
    fixture = "sqlite_url" if request.param == "sqlite" else "new_postgres_url"
    return str(request.getfixturevalue(fixture))


@pytest.fixture(params=DATABASES)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with nothing in it, both."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'lastword.db'}"
    return str(request.getfixturevalue("empty_postgres_url"))


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    """A ledger, on both databases."""
    opened = open_ledger(database_url)
    yield opened
    opened.close()


@pytest.fixture
def sqlite_ledger(sqlite_url: str) -> Iterator[Ledger]:
    opened = open_ledger(sqlite_url)
    yield opened
    opened.close()


@pytest.fixture
def config(sqlite_ledger: Ledger, sqlite_url: str, redis_url: str, tmp_path: Path) -> Config:
    """Quick settings on a migrated SQLite ledger and an empty Redis."""
    return Config(
        data_dir=tmp_path,
        database_url=sqlite_url,
        broker_url=redis_url,
        heartbeat_interval=0.2,
        lease_ttl=1.0,
        sweep_interval=0.2,
        message_grace=0.5,
        policies=POLICIES,
    )
