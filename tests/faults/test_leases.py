"""The leader's lease when whoever takes it is stopped in the middle of that."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from lastword.service.leading import Contender, LeaderService
from lastword.storage.ledger import Ledger, Row
from lastword.storage.opening import open_ledger
from tests.support import until

FIRST, SECOND = Contender("first", "host", 1), Contender("second", "host", 2)


class Stopped(threading.Thread):
    """A contender that is stopped as soon as the database has answered it."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(name="stopped")
        self.ledger: Any = ledger
        self.answered, self.goes_on = threading.Event(), threading.Event()

    def run(self) -> None:
        execute = self.ledger.execute

        def answer_and_stop(statement: str, *parameters: object) -> list[Row]:
            rows: list[Row] = execute(statement, *parameters)
            self.answered.set()
            self.goes_on.wait(60)
            return rows

        self.ledger.execute = answer_and_stop
        LeaderService(self.ledger).lead("scheduler", FIRST, lease_ttl_s=0.2)
        self.ledger.close()


@pytest.fixture
def stopped(ledger: Ledger, database_url: str) -> Iterator[Stopped]:
    contender = Stopped(open_ledger(database_url))
    contender.start()
    yield contender
    contender.goes_on.set()
    contender.join()


def test_a_leader_that_is_stopped_as_it_renews_its_lease_keeps_nobody_from_leading(
    ledger: Ledger, stopped: Stopped
) -> None:
    # With a transaction around it, its lock would outlive the lease by half a minute.
    assert stopped.answered.wait(10)
    service = LeaderService(ledger)
    until(lambda: service.lead("scheduler", SECOND, lease_ttl_s=60), within_s=3)
    assert not service.lead("scheduler", FIRST, lease_ttl_s=60)
