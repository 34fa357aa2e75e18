"""Server-sent events of one run: that it has changed, within a second, to whoever looks at it.

Beside polling and not in its place: a browser that gets no stream asks as before. The format is
that of the HTML standard, section 9.2.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from lastword.errors import LastwordError, UnknownRun
from lastword.reading.runs import run_stamp
from lastword.web.asking import Asked
from lastword.web.guarding import Entry
from lastword.web.identifying import viewer_of
from lastword.web.pages.run import find_run

#: Seconds between two looks at the ledger.
LOOK_EVERY_S = 1.0

#: Seconds without news after which the connection is kept up with a comment.
SILENT_S = 15.0

#: Seconds after which a stream ends; the browser opens another.
LONGEST_S = 300.0


def stream(asked: Asked) -> Response:
    """Tell of each change of a run, until it ends or may be seen no more."""
    run = find_run(asked)
    streams = asked.site.streams
    if streams.open >= streams.most:
        return Response("too many streams\n", 503, {"Retry-After": "60"}, "text/plain")
    return StreamingResponse(_events(asked, run["id"]), media_type="text/event-stream")


async def _events(asked: Asked, run_id: str) -> AsyncIterator[str]:
    streams = asked.site.streams
    streams.open += 1
    try:
        async for event in _news(asked, run_id):
            yield event
    finally:
        streams.open -= 1


async def _news(asked: Asked, run_id: str) -> AsyncIterator[str]:
    began = said = time.monotonic()
    last: str | None = None
    while time.monotonic() - began < LONGEST_S:
        stamp = await run_in_threadpool(_stamp, asked, run_id)
        if stamp is None:
            # Signed out, or not theirs any more: nothing is said, and nothing follows.
            yield "event: over\ndata: over\n\n"
            return
        if stamp != last:
            last, said = stamp, time.monotonic()
            yield f"event: changed\ndata: {stamp}\n\n"
        elif time.monotonic() - said > SILENT_S:
            said = time.monotonic()
            yield ": still here\n\n"
        if await asked.request.is_disconnected():
            return
        await anyio.sleep(LOOK_EVERY_S)


def _stamp(asked: Asked, run_id: str) -> str | None:
    """What a run is known by now, to whoever asks as they are now."""
    viewer = viewer_of(asked.site, asked.request, with_tokens=False)
    if viewer is None:
        return None
    now = replace(asked, viewer=viewer)
    try:
        return run_stamp(asked.ledger, run_id, scopes=now.scopes)
    except UnknownRun:
        return None
    except LastwordError:
        # The ledger is away for a moment; what is there now is told when it is back.
        return "unknown"


ENTRIES = (Entry("/admin/operations/{run}/stream", stream),)
