"""A Dramatiq application as it may stand today: two actors, and a command that sends them work.

Serve it with `dramatiq reports`, and send work with `python reports.py 42`.
"""

import os
import sys

import dramatiq
from dramatiq.brokers.redis import RedisBroker

broker = RedisBroker(url=os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"))
dramatiq.set_broker(broker)


@dramatiq.actor(max_retries=3, min_backoff=100, max_backoff=1000)
def build_report(account_id):
    if account_id < 0:
        raise ValueError(f"there is no account {account_id}")
    send_report.send(account_id)


@dramatiq.actor(max_retries=3, min_backoff=100, max_backoff=1000)
def send_report(account_id):
    print(f"report {account_id} is on its way", flush=True)


if __name__ == "__main__":
    for account in sys.argv[1:]:
        print(build_report.send(int(account)).message_id)
