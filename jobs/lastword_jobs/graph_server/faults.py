"""Faults on demand: rules that refuse, delay, cut, drop or undermine requests."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatch
from typing import Any

from lastword_jobs.graph_server.answers import Answer
from lastword_jobs.graph_server.journal import Journal
from lastword_jobs.graph_server.seeding import read_seed


@dataclass(slots=True)
class Fault:
    """What happens to the next requests that fit.

    Attributes:
        route: a glob over the path.
        method: the HTTP method; any when empty.
        tenant: the tenant; any when empty.
        skip: requests that fit and are let through first; the nth is hit with n - 1.
        times: requests that are hit after that.
        like: a name in the seed of errors, which gives status, headers and body.
        status: the status to answer with; 0 leaves the answer as it is.
        headers: headers of that answer.
        body: its body; text is sent as it is, anything else as JSON.
        latency_s: how long to wait first, in seconds.
        latency_to_s: when above, the wait is a random one between the two.
        after: whether the request is carried out before the fault strikes.
        drop: close the connection before the body of an answer.
        truncate: send the first half of the answer's body as if it were whole.
        expire_tokens: let every token expire first.
        gone: delete the object that the path names first.
    """

    route: str = "*"
    method: str = ""
    tenant: str = ""
    skip: int = 0
    times: int = 1
    like: str = ""
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    latency_s: float = 0.0
    latency_to_s: float = 0.0
    after: bool = False
    drop: bool = False
    truncate: bool = False
    expire_tokens: bool = False
    gone: bool = False

    def hits(self, *, method: str, path: str, tenant: str) -> bool:
        """Whether this request is hit; counts it."""
        fits = (
            self.times > 0
            and fnmatch(path, self.route)
            and self.method in ("", method)
            and self.tenant in ("", tenant)
        )
        if not fits:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return True

    @property
    def wait_s(self) -> float:
        """How long this hit waits, in seconds."""
        if self.latency_to_s <= self.latency_s:
            return self.latency_s
        return random.uniform(self.latency_s, self.latency_to_s)  # noqa: S311 - not a secret

    @property
    def is_silence(self) -> bool:
        """Whether it answers nothing itself."""
        return not (self.drop or self.status)

    @property
    def answer(self) -> Answer:
        """What it answers."""
        # No body at all is no JSON; an object without members is what a proxy would send.
        body = {} if self.body is None else self.body
        headers = {key.lower(): value for key, value in self.headers.items()}
        return Answer(self.status, body, {"content-type": "application/json", **headers})


@dataclass(slots=True)
class Laboratory:
    """The faults in force and the journal."""

    faults: list[Fault] = field(default_factory=list)
    book: Journal = field(default_factory=Journal)

    def fault_for(self, *, method: str, path: str, tenant: str) -> Fault | None:
        """The first fault that hits this request."""
        for fault in self.faults:
            if fault.hits(method=method, path=path, tenant=tenant):
                return fault
        return None


def fault_from(rule: Any) -> Fault:
    """A fault as somebody describes it.

    Raises:
        ValueError: it has an unknown key or a wrong value.
    """
    known = {item.name: item for item in fields(Fault)}
    if not isinstance(rule, Mapping) or set(rule) - set(known):
        unknown = sorted(set(rule) - set(known)) if isinstance(rule, Mapping) else rule
        raise ValueError(f"unknown keys {unknown}; expected {sorted(known)}")
    blank = Fault()
    for key, value in rule.items():
        if key != "body" and not _is_like(value, getattr(blank, key)):
            raise ValueError(f"{key} is {value!r}; expected the kind of {getattr(blank, key)!r}")
    return Fault(**{**_template(rule.get("like", "")), **rule})


def _is_like(value: Any, default: Any) -> bool:
    if isinstance(default, float):
        return type(value) in (int, float) and 0 <= value < math.inf
    if isinstance(default, int) and not isinstance(default, bool):
        return type(value) is int and value >= 0
    return isinstance(value, type(default))


def _template(name: str) -> dict[str, Any]:
    if not name:
        return {}
    errors = read_seed("errors")
    if name not in errors:
        raise ValueError(f"like is {name!r}; expected one of {sorted(errors)}")
    return dict(errors[name])
