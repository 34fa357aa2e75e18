"""What can happen next in a simulated life: each move is a value, and its `repr` is its code."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum


class Fault(StrEnum):
    """What goes wrong with the one call that an actor makes when its turn comes."""

    NONE = "none"
    #: It fails, and nothing has been done.
    REFUSED = "refused"
    #: It is done, and the caller is told that it failed.
    LOST = "lost"


class Does(StrEnum):
    """What an execution of a run does in the end."""

    SUCCEEDS = "succeeds"
    PARTLY = "partly"
    THROWS = "throws"
    #: Fails, and is tried again for as long as its policy says.
    RETRIES = "retries"
    #: Ends its worker's process.
    KILLS = "kills"
    #: Has saved where it stands, and goes on later.
    DEFERS = "defers"
    #: Finds that it may not go on.
    DECLINES = "declines"
    #: Starts a child, and succeeds.
    BEARS = "bears"
    #: Starts a child that does not succeed.
    BEARS_BADLY = "bears_badly"
    #: Starts one of each.
    BEARS_BOTH = "bears_both"
    #: Has its record hold how the work ended, and says the same.
    RECORDS = "records"
    #: Has its record hold how the work ended, and ends its worker's process.
    RECORDS_AND_KILLS = "records_and_kills"
    #: Has its record hold how the work ended, and fails behind it; is tried again.
    RECORDS_AND_RETRIES = "records_and_retries"
    #: Works for longer than it may.
    DRAGS = "drags"


class _Told:
    """Its `repr` is its code, without what is as usual."""

    __slots__ = ()

    def __repr__(self) -> str:
        told = [
            f"{field.name}={value!r}"
            for field in fields(self)  # type: ignore[arg-type]  # each move is a dataclass
            if (value := getattr(self, field.name)) != field.default
        ]
        return f"{type(self).__name__}({', '.join(told)})"


@dataclass(frozen=True, slots=True, repr=False)
class Go(_Told):
    """An actor makes its next call, and goes on to the one after it."""

    actor: str
    fault: str = Fault.NONE.value


@dataclass(frozen=True, slots=True, repr=False)
class Pass(_Told):
    """Time passes, by every clock."""

    milliseconds: int


@dataclass(frozen=True, slots=True, repr=False)
class Start(_Told):
    """Somebody starts a run; what its executions do, one after the other, the last for ever."""

    operation: str
    does: tuple[str, ...]
    identity: str | None = None
    delay_s: int = 0
    by_person: bool = False
    #: Sent by a process without Lastword: accepted by the worker that fetches it.
    unmarked: bool = False
    #: Its preflight does not let it pass.
    is_refused: bool = False
    #: It may not be begun later than this.
    expires_s: int = 0
    #: How its record says that the work ended.
    records: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Boot(_Told):
    """A worker process starts."""


@dataclass(frozen=True, slots=True, repr=False)
class Kill(_Told):
    """A worker process is gone; its sentinel reports it, unless its whole host is gone."""

    worker: str
    is_seen: bool = True


@dataclass(frozen=True, slots=True, repr=False)
class Hold(_Told):
    """A process stands still, until it is let go again."""

    process: str


@dataclass(frozen=True, slots=True, repr=False)
class Release(_Told):
    """A process that stood still goes on, and knows nothing of it."""

    process: str


@dataclass(frozen=True, slots=True, repr=False)
class Stop(_Told):
    """A worker process is told to end in good order."""

    worker: str


@dataclass(frozen=True, slots=True, repr=False)
class Cancel(_Told):
    """An operator asks for a run to stop."""

    run: int


@dataclass(frozen=True, slots=True, repr=False)
class Flush(_Told):
    """The broker forgets everything."""


@dataclass(frozen=True, slots=True, repr=False)
class Duplicate(_Told):
    """The broker has a message of a run twice: a send was repeated that had arrived."""

    run: int


@dataclass(frozen=True, slots=True, repr=False)
class Bar(_Told):
    """From here on the gate lets a run through no more."""

    run: int


@dataclass(frozen=True, slots=True, repr=False)
class Spoil(_Told):
    """A message of a run is changed in the broker: it cannot be read, or asks for another thing."""

    run: int
    how: str = "garbled"


Move = (
    Go
    | Pass
    | Start
    | Boot
    | Kill
    | Hold
    | Release
    | Stop
    | Cancel
    | Flush
    | Duplicate
    | Bar
    | Spoil
)
