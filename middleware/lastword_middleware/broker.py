"""The broker as Lastword wants it: the Redis client, the maintenance, the order of middleware."""

from __future__ import annotations

from collections.abc import Sequence

import redis
from dramatiq.broker import Broker
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import (
    AgeLimit,
    AsyncIO,
    Callbacks,
    CurrentMessage,
    Middleware,
    Pipelines,
    Retries,
    ShutdownNotifications,
    TimeLimit,
)
from redis.backoff import NoBackoff
from redis.retry import Retry as RedisRetry

from lastword.config import EMBEDDED, Config, redacted
from lastword.embedded import resolve_broker_url
from lastword.errors import BrokerUnavailable, ConfigError, LastwordError
from lastword_middleware.attempts import TrackAttempts
from lastword_middleware.consuming import track_consumers
from lastword_middleware.draining import Drain
from lastword_middleware.emitting import emit_to_listeners
from lastword_middleware.interrupting import InterruptAttempts
from lastword_middleware.messages import TrackMessages
from lastword_middleware.ordering import arranged
from lastword_middleware.tracker import Tracker

#: Seconds to connect to Redis, and to wait for its answer.
CONNECT_TIMEOUT_S, ANSWER_TIMEOUT_S = 5, 10

#: Seconds of silence after which a connection is tried before it is used again.
PROBE_IDLE_AFTER_S = 15

#: Of a million commands, how many also look for what dead workers left. The scheduler does that for
#: every queue at every sweep; Dramatiq's way takes `KEYS`, and its own 1,000 leaves half of the
#: orphans waiting for eight minutes.
MAINTENANCE_CHANCE = 0

#: Milliseconds of silence before Redis gives a worker's messages to others. Longer than any lease:
#: the ledger must know of a death before the broker acts on it, and C code that holds the GIL for a
#: while is no death.
BROKER_HEARTBEAT_TIMEOUT_MS = 60_000


def redis_client(url: str) -> redis.Redis:
    """A client that never repeats a command by itself.

    Repeating an enqueue whose answer was lost sends the message twice; the ledger knows what to do
    about an answer that was lost, a blind retry does not.
    """
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=ANSWER_TIMEOUT_S,
        health_check_interval=PROBE_IDLE_AFTER_S,
        retry=RedisRetry(NoBackoff(), 0),
    )


def plain_broker(config: Config, *, middleware: Sequence[Middleware] = ()) -> Broker:
    """A broker at `broker_url` with just this middleware; for processes that run no actors.

    Raises:
        BrokerUnavailable: the embedded broker is not running, or a driver is missing.
    """
    url = resolve_broker_url(config)
    if url.startswith("amqp"):
        return _rabbitmq_broker(url, middleware)
    return RedisBroker(
        client=redis_client(url),
        middleware=list(middleware),
        namespace=config.broker_namespace,
        maintenance_chance=MAINTENANCE_CHANCE,
        heartbeat_timeout=max(BROKER_HEARTBEAT_TIMEOUT_MS, int(config.lease_ttl * 1000)),
    )


def worker_broker(config: Config, *, async_actors: bool = False) -> Broker:
    """A broker with the middleware that Dramatiq's actors expect; `install` adds Lastword's.

    Args:
        config: the configuration.
        async_actors: whether actors may be coroutines. The event loop's thread can keep a stopping
            process from ending, so it is there only for those who need it.
    """
    concurrency: list[Middleware] = [AsyncIO()] if async_actors else []
    return plain_broker(
        config,
        middleware=[
            CurrentMessage(),
            AgeLimit(),
            Callbacks(),
            Pipelines(),
            Retries(),
            *concurrency,
            ShutdownNotifications(),
            TimeLimit(),
        ],
    )


def require_broker(broker: Broker, config: Config) -> None:
    """Ask the broker for an answer.

    Raises:
        BrokerUnavailable: it gave none.
    """
    if not isinstance(broker, RedisBroker):
        return
    address = redacted(resolve_broker_url(config))
    try:
        broker.client.ping()
    except redis.RedisError as error:
        raise BrokerUnavailable(
            f"the broker at {address} does not answer: {error}",
            address=address,
            mend="check that it runs and that LASTWORD_BROKER_URL is right",
        ) from error


def require_same_broker(broker: Broker, config: Config) -> None:
    """Refuse an application's broker that is not the one the scheduler will look into.

    There every message would be missing, and be sent again to where no worker listens.

    Raises:
        ConfigError: another Redis, another database of it, or another namespace.
    """
    if not isinstance(broker, RedisBroker):
        return
    if config.broker_url == EMBEDDED:
        _require_embedded(_place(broker.client.connection_pool))
        return
    if config.broker_url.startswith("amqp"):
        raise ConfigError(["the application's broker is Redis, and broker_url names RabbitMQ"])
    pool = redis.ConnectionPool.from_url(config.broker_url)
    given, wanted = _place(broker.client.connection_pool), _place(pool)
    given["namespace"], wanted["namespace"] = broker.namespace, config.broker_namespace
    if given != wanted:
        seen = f"the application's broker is {_shown(given)}"
        raise ConfigError(
            [f"{seen}, and the configuration's is {_shown(wanted)}"],
            mend="set broker_url and broker_namespace to what the application uses",
        )


def _require_embedded(given: dict[str, object]) -> None:
    if "path" not in given:
        # The embedded broker has a socket's path: whatever has a port is another.
        seen = f"the application's broker is {_shown(given)}"
        raise ConfigError(
            [f"{seen}, and the configuration names none"],
            mend="set broker_url to what the application uses",
        )


def _place(pool: redis.ConnectionPool) -> dict[str, object]:
    settings = pool.connection_kwargs
    path = settings.get("path")
    if path:
        return {"path": path, "db": settings.get("db") or 0}
    host = settings.get("host") or "localhost"
    return {
        "host": "127.0.0.1" if host == "localhost" else host,
        "port": settings.get("port") or 6379,
        "db": settings.get("db") or 0,
    }


def _shown(place: dict[str, object]) -> str:
    return " ".join(f"{key}={value}" for key, value in place.items())


def arrange(broker: Broker, tracker: Tracker) -> None:
    """Put Lastword's middleware where it has to stand, and the interrupting ones last.

    `TrackMessages` first: it sees every skip. `TrackAttempts` directly before `Retries`: its
    after-hook runs once Retries has decided, and before follow-ups are sent.
    `ShutdownNotifications`, `TimeLimit` and `InterruptAttempts` last: they are armed last and
    disarmed first, so that no interrupt hits the ledger's work or ends a worker thread with its
    message acknowledged. Behind them only `Drain`, which waits for what they interrupt.

    Raises:
        LastwordError: Lastword is installed already, or the broker has no `Retries`.
    """
    kept = list(broker.middleware)
    if any(isinstance(middleware, TrackMessages) for middleware in kept):
        raise LastwordError("Lastword is installed on this broker already", mend="install it once")
    if not any(isinstance(middleware, Retries) for middleware in kept):
        raise LastwordError(
            "the broker has no Retries middleware, so failed messages would count as done",
            mend="add dramatiq.middleware.Retries() to its middleware",
        )
    if not any(isinstance(middleware, TimeLimit) for middleware in kept):
        broker.add_middleware(TimeLimit())
    broker.add_middleware(TrackMessages(tracker))
    broker.add_middleware(TrackAttempts(tracker))
    broker.add_middleware(InterruptAttempts(tracker))
    broker.add_middleware(Drain(tracker.config))
    broker.middleware[:] = arranged(broker.middleware)
    emit_to_listeners(broker)
    track_consumers(broker, tracker)


def _rabbitmq_broker(url: str, middleware: Sequence[Middleware]) -> Broker:
    try:
        from dramatiq.brokers.rabbitmq import RabbitmqBroker
    except ImportError as error:
        raise BrokerUnavailable(
            "RabbitMQ needs the driver pika, which is not installed",
            address=redacted(url),
            mend="run `pip install 'lastword[rabbitmq]'`",
        ) from error
    # Without confirms a publish to a queue that is gone vanishes without a word.
    return RabbitmqBroker(url=url, confirm_delivery=True, middleware=list(middleware))
