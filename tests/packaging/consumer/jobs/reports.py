"""Somebody's application, tracked, and with every name that it uses typed."""

import os
import platform

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from middleware import Marked

import lastword
import lastword_middleware

# Dramatiq's brokers are not annotated.
broker = RedisBroker(url=os.environ["LASTWORD_BROKER_URL"])  # type: ignore[no-untyped-call]
broker.add_middleware(Marked())
dramatiq.set_broker(broker)
application: lastword_middleware.Application = lastword_middleware.install(broker)


@dramatiq.actor(operation="report.build")
def build_report(account_id: int) -> None:
    """Count to the account's number, and say on which Python."""
    run: lastword.CurrentRun = lastword.current_run()
    run.progress(processed=account_id, total=account_id)
    print("built on", platform.python_version(), flush=True)


def order_report(account_id: int) -> lastword.Started:
    """Start it the other way."""
    return lastword.start("report.build", inputs={"account_id": account_id})
