"""What web and worker share: the database of the orders, the queue, and the work.

The ledger is in the same database, so that an order and the run that ships it are one transaction.
Serve it with `lastword worker shipping` and `lastword scheduler`.
"""

import os

import dramatiq
import peewee
from dramatiq.brokers.redis import RedisBroker

import lastword
import lastword_middleware

database = peewee.SqliteDatabase("orders.db", pragmas={"journal_mode": "wal"}, timeout=10)
broker = RedisBroker(url=os.environ.get("LASTWORD_BROKER_URL", "redis://127.0.0.1:6379/0"))
dramatiq.set_broker(broker)
lastword_middleware.install(broker, database=database, config="lastword.toml")


class Order(peewee.Model):
    """What somebody wants."""

    item = peewee.TextField()
    run_id = peewee.TextField(null=True)
    shipped = peewee.BooleanField(default=False)

    class Meta:
        """Where it is kept."""

        database = database


class OutOfStock(Exception):
    """There is none left."""


@dramatiq.actor(operation="order.ship")
def ship(order_id):
    """Done twice it is the same: it may be repeated after a worker was lost."""
    with database.connection_context():
        Order.update(shipped=True).where(Order.id == order_id).execute()


def take_order(item):
    """An order and its run, or neither: whatever is raised in here undoes both."""
    with database.atomic():
        order = Order.create(item=item)
        started = lastword.start("order.ship", inputs={"order_id": order.id})
        order.run_id = started.run_id
        order.save()
        if item == "unicorn":
            raise OutOfStock(item)
    return order


def create_tables():
    with database.connection_context():
        database.create_tables([Order])
