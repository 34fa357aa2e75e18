"""A ledger in memory, before each of whose transactions and readings its caller is paused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import peewee

from lastword.errors import LedgerUnavailable
from lastword.storage.access_tables import User
from lastword.storage.ledger import Ledger
from lastword.storage.schema import migrate
from tests.faults.simulation.actors import Actors
from tests.faults.simulation.moves import Fault
from tests.faults.simulation.records import emptying, prepare

#: Who starts runs as a person, and is told of their ends.
PERSON = "ada"

#: What a life writes: nothing of it is there in the next one.
TABLES = (
    *("notification", "measured", "counter"),
    *("event", "attempt", "run", "worker", "policy"),
)


class LedgerOfTurns(Ledger):
    """The real ledger; its clock is the simulation's.

    Attributes:
        actors: who takes turns with it; replaced for each life.
    """

    actors: Actors

    def __init__(self, actors: Actors) -> None:
        database = peewee.SqliteDatabase(":memory:", pragmas={"foreign_keys": 1})
        super().__init__(database, address="memory")
        self.actors = actors
        self._is_inside = False
        self._fault = Fault.NONE
        migrate(self)
        User.insert(id=PERSON, name=PERSON, created_at=0).execute(self.database)
        prepare(self)
        self.database.connection().create_function("now_ms", 0, lambda: self.actors.now)
        # Of a frozen dataclass whose `now_ms` is a field.
        self.dialect = replace(self.dialect, now_ms="now_ms()")  # type: ignore[type-var]

    @contextmanager
    def session(self) -> Iterator[None]:
        """See `Ledger`; the outermost one is a call."""
        if self._is_inside:
            yield
            return
        fault = self.actors.pause()
        if fault is Fault.REFUSED:
            raise LedgerUnavailable("refused", address=self.address)
        self._is_inside = True
        try:
            with super().session():
                yield
        finally:
            self._is_inside = False
        if fault is Fault.LOST:
            raise LedgerUnavailable("the answer was lost", address=self.address)

    def wipe(self) -> None:
        """Empty every table, for the next life."""
        connection = self.database.connection()
        connection.execute("PRAGMA foreign_keys = 0")
        for table in TABLES:
            connection.execute(f"DELETE FROM lastword_{table}")
        for statement in emptying():
            connection.execute(statement)
        connection.execute("PRAGMA foreign_keys = 1")
