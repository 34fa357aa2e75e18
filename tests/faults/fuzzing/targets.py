"""The parsers that strangers' bytes reach, each as a function of bytes.

A target returns whatever it was given, or raises what must not happen. What a parser may raise is
caught here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

from lastword.cron import read_cron
from lastword.errors import InvalidInputs, LastwordError, PayloadTooLarge
from lastword.web.fields import BadInput, Fields
from lastword.web.run_queries import cursor_after, read_filter
from lastword_jobs.graph_server.answers import Refusal
from lastword_jobs.graph_server.catalogue import RESOURCES
from lastword_jobs.graph_server.query import options_of
from lastword_middleware.delivered import LAST_MOMENT_MS, decoded, ref_of
from lastword_middleware.encoding import canonical, encoded
from lastword_middleware.options import dispatch_of, trace_of

Target = Callable[[bytes], None]

#: Of a listing of the local Graph server.
_ODATA = frozenset({"$select", "$top", "$skiptoken", "$expand", "$filter", "$count"})

_MOST_BYTES = 1 << 20

#: A moment after which each schedule has a slot.
_MOMENT_MS = 1_700_000_000_000


def message(data: bytes) -> None:
    """What lies on a queue: a message that can be handled, named and handed on, or none."""
    told = decoded(data, queue_name="default")
    if told is None:
        return
    assert isinstance(ref_of(told), str)
    assert isinstance(told.options, dict)
    eta = told.options.get("eta")
    assert not isinstance(eta, int | float) or eta < LAST_MOMENT_MS
    assert dispatch_of(told.options) is None or isinstance(dispatch_of(told.options), int)
    assert all(value.isascii() for value in trace_of(told.options).values())
    try:
        text = encoded(canonical(told._message), max_payload_bytes=_MOST_BYTES)
    except (InvalidInputs, PayloadTooLarge):
        return
    assert decoded(text.encode(), queue_name="default") is not None


def filters(data: bytes) -> None:
    """The query of a list: a filter with its cursor, or the field that is wrong."""
    text = data.decode(errors="surrogateescape")
    try:
        wanted = read_filter(Fields.parsed(text), scopes=(), user_id="ada")
    except BadInput as error:
        _require_printable(error)
        return
    assert wanted.since_ms is None or 0 <= wanted.since_ms < 2**63
    if wanted.before is not None:
        assert 0 <= wanted.before[0] < 2**63


def cron(data: bytes) -> None:
    """An expression and a time zone, a line each: a schedule with slots, or refused."""
    expression, _, timezone = data.decode(errors="replace").partition("\n")
    try:
        found = read_cron(expression, timezone or "UTC")
    except InvalidInputs as error:
        _require_printable(error)
        return
    assert found.next_after(_MOMENT_MS) > _MOMENT_MS


def odata(data: bytes) -> None:
    """The query of a listing: its options, or refused by name."""
    query = dict(parse_qsl(data.decode(errors="replace"), keep_blank_values=True))
    for resource in RESOURCES:
        try:
            options = options_of(query, resource, allowed=_ODATA, headers={})
        except Refusal:
            continue
        assert options.top is None or 0 < options.top <= resource.most
        assert options.skip[0] >= 0


def _require_printable(error: LastwordError) -> None:
    # A log line takes it.
    assert error.sentence.encode()


TARGETS: Mapping[str, Target] = {
    "message": message,
    "filters": filters,
    "cron": cron,
    "odata": odata,
}

#: What each begins with: whatever comes of it is changed from there.
SEEDS: Mapping[str, tuple[bytes, ...]] = {
    "message": (
        b'{"queue_name":"default","actor_name":"a","args":[1],"kwargs":{"k":null},"options":'
        b'{"redis_message_id":"r","eta":1,"lastword_dispatch":1,"lastword_trace":'
        b'{"traceparent":"00-0-0-01"}},"message_id":"m","message_timestamp":0}',
    ),
    "filters": (
        b"status=queued&type=x&mine=true&since=2026-01-01T00:00:00Z&reason=stale_queued",
        f"cursor={cursor_after({'created_at': '2026-01-01T00:00:00+00:00', 'id': 'r'})}".encode(),
    ),
    "cron": (b"*/5 0-3 1,15 JAN MON#1\nEurope/Berlin", b"30 2 L * *"),
    "odata": (
        b"$filter=startswith(displayName,'a''b')&$top=5&$select=id&$count=true",
        b"$skiptoken=WzUsICJhIl0=&$expand=assignments",
    ),
}
