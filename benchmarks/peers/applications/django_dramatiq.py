"""django_dramatiq: Dramatiq on Redis, with the state of its tasks in a database of Django."""

import os
from urllib.parse import parse_qs, urlsplit

import django
from django.conf import settings

PLACE = urlsplit(os.environ["BENCH_DATABASE_URL"])

settings.configure(
    INSTALLED_APPS=["django_dramatiq"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": PLACE.path.lstrip("/"),
            "USER": PLACE.username,
            "HOST": parse_qs(PLACE.query)["host"][0],
            # As its documentation says for workers, whose threads live long.
            "CONN_MAX_AGE": None,
        }
    },
    DRAMATIQ_BROKER={
        "BROKER": "dramatiq.brokers.redis.RedisBroker",
        "OPTIONS": {"url": os.environ["BENCH_REDIS_URL"]},
        "MIDDLEWARE": [
            "dramatiq.middleware.AgeLimit",
            "dramatiq.middleware.TimeLimit",
            "dramatiq.middleware.Callbacks",
            "dramatiq.middleware.Retries",
            "django_dramatiq.middleware.AdminMiddleware",
            "django_dramatiq.middleware.DbConnectionsMiddleware",
        ],
    },
)
django.setup()

import dramatiq  # noqa: E402 - the actor belongs to the broker that Django has just made
from django.core.management import call_command  # noqa: E402 - likewise
from django.db import transaction  # noqa: E402 - likewise


@dramatiq.actor
def nothing() -> None:
    """Return at once."""


def fill(jobs: int) -> None:
    """Enqueue them."""
    call_command("migrate", verbosity=0)
    # One commit for all: how they get there is not what is measured.
    with transaction.atomic():
        for _ in range(jobs):
            nothing.send()
