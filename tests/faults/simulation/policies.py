"""The policies of a life: those of the state machine's, and those whose ends others can tell."""

from __future__ import annotations

from lastword.states import Source
from tests.faults.life import LIMITS, POLICIES
from tests.support import policy

#: By operation; each with how often it is started.
SHARES = {
    "report.build": 4,
    "report.once": 4,
    #: What was done before a loss counts.
    "report.parts": 2,
    #: With a record of its own that a type-specific reconciler reads; the one may be repeated.
    "report.backup": 3,
    "report.restore": 2,
}

ALL = {
    **POLICIES,
    "report.parts": policy("report.parts", partial_on_loss=True, **{**LIMITS, "max_deliveries": 1}),
    "report.backup": policy(
        "report.backup", reconcilers=["generic", str(Source.BACKUP_SCHEDULE)], **LIMITS
    ),
    "report.restore": policy(
        "report.restore",
        on_worker_lost="fail",
        reconcilers=["generic", str(Source.ADAPTER)],
        **LIMITS,
    ),
}

#: Those with a record.
RECORDED = {"report.backup", "report.restore"}

assert set(SHARES) == set(ALL)
