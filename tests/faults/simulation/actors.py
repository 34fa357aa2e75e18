"""Who takes turns: each actor is paused before every call to the ledger or the broker.

Actors are greenlets, so the real code of the product is interleaved as it is: wherever it begins a
transaction or sends a command, whoever's turn it is may come first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from greenlet import getcurrent, greenlet

from lastword.errors import LedgerUnavailable
from tests.faults.simulation.moves import Fault

T = TypeVar("T")

#: A moment that does not come.
NEVER = 1 << 60


class BrokerLost(Exception):
    """The broker did not answer: what was asked of it was done, or was not."""


@dataclass(slots=True)
class Actor:
    """One thread of something.

    Attributes:
        process: what it dies and stands still with.
        is_outsider: whether it judges runs that it does not work on.
        wakes_at: the moment until which it sleeps or waits, in milliseconds.
        waits_for: what it waits for meanwhile, if for anything.
        woken_at_call: how many calls there had been when it came, or last slept.
    """

    name: str
    process: str
    is_outsider: bool
    body: greenlet
    wakes_at: int = 0
    waits_for: Callable[[], bool] | None = None
    woken_at_call: int = 0


@dataclass(slots=True)
class Actors:
    """Everybody, by name, in the order in which they came.

    Attributes:
        now: the clock's reading, in milliseconds.
        turn: whose turn it is; None between turns.
        calls: how many calls have been made.
        turns: how many turns have been taken.
        held: the processes that stand still.
    """

    now: int
    by_name: dict[str, Actor] = field(default_factory=dict)
    turn: Actor | None = None
    calls: int = 0
    turns: int = 0
    held: set[str] = field(default_factory=set)
    _hub: greenlet = field(default_factory=getcurrent)

    def spawn(
        self, name: str, body: Callable[[], None], *, process: str, is_outsider: bool = False
    ) -> None:
        """Add an actor, which begins with its first turn."""
        self.by_name[name] = Actor(
            *(name, process, is_outsider),
            greenlet(lambda _: body(), self._hub),
            woken_at_call=self.calls,
        )

    def ready(self) -> list[Actor]:
        """Those whose turn it may be now."""
        return [actor for actor in self.by_name.values() if self._is_ready(actor)]

    def next_wake(self) -> int | None:
        """When the first of those who sleep wakes, if anybody does."""
        times = [
            actor.wakes_at
            for actor in self.by_name.values()
            if self.now < actor.wakes_at < NEVER and actor.process not in self.held
        ]
        return min(times, default=None)

    def go(self, name: str, fault: Fault) -> bool:
        """Give an actor a turn; whether it could take it."""
        actor = self.by_name.get(name)
        if actor is None or not self._is_ready(actor):
            return False
        self.turn = actor
        self.turns += 1
        try:
            actor.body.switch(fault)
        finally:
            self.turn = None
        if actor.body.dead:
            self.by_name.pop(name, None)
        return True

    def end_process(self, process: str) -> None:
        """Nobody of a process ever has a turn again."""
        self.held.discard(process)
        gone = [actor for actor in self.by_name.values() if actor.process == process]
        for actor in gone:
            del self.by_name[actor.name]
            if actor is not self.turn:
                # What dies goes back to its parent.
                actor.body.parent = getcurrent()
                actor.body.throw()

    def pause(self) -> Fault:
        """Wait for the next turn, before a call; what goes wrong with that call."""
        self.calls += 1
        if self.turn is None:
            return Fault.NONE
        fault: Fault = self._hub.switch()
        return fault

    def broker_call(self) -> Callable[[], None]:
        """Wait for the next turn, before a command; to be called when the command is done."""
        fault = self.pause()
        if fault is Fault.REFUSED:
            raise BrokerLost
        return _lose if fault is Fault.LOST else _answer

    def sleep(self, milliseconds: int) -> None:
        """Let this much time pass for the actor whose turn it is."""
        assert self.turn is not None
        actor = self.turn
        actor.wakes_at = self.now + milliseconds
        self._hub.switch()
        actor.woken_at_call = self.calls

    def wait_for(self, condition: Callable[[], bool], *, until: int = NEVER) -> None:
        """Wait until something is so, or this moment has come, for the actor whose turn it is."""
        assert self.turn is not None
        actor = self.turn
        if condition():
            return
        actor.waits_for, actor.wakes_at = condition, until
        self._hub.switch()
        actor.waits_for, actor.wakes_at = None, 0

    def insist(self, call: Callable[[], T]) -> T:
        """Repeat a call of the ledger until it answers; its answer."""
        while True:
            try:
                return call()
            except LedgerUnavailable:
                self.sleep(100)

    def _is_ready(self, actor: Actor) -> bool:
        if actor.process in self.held:
            return False
        if actor.wakes_at <= self.now:
            return True
        return actor.waits_for is not None and actor.waits_for()


def _answer() -> None:
    return


def _lose() -> None:
    raise BrokerLost
