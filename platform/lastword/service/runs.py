"""The service: every verb that moves a run, over one ledger."""

from __future__ import annotations

from lastword.service.accepting import Accepting
from lastword.service.barring import Barring
from lastword.service.brief import Brief
from lastword.service.cancelling import Cancelling
from lastword.service.concluding import Concluding
from lastword.service.reconciling import Reconciling
from lastword.service.reserving import Reserving
from lastword.service.retrying import Retrying
from lastword.storage.ledger import Ledger


class RunService(
    Accepting,
    Barring,
    Reserving,
    Brief,
    Retrying,
    Cancelling,
    Reconciling,
    Concluding,
):
    """The only writer of `status`, `outcome`, `reason` and `attempt`.

    Every verb takes many runs, moves them in one guarded statement with their events in the same
    transaction, and answers which moved. Safe to share between threads.

    Args:
        ledger: where the runs are.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._kept_policies: set[str] = set()
