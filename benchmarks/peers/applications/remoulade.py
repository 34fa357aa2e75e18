"""Remoulade on RabbitMQ, with the state of its messages in Redis."""

import os

import redis
import remoulade
from remoulade.brokers.rabbitmq import RabbitmqBroker
from remoulade.state import MessageState
from remoulade.state.backends import RedisBackend

broker = RabbitmqBroker(url=os.environ["BENCH_AMQP_URL"])
# A client of our own: the one that it makes itself has no way to a socket file.
client = redis.Redis.from_url(os.environ["BENCH_REDIS_URL"], socket_timeout=5.0)
broker.add_middleware(MessageState(backend=RedisBackend(client=client)))
remoulade.set_broker(broker)


@remoulade.actor
def nothing() -> None:
    """Return at once."""


remoulade.declare_actors([nothing])


def fill(jobs: int) -> None:
    """Enqueue them."""
    for _ in range(jobs):
        nothing.send()
