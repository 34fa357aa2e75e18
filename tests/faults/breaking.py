"""Lets one call of a database or of Redis fail: before it is done, or after, its answer lost."""

from __future__ import annotations

import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import peewee
import redis

T = TypeVar("T")

#: The folders whose code makes calls, and the files through which all of it makes them.
CALLERS = ("platform", "middleware", "jobs", "scheduler")
NO_CALLERS = ("ledger.py", "measures.py")

ROOT = Path(__file__).parents[2]


class Breakage(StrEnum):
    """How a call fails."""

    REFUSED = "refused"
    LOST = "lost"


@dataclass(slots=True)
class Breaker:
    """Counts the calls of what is attached to it, and breaks one.

    Attributes:
        calls: who made each call so far, and to what.
        broken: those that were broken.
    """

    calls: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    _is_next: Callable[[int, str], bool] | None = None
    _how: Breakage = Breakage.REFUSED
    _thread: int | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def arm(
        self, how: Breakage, *, number: int | None = None, site: str = "", here: bool = True
    ) -> None:
        """Break the call of this number, or the first from this site; count anew.

        Args:
            how: how it fails.
            number: which one, from 0.
            site: who makes it.
            here: whether only calls of this thread count.
        """
        self.calls.clear()
        self.broken.clear()
        self._how = how
        self._thread = threading.get_ident() if here else None
        self._is_next = lambda at, name: at == number if number is not None else name == site

    def count(self, *, here: bool = True) -> None:
        """Count anew, and break nothing."""
        self.arm(Breakage.REFUSED, number=-1, here=here)

    def rest(self) -> None:
        """Neither count nor break."""
        self._is_next = None

    def attach_database(self, database: peewee.Database) -> None:
        """Have every statement and every commit counted."""
        for name in ("execute_sql", "commit"):
            self._attach(database, name, lambda: peewee.OperationalError("broken by a test"))

    def attach_redis(self, client: redis.Redis) -> None:
        """Have every command and every pipeline counted."""
        self._attach(client, "execute_command", _lost)
        make = client.pipeline

        def pipeline(*arguments: Any, **named: Any) -> Any:
            made = make(*arguments, **named)
            self._attach(made, "execute", _lost)
            return made

        client.pipeline = pipeline  # type: ignore[method-assign]

    def _attach(self, target: object, name: str, error: Callable[[], Exception]) -> None:
        whole = getattr(target, name)

        def call(*arguments: Any, **named: Any) -> Any:
            return self._call(name, lambda: whole(*arguments, **named), error)

        setattr(target, name, call)

    def _call(self, name: str, act: Callable[[], T], error: Callable[[], Exception]) -> T:
        how = self._noted(f"{_caller()} {name}")
        if how is Breakage.REFUSED:
            raise error()
        answer = act()
        if how is Breakage.LOST:
            if isinstance(answer, sqlite3.Cursor):
                # One that is half read would keep the file locked.
                answer.close()
            raise error()
        return answer

    def _noted(self, site: str) -> Breakage | None:
        with self._lock:
            if self._is_next is None or self._thread not in (None, threading.get_ident()):
                return None
            self.calls.append(site)
            if self.broken or not self._is_next(len(self.calls) - 1, site):
                return None
            self.broken.append(site)
            return self._how


@contextmanager
def broken(breaker: Breaker, how: Breakage, number: int) -> Iterator[None]:
    """Break one call of what is done here, if it makes so many."""
    breaker.arm(how, number=number)
    try:
        yield
    finally:
        breaker.rest()


def _lost() -> Exception:
    return redis.ConnectionError("broken by a test")


def _caller() -> str:
    frame = sys._getframe(2)
    while frame.f_back is not None:
        file = Path(frame.f_code.co_filename)
        ours = any(file.is_relative_to(ROOT / folder) for folder in CALLERS)
        if ours and file.name not in NO_CALLERS:
            return f"{file.stem}.{frame.f_code.co_name}"
        frame = frame.f_back
    return "a test"
