"""Faults on demand: rules that answer, delay or drop requests; and the journal of requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Any

#: Requests the journal remembers.
MAX_JOURNAL = 100_000


@dataclass(slots=True)
class Fault:
    """What happens to the next requests that fit.

    Attributes:
        route: a glob over the path.
        method: the HTTP method; any when empty.
        tenant: the tenant; any when empty.
        skip: requests that fit and are let through first.
        times: requests that are hit after that.
        status: the status to answer with; 0 lets the request through after the latency.
        headers: headers of that answer.
        body: its body; text is sent as it is, anything else as JSON.
        latency_s: how long to wait first, in seconds.
        drop: close the connection before the body of an answer.
    """

    route: str = "*"
    method: str = ""
    tenant: str = ""
    skip: int = 0
    times: int = 1
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    latency_s: float = 0.0
    drop: bool = False

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


@dataclass(slots=True)
class Laboratory:
    """The faults in force and the journal."""

    faults: list[Fault] = field(default_factory=list)
    journal: list[dict[str, Any]] = field(default_factory=list)

    def fault_for(self, *, method: str, path: str, tenant: str) -> Fault | None:
        """The first fault that hits this request."""
        for fault in self.faults:
            if fault.hits(method=method, path=path, tenant=tenant):
                return fault
        return None

    def note(self, **entry: Any) -> None:
        """Write a line of the journal."""
        if len(self.journal) < MAX_JOURNAL:
            self.journal.append(entry)
