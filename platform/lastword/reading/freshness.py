"""Freshness: whether an active run can still be believed. Derived in SQL, stored nowhere.

Every reader - badge, filter, API, metric, alert - uses these expressions and no other.
"""

from __future__ import annotations

from enum import StrEnum

from lastword.service.children import HAS_NOT_RETURNED
from lastword.service.leases import WORKER_IS_GONE
from lastword.states import ACTIVE, RECONCILERS, TERMINAL, WELL_ENDED, Outcome, Status
from lastword.storage.dialects import Dialect


class Freshness(StrEnum):
    """How a run's row is to be read."""

    #: Active, and inside every limit that is known.
    FRESH_ACTIVE = "fresh_active"
    #: Active by its row, but past a limit or without a living worker: a reconciler will judge it.
    LIKELY_STALE = "likely_stale"
    #: Ended by a reconciler in the place of a lost party.
    RECONCILED_FAILED = "reconciled_failed"
    #: Ended in its ordinary way.
    TERMINAL_NORMAL = "terminal_normal"
    #: A status this version does not know.
    UNKNOWN = "unknown"


class ProblemClass(StrEnum):
    """What kind of attention a run asks for."""

    NONE = "none"
    ACTIVE_STALE_ATTENTION = "active_stale_attention"
    TERMINAL_FOLLOW_UP = "terminal_follow_up"


def _words(words: frozenset[Status] | frozenset[Outcome]) -> str:
    return ", ".join(f"'{word}'" for word in sorted(words))


_RECONCILED = f"closed_by IN ({', '.join(repr(str(source)) for source in sorted(RECONCILERS))})"

_FRESHNESS = (
    f"CASE WHEN status IN ({_words(TERMINAL)}) AND outcome = '{Outcome.FAILED}' "
    f"AND {_RECONCILED} THEN '{Freshness.RECONCILED_FAILED}' "
    f"WHEN status IN ({_words(TERMINAL)}) THEN '{Freshness.TERMINAL_NORMAL}' "
    f"WHEN status NOT IN ({_words(ACTIVE)}) THEN '{Freshness.UNKNOWN}' "
    f"WHEN stale_at <= {{now}} THEN '{Freshness.LIKELY_STALE}' "
    f"WHEN status = '{Status.RUNNING}' AND {HAS_NOT_RETURNED} "
    f"AND {WORKER_IS_GONE} THEN '{Freshness.LIKELY_STALE}' "
    f"ELSE '{Freshness.FRESH_ACTIVE}' END"
)


def freshness_sql(dialect: Dialect) -> str:
    """Freshness of a row of `lastword_run`, as an SQL expression over that table's own name."""
    return _FRESHNESS.format(now=dialect.now_ms)


def problem_class_sql(dialect: Dialect) -> str:
    """The problem class of a row of `lastword_run`, from the same freshness."""
    return (
        f"CASE WHEN {freshness_sql(dialect)} = '{Freshness.LIKELY_STALE}' "
        f"THEN '{ProblemClass.ACTIVE_STALE_ATTENTION}' "
        f"WHEN status IN ({_words(TERMINAL)}) AND outcome NOT IN ({_words(WELL_ENDED)}) "
        f"THEN '{ProblemClass.TERMINAL_FOLLOW_UP}' ELSE '{ProblemClass.NONE}' END"
    )


def reconciled_sql() -> str:
    """Whether a reconciler closed the run."""
    return f"CASE WHEN {_RECONCILED} THEN 1 ELSE 0 END"
