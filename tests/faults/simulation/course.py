"""Which arrows a life takes, told by its events: one that is no arrow cannot be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from lastword.states import ARROWS, Arrow, EventKind, Outcome, Source, Status
from lastword.storage.ledger import Row


class Taken(NamedTuple):
    """One way of taking an arrow; from nowhere if `origin` is None."""

    arrow: str
    origin: Status | None
    source: Source
    outcome: Outcome


def _ways() -> Iterator[tuple[tuple[Status | None, EventKind], Arrow, Source, Outcome]]:
    for arrow in ARROWS:
        for origin in arrow.origins or {None}:
            for source in arrow.sources:
                for outcome in arrow.outcomes:
                    yield (origin, arrow.kind), arrow, source, outcome


#: What an event says, after what its run was before: the way that was taken, and where it leads.
_WAYS = {
    (*before, source, outcome): (Taken(arrow.name, before[0], source, outcome), arrow.target)
    for before, arrow, source, outcome in _ways()
}

#: Each way there is.
WAYS = frozenset(
    Taken(arrow.name, before[0], source, outcome) for before, arrow, source, outcome in _ways()
)

#: The kinds of events that are transitions.
_KINDS = {arrow.kind for arrow in ARROWS}


@dataclass(slots=True)
class Course:
    """Follows every run of a life from event to event.

    Attributes:
        standing: where each run is by what its events say.
        taken: how often each way was taken.
    """

    standing: dict[str, Status] = field(default_factory=dict)
    taken: Counter[Taken] = field(default_factory=Counter)

    def follow(self, event: Row) -> None:
        """Take one step.

        Raises:
            AssertionError: there is no such arrow.
        """
        if event["kind"] not in _KINDS:
            return
        origin = self.standing.get(event["run_id"])
        way = _WAYS.get((origin, event["kind"], event["source"], event["outcome"]))
        assert way is not None, f"no arrow from {origin}: {event}"
        taken, self.standing[event["run_id"]] = way
        self.taken[taken] += 1


# Which arrow it was can be told from the event and from where its run was.
assert len(_WAYS) == len(WAYS)
