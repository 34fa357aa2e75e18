"""Ids, canonical JSON, and the identity by which two starts are the same work."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, NewType

from uuid_utils.compat import uuid7

#: The most characters of a run's id; the ledger's column holds no more.
LONGEST_ID = 64

#: The most levels of lists and objects inside each other that a message may have. Python gives up
#: before a thousand, and where it does - in a log line, say - is where a worker thread ends.
DEEPEST = 200

_CANONICAL = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)

#: A run's id; also the id of its Dramatiq message.
RunId = NewType("RunId", str)
#: A worker process's id, fresh at every boot: hosts and pids come back, this does not.
WorkerId = NewType("WorkerId", str)


def is_run_id(text: object) -> bool:
    """Whether `text` can be the id of a run: 1 to 64 characters that can be printed."""
    return isinstance(text, str) and 0 < len(text) <= LONGEST_ID and text.isprintable()


def new_run_id() -> RunId:
    """A time-ordered UUID (version 7), so that runs started by Lastword sort by their age."""
    return RunId(str(uuid7()))


def new_worker_id() -> WorkerId:
    """A fresh id for one boot of one worker process."""
    return WorkerId(str(uuid7()))


def canonical_json(value: Any) -> str:
    """`value` as the one JSON text that equal values share: sorted keys, no spaces, no NaN.

    Raises:
        TypeError: a value has no JSON form.
        ValueError: a number is NaN or infinite.
    """
    return _CANONICAL.encode(value)


def nests_too_deep(value: object) -> bool:
    """Whether lists and objects lie deeper in each other than a message may have them."""
    layer = [value]
    for _ in range(DEEPEST + 1):
        layer = [inner for outer in layer for inner in _inside(outer)]
        if not layer:
            return False
    return True


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list | tuple) else ()


def scope_key(scope: str | None, tenant_id: str | None) -> str | None:
    """What at most one active run may hold: a policy's scope on a tenant; None without either."""
    if scope is None or tenant_id is None:
        return None
    return hashlib.sha256(canonical_json([scope, tenant_id]).encode()).hexdigest()


def run_identity(
    *,
    workspace_id: str | None,
    tenant_id: str | None,
    operation: str,
    inputs: Mapping[str, Any],
) -> str:
    """The sha256 over scope, operation and sorted inputs: at most one active run may hold it."""
    scope = [workspace_id, tenant_id, operation, dict(inputs)]
    return hashlib.sha256(canonical_json(scope).encode()).hexdigest()
