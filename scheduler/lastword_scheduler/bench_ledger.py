"""Which ledger tests may have: one that is nobody else's, for time passes there for every run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import peewee

from lastword.application import Application
from lastword.errors import LastwordError
from lastword.storage.ledger import Ledger
from lastword.storage.opening import open_ledger
from lastword.storage.schema import migrate


def prepare_ledger(url: str, application: Application) -> None:
    """Make the ledger's tables at `url`.

    Raises:
        LastwordError: it is this application's own ledger, or a worker lives there.
    """
    ledger = open_ledger(url)
    try:
        if place_of(ledger) == place_of(application.apart):
            raise LastwordError(
                f"{ledger.address} is the application's own ledger, and its runs would be aged",
                expected="a database for tests alone",
                mend="give another URL to bench, or from the fixture lastword_ledger_url",
            )
        migrate(ledger)
        _require_nobody(ledger)
    finally:
        ledger.close()


def place_of(ledger: Ledger) -> object:
    """Where a ledger is, equal for two ways of writing it; nothing is connected."""
    name = str(ledger.database.database)
    if isinstance(ledger.database, peewee.SqliteDatabase):
        return Path(name).resolve()
    return _server(name, ledger.database.connect_params)


def _server(name: str, parameters: Mapping[str, object]) -> object:
    asked = dict(parameters)
    if "://" in name:
        url = urlsplit(name)
        asked.update(host=url.hostname, port=url.port)
        asked.update(parse_qsl(url.query))
        name = url.path.strip("/")
    host = str(asked.get("host") or "localhost")
    host = "localhost" if host in ("127.0.0.1", "::1") else host
    return host, int(str(asked.get("port") or 5432)), str(asked.get("dbname") or name)


def _require_nobody(ledger: Ledger) -> None:
    with ledger.session():
        [row] = ledger.execute(
            "SELECT COUNT(*) AS alive FROM lastword_worker "
            f"WHERE ended_at IS NULL AND lease_until > {ledger.dialect.now_ms}"
        )
    if row["alive"]:
        raise LastwordError(
            f"the ledger at {ledger.address} has living workers: {row['alive']}",
            expected="a database for tests alone",
            mend="give one to each process of the tests; a worker that was killed is gone soon",
        )
