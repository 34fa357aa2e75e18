"""Real servers for the tests: one redis-server and one PostgreSQL a session, a database a test."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from lastword.config import Config
from lastword.embedded import EmbeddedRedis
from lastword.storage.ledger import Ledger
from lastword.storage.opening import open_ledger
from lastword.storage.schema import migrate
from tests.postgres import running_postgres
from tests.support import POLICIES

DATABASES = ("sqlite", "postgresql")

_numbers = itertools.count(1)


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


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'lastword.db'}"


@pytest.fixture
def new_postgres_url(postgres_url: str) -> Iterator[str]:
    """A database of this test alone."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield postgres_url.replace("/postgres?", f"/{name}?")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database: every test that asks for it runs on both."""
    fixture = "sqlite_url" if request.param == "sqlite" else "new_postgres_url"
    return str(request.getfixturevalue(fixture))


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    """A migrated ledger, on both databases."""
    opened = open_ledger(database_url)
    migrate(opened)
    yield opened
    opened.close()


@pytest.fixture
def sqlite_ledger(sqlite_url: str) -> Iterator[Ledger]:
    opened = open_ledger(sqlite_url)
    migrate(opened)
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
