"""Installing on an application's own broker and database: what is refused and what is joined."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import dramatiq
import peewee
import pytest
from dramatiq.broker import Broker
from dramatiq.brokers.redis import RedisBroker
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import Middleware, Retries, default_middleware

from lastword.application import Application
from lastword.config import Config
from lastword.errors import ConfigError, InvalidInputs, LastwordError
from lastword.starting import Started, start, start_in
from lastword.storage.ledger import Ledger
from lastword_middleware import install
from lastword_middleware.broker import (
    ANSWER_TIMEOUT_S,
    redis_client,
    worker_broker,
)
from lastword_middleware.errors import SendRefused
from tests.support import POLICIES, Scene
from tests.workers import tracker_of


class Mine(Middleware):
    """A middleware of the application's own."""


def names(broker: Broker) -> list[str]:
    return [type(item).__name__ for item in broker.middleware]


def test_the_order_of_middleware_is_the_one_that_tracking_needs(config: Config) -> None:
    broker = StubBroker(middleware=[item() for item in default_middleware])
    install(broker, config=config)
    assert names(broker) == [
        "TrackMessages",
        "AgeLimit",
        "Callbacks",
        "Pipelines",
        "TrackAttempts",
        "Retries",
        "ShutdownNotifications",
        "TimeLimit",
        "InterruptAttempts",
        "Drain",
    ]


def test_an_applications_middleware_keeps_its_side_of_retries(config: Config) -> None:
    class Later(Mine):
        pass

    broker = StubBroker(middleware=[Mine(), Retries(), Later()])
    install(broker, config=config)
    assert names(broker) == [
        "TrackMessages",
        "Mine",
        "TrackAttempts",
        "Retries",
        "Later",
        "TimeLimit",
        "InterruptAttempts",
        "Drain",
    ]


def test_a_broker_without_retries_or_tracked_twice_is_refused(config: Config) -> None:
    with pytest.raises(LastwordError, match="no Retries middleware"):
        install(StubBroker(middleware=[]), config=config)
    broker = StubBroker()
    install(broker, config=config)
    with pytest.raises(LastwordError, match="installed on this broker already"):
        install(broker, config=config)


def test_the_ledger_knows_of_a_death_before_the_broker_acts_on_it(config: Config) -> None:
    broker = worker_broker(config)
    assert isinstance(broker, RedisBroker)
    assert broker.heartbeat_timeout >= config.lease_ttl * 1000


def test_a_client_of_ours_never_repeats_a_command_by_itself(config: Config) -> None:
    client = worker_broker(config).client  # type: ignore[attr-defined]
    assert client.get_retry()._retries == 0
    assert client.connection_pool.connection_kwargs["socket_timeout"] == ANSWER_TIMEOUT_S


@pytest.mark.parametrize(
    "change", [{"broker_namespace": "other"}, {"broker_url": "redis://127.0.0.1:6379/5"}]
)
def test_a_broker_that_the_scheduler_would_not_look_into_is_refused(
    config: Config, change: dict[str, str]
) -> None:
    broker = RedisBroker(client=redis_client(config.broker_url))
    with pytest.raises(ConfigError, match=r"application's broker is .* set broker_url"):
        install(broker, config=replace(config, **change))  # type: ignore[arg-type]


def test_a_broker_with_a_port_is_refused_while_the_configuration_names_none() -> None:
    # Else the run of a killed worker could be sent again by nobody.
    broker = RedisBroker(url="redis://127.0.0.1:6379/0")
    with pytest.raises(ConfigError, match=r"port=6379 .* names none; set broker_url"):
        install(broker, config=Config())


@pytest.mark.parametrize(
    "database", ["foo.db", "mysql://app:hunter2@db/app", "postgresql://app:hunt%zer2@/"]
)
def test_a_url_that_is_no_ledgers_is_refused_without_its_password(
    config: Config, database: str
) -> None:
    with pytest.raises(ConfigError, match="expected a URL") as caught:
        install(StubBroker(), database=database, config=config)
    assert "hunt" not in str(caught.value)


@pytest.mark.parametrize(
    "database",
    [peewee.MySQLDatabase("app"), peewee.SqliteDatabase(None), peewee.DatabaseProxy()],
    ids=["mysql", "not initialised", "empty proxy"],
)
def test_a_database_that_is_no_ledgers_is_refused(config: Config, database: Any) -> None:
    with pytest.raises(ConfigError, match="SqliteDatabase of a file or a PostgresqlDatabase"):
        install(StubBroker(), database=database, config=config)


@pytest.fixture
def own(ledger: Ledger, database_url: str) -> Iterator[Any]:
    """An application's own Peewee database, in which the ledger is; on both databases."""
    if database_url.startswith("sqlite"):
        database: Any = peewee.SqliteDatabase(database_url.removeprefix("sqlite:///"))
    else:
        database = peewee.PostgresqlDatabase(database_url, prefer_psycopg3=True)
    with database.connection_context():
        database.execute_sql("CREATE TABLE orders (id INTEGER)")
    yield database
    if not database.is_closed():
        database.close()
    with ledger.transaction():
        ledger.execute("DROP TABLE orders")


@pytest.fixture
def tracked(own: Any) -> Iterator[tuple[Application, Broker]]:
    broker = StubBroker()
    application = install(broker, database=own, config=Config(policies=POLICIES))

    @dramatiq.actor(operation="report.build", broker=broker)
    def build(number: int = 0) -> None: ...

    yield application, broker
    application.apart.close()


def started(application: Application, **changes: Any) -> Started:
    fields = {"inputs": {}, "tenant": None, "initiator": None, **changes}
    return start_in(application, "report.build", **fields)


def orders(own: Any) -> int:
    with own.connection_context():
        return int(own.execute_sql("SELECT COUNT(*) FROM orders").fetchone()[0])


def test_a_start_is_committed_with_the_applications_transaction_and_sent_after_it(
    own: Any, tracked: tuple[Application, Broker], ledger: Ledger
) -> None:
    application, broker = tracked
    with own.connection_context(), own.atomic():
        own.execute_sql("INSERT INTO orders VALUES (1)")
        run = start("report.build")
        assert broker.queues["default"].qsize() == 0
    assert run.result == "accepted"
    assert run.url == f"/admin/operations/{run.run_id}"
    assert broker.queues["default"].qsize() == 1
    assert Scene(ledger).row(run.run_id)["status"] == "queued"
    assert orders(own) == 1
    assert application.ledger.is_own is False


def test_a_start_is_rolled_back_with_the_applications_transaction(
    own: Any, tracked: tuple[Application, Broker], ledger: Ledger
) -> None:
    application, broker = tracked

    def change_ones_mind() -> None:
        with own.connection_context(), own.atomic():
            own.execute_sql("INSERT INTO orders VALUES (1)")
            started(application)
            raise KeyError

    with pytest.raises(KeyError):
        change_ones_mind()
    assert broker.queues["default"].qsize() == 0
    with ledger.session():
        assert ledger.execute("SELECT id FROM lastword_run") == []
    assert orders(own) == 0


def test_a_start_leaves_the_applications_connection_as_it_found_it(
    own: Any, tracked: tuple[Application, Broker]
) -> None:
    application, _ = tracked
    started(application)
    assert own.is_closed()
    own.connect()
    started(application, inputs={"number": 1})
    assert not own.is_closed()


def test_a_plain_send_inside_a_transaction_does_not_wait_for_itself(
    own: Any, tracked: tuple[Application, Broker], ledger: Ledger
) -> None:
    application, broker = tracked
    actor: Any = broker.actors["build"]
    with own.connection_context(), own.atomic():
        own.execute_sql("INSERT INTO orders VALUES (1)")
        if ledger.is_one_file:
            with pytest.raises(SendRefused, match=r"use lastword.start\(\)"):
                actor.send()
        else:
            started(application)
            message = in_time(actor.send)
            assert Scene(ledger).row(message.message_id)["status"] == "queued"


def in_time(work: Callable[[], Any], *, within_s: float = 8.0) -> Any:
    """What `work` gives, in this thread; a deadlock with oneself shows as a dump of all threads."""
    import faulthandler

    faulthandler.dump_traceback_later(within_s, exit=True)
    try:
        return work()
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.mark.parametrize(
    "wrong",
    [
        {"initiator": "x" * 65},
        {"initiator": "a\0b"},
        {"initiator": "\udc80"},
        {"initiator": ""},
        {"delay_s": float("nan")},
        {"delay_s": 1e19},
        {"delay_s": -1.0},
        {"inputs": {"number": "\udc80"}},
        {"inputs": {"number": float("inf")}},
        {"inputs": {"unknown": 1}},
    ],
    ids=str,
)
def test_a_start_with_bad_input_is_one_clear_error_and_writes_nothing(
    tracked: tuple[Application, Broker], ledger: Ledger, wrong: dict[str, Any]
) -> None:
    application, _ = tracked
    with pytest.raises(InvalidInputs, match="expected") as caught:
        started(application, **wrong)
    assert "\n" not in str(caught.value)
    with ledger.session():
        assert ledger.execute("SELECT id FROM lastword_run") == []


def test_of_two_threads_that_start_the_same_work_one_is_accepted(
    tracked: tuple[Application, Broker],
) -> None:
    application, _ = tracked
    results: list[str] = []
    ready = threading.Barrier(2)

    def start_here() -> None:
        ready.wait()
        results.append(started(application).result)
        application.apart.leave_thread()

    threads = [threading.Thread(target=start_here) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["accepted", "deduped"]


def test_the_tracker_works_on_connections_of_its_own(tracked: tuple[Application, Broker]) -> None:
    application, broker = tracked
    assert tracker_of(broker).ledger is application.apart
    assert tracker_of(broker).ledger.database is not application.ledger.database
