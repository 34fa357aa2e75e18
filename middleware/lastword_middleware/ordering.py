"""The order of a broker's middleware: where each has to stand for the truth to be written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum

from dramatiq.middleware import (
    Callbacks,
    GroupCallbacks,
    Middleware,
    Pipelines,
    Retries,
    ShutdownNotifications,
    TimeLimit,
)

#: Middleware that sends messages once an actor has returned.
_SEND_FOLLOW_UPS = (Callbacks, GroupCallbacks, Pipelines)


class Place(IntEnum):
    """Where a middleware of Lastword stands, as its attribute `stands` says."""

    #: Sees every skip.
    FIRST = 0
    #: Its after-hook runs once Retries has decided, and before follow-ups are sent.
    BEFORE_RETRIES = 1
    #: Armed last and disarmed first.
    INTERRUPTING = 2
    #: Waits for what the others interrupt.
    LAST = 3


def arranged(middleware: Sequence[Middleware]) -> list[Middleware]:
    """A list of middleware in the order that tracking needs.

    What stands before `Retries` sees what it decided, so an application's own keep their side;
    follow-ups must not be sent before the truth of the run they follow.
    """
    interrupting = [
        item
        for kind in (ShutdownNotifications, TimeLimit)
        for item in middleware
        if isinstance(item, kind)
    ]
    ours = [item for item in middleware if _place(item) is not None]
    rest = [item for item in middleware if item not in [*ours, *interrupting]]
    retries = next(place for place, item in enumerate(rest) if isinstance(item, Retries))
    followers = [item for item in rest[retries:] if isinstance(item, _SEND_FOLLOW_UPS)]
    behind = [item for item in rest[retries:] if item not in followers]
    first, attempts, *last = ([item for item in ours if _place(item) is place] for place in Place)
    return [
        *first,
        *rest[:retries],
        *followers,
        *attempts,
        *behind,
        *interrupting,
        *(item for items in last for item in items),
    ]


def misplaced(middleware: Sequence[Middleware]) -> Iterator[str]:
    """What stands where it must not, in words.

    An application may have added more since it was arranged; what does no harm is let be.
    """
    for kind in (Retries, TimeLimit):
        if not any(isinstance(item, kind) for item in middleware):
            yield f"there is no {kind.__name__}"
            return
    places = [_place(item) for item in middleware]
    for wanted in Place:
        if places.count(wanted) != 1:
            yield f"{places.count(wanted)} middleware of Lastword stand at {wanted.name.lower()}"
            return
    attempts, armed = places.index(Place.BEFORE_RETRIES), places.index(Place.INTERRUPTING)
    first_armed = min(i for i, item in enumerate(middleware) if _is_armed(item))
    for place, item in enumerate(middleware):
        name = type(item).__name__
        if isinstance(item, _SEND_FOLLOW_UPS) and place > attempts:
            yield f"{name} stands behind what writes the truth, and would send what follows first"
        if isinstance(item, Retries) and not attempts < place < first_armed:
            yield f"{name} stands before what writes the truth, or inside the time limit"
        if isinstance(item, (ShutdownNotifications, TimeLimit)) and place > armed:
            yield f"{name} stands behind what withdraws its interrupts"
        if place > first_armed and _is_foreign(item) and _looks_at_work(item):
            yield f"{name} stands behind TimeLimit, whose interrupt would end a thread in its hooks"


def _is_armed(middleware: Middleware) -> bool:
    return isinstance(middleware, (ShutdownNotifications, TimeLimit)) or (
        _place(middleware) is Place.INTERRUPTING
    )


def _is_foreign(middleware: Middleware) -> bool:
    return _place(middleware) is None and not _is_armed(middleware)


def _looks_at_work(middleware: Middleware) -> bool:
    hooks = ("before_process_message", "after_process_message")
    return any(getattr(type(middleware), hook) is not getattr(Middleware, hook) for hook in hooks)


def _place(middleware: Middleware) -> Place | None:
    return getattr(middleware, "stands", None)
