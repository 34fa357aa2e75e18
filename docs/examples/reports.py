"""A Dramatiq application as it may stand today: two actors, and a table that says how far each is.

Serve it with `dramatiq reports`, order with `python reports.py 42`, and look with
`python reports.py`.
"""

import os
import sqlite3
import sys
import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker

broker = RedisBroker(url=os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"))
dramatiq.set_broker(broker)


@dramatiq.actor(max_retries=3, min_backoff=100, max_backoff=1000)
def build_report(account_id):
    if account_id < 0:
        raise ValueError(f"there is no account {account_id}")
    note(account_id, "is being built")
    work()
    send_report.send(account_id)


@dramatiq.actor(max_retries=3, min_backoff=100, max_backoff=1000)
def send_report(account_id):
    note(account_id, "is being sent")
    work()
    note(account_id, "was sent")


def work():
    time.sleep(float(os.environ.get("WORK_SECONDS", "0")))


def note(account_id, state):
    query("INSERT OR REPLACE INTO report VALUES (?, ?)", account_id, state)


def query(statement, *values):
    db = sqlite3.connect("app.db")
    with db:
        db.execute("CREATE TABLE IF NOT EXISTS report (account_id INTEGER PRIMARY KEY, state)")
        rows = db.execute(statement, values).fetchall()
    db.close()
    return rows


if __name__ == "__main__":
    for account in sys.argv[1:]:
        print(build_report.send(int(account)).message_id)
    if not sys.argv[1:]:
        for account, state in query("SELECT * FROM report"):
            print(f"report {account} {state}")
