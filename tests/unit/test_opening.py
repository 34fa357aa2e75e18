"""Where a ledger is that an application has opened, and which is none: one in memory."""

from __future__ import annotations

from pathlib import Path

import peewee
import pytest

from lastword.errors import LedgerUnavailable
from lastword.storage.opening import described, ledger_of, open_ledger, sibling_of

IN_MEMORY = [
    ":memory:",
    "file::memory:?cache=shared",
    "file:app?mode=memory&cache=shared",
    "file:/app?vfs=memdb",
]


@pytest.mark.parametrize("name", IN_MEMORY)
def test_an_applications_database_in_memory_is_refused(name: str) -> None:
    ledger = ledger_of(peewee.SqliteDatabase(name, uri=True))
    with pytest.raises(LedgerUnavailable, match="in memory cannot be shared between threads"):
        sibling_of(ledger)
    assert described(ledger) is None


def test_a_url_of_a_ledger_in_memory_is_refused() -> None:
    with pytest.raises(LedgerUnavailable, match="in memory cannot be shared between threads"):
        open_ledger("sqlite:///:memory:")


@pytest.mark.parametrize("form", ["{file}", "file:{file}", "file://{file}?cache=private"])
def test_tracking_writes_into_the_file_that_the_application_has_opened(
    tmp_path: Path, form: str
) -> None:
    file = tmp_path / "an app.db"
    name = form.format(file=str(file).replace(" ", "%20") if "file:" in form else file)
    application = ledger_of(peewee.SqliteDatabase(name, uri=True))
    apart = sibling_of(application)
    for ledger, statement in ((application, "CREATE TABLE mine (id INT)"), (apart, "PRAGMA user")):
        with ledger.session():
            ledger.execute(statement)
    with apart.session():
        assert apart.execute("SELECT COUNT(*) AS tables FROM sqlite_master") == [{"tables": 1}]
    assert described(application) == {"sqlite": str(file)}
    application.close()
    application.database.close()
    apart.close()
