"""The plan of a campaign: which faults, on which database, when, for how long: all from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

DATABASES = ("sqlite", "postgresql")


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of harm.

    Attributes:
        name: what it is called in the table and at the command line.
        what: what is done, for the table.
        databases: those on which there is such a thing.
        loses_messages: whether the queue may have lost a message, so that to say so is no lie.
        strands_messages: whether a delayed message may be held past its time, so that to say that
            is no lie either.
        longest_s: for how long it lasts at most.
    """

    name: str
    what: str
    databases: Sequence[str] = DATABASES
    loses_messages: bool = False
    strands_messages: bool = False
    longest_s: float = 3.0


FAULTS = (
    Fault("none", "nothing"),
    Fault("sigkill", "SIGKILL of a worker, again and again"),
    Fault("sigstop", "SIGSTOP of a worker for longer than its lease, then SIGCONT", longest_s=6),
    Fault("sigterm", "SIGTERM of a worker that does not end; SIGKILL after the stop wait"),
    Fault("memory", "a job that takes memory; SIGKILL of its worker at the limit"),
    Fault("scheduler", "SIGKILL of both schedulers, again and again"),
    Fault("flushall", "FLUSHALL", loses_messages=True),
    Fault("redis-restart", "SIGKILL of Redis without AOF, started again", loses_messages=True),
    # A message that was on its way to a server that died was never there.
    Fault("redis-restart-aof", "SIGKILL of Redis with AOF, started again", loses_messages=True),
    Fault("redis-read-only", "Redis refuses every write", loses_messages=True),
    Fault("redis-slow", "Redis answers nobody for a while", loses_messages=True),
    Fault("network-cut", "a worker is cut off from Redis and PostgreSQL", loses_messages=True),
    Fault("network-held", "the network of a worker swallows everything", loses_messages=True),
    Fault("network-delay", "every packet to and from a worker is late", loses_messages=True),
    Fault("postgres-restart", "PostgreSQL stops and starts again", ("postgresql",)),
    Fault("postgres-cut", "every connection to PostgreSQL ends, again and again", ("postgresql",)),
    Fault("disk-full", "the disk of the SQLite file is full", ("sqlite",)),
    # Processes on one SQLite file share a host, and with it one clock.
    # A delay that was reckoned by a clock five minutes ahead is over five minutes late.
    Fault(
        "clock",
        "the clock of a worker jumps by 5 minutes, and back",
        ("postgresql",),
        strands_messages=True,
    ),
    Fault("poison", "messages that are garbage, unknown or not what was accepted"),
    Fault("gil", "a job holds the interpreter's lock for 20 s", longest_s=20),
    Fault("kill-worker", "a job kills its worker each time"),
)


def fault_of(name: str) -> Fault:
    """The fault of this name."""
    return next(fault for fault in FAULTS if fault.name == name)


@dataclass(frozen=True, slots=True)
class Episode:
    """One fault, once, on a system of its own.

    Attributes:
        seed: what everything else came from.
        fault: what is done.
        database: `sqlite` or `postgresql`.
        at_s: when, after the first run was started.
        lasts_s: for how long.
        sign: which way a clock jumps.
        runs: how many runs are started.
    """

    seed: int
    fault: Fault
    database: str
    at_s: float
    lasts_s: float
    sign: int
    runs: int

    @property
    def command(self) -> str:
        """What does just this again."""
        return (
            f"python -m tests.faults.campaign --seed {self.seed} --only {self.fault.name} "
            f"--database {self.database}"
        )


def episode(seed: int, fault: Fault, database: str) -> Episode:
    """The episode of a seed: always the same."""
    dice = random.Random(f"{seed} {fault.name} {database}")
    return Episode(
        seed=seed,
        fault=fault,
        database=database,
        at_s=round(dice.uniform(0.2, 1.5), 3),
        lasts_s=round(dice.uniform(fault.longest_s / 2, fault.longest_s), 3),
        sign=dice.choice((-1, 1)),
        runs=dice.randint(30, 50),
    )


def round_of(seed: int, only: Sequence[str] = (), databases: Sequence[str] = ()) -> list[Episode]:
    """Every fault once; those that both databases know, on the one whose turn it is."""
    return [
        episode(seed, fault, database)
        for number, fault in enumerate(FAULTS)
        if not only or fault.name in only
        for database in _turn(seed + number, fault, databases)
    ]


def rounds(
    seed: int, only: Sequence[str] = (), databases: Sequence[str] = ()
) -> Iterator[list[Episode]]:
    """One round after another, without end."""
    while True:
        yield round_of(seed, only, databases)
        seed += 1


def _turn(number: int, fault: Fault, databases: Sequence[str]) -> list[str]:
    if databases:
        return [database for database in databases if database in fault.databases]
    return [fault.databases[number % len(fault.databases)]]
