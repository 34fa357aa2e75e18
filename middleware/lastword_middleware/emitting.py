"""Calls the hooks of a broker's middleware: those that do something, without looking for them anew.

Dramatiq asks each of a dozen middleware for each of four signals a message, and nearly all of them
answer with a hook that does nothing: a sixth of what a short job costs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dramatiq.broker import Broker
from dramatiq.middleware import Middleware, MiddlewareError

_FAILED = "Unexpected failure in %s of %r."

Hook = Callable[..., object]


def emit_to_listeners(broker: Broker) -> None:
    """Let a broker call only hooks that are not Dramatiq's own empty ones; nothing else changes.

    A broker with a way of its own to emit keeps it.
    """
    kind = type(broker)
    if kind.emit_before is Broker.emit_before and kind.emit_after is Broker.emit_after:
        emitting = _Emitting(broker)
        broker.emit_before = emitting.before  # type: ignore[method-assign]
        broker.emit_after = emitting.after  # type: ignore[method-assign]


@dataclass(slots=True)
class _Listeners:
    """Who listens to a signal, in the order in which Dramatiq asks, of just these middleware."""

    of: list[Middleware]
    hooks: list[tuple[Hook, Middleware]]


@dataclass(frozen=True, slots=True)
class _Emitting:
    broker: Broker
    _known: dict[str, _Listeners] = field(default_factory=dict)

    def before(self, signal: str, *args: Any, **kwargs: Any) -> None:
        name = "before_" + signal
        known = self._known.get(name)
        if known is None or known.of != self.broker.middleware:
            known = self._look(name, list(self.broker.middleware))
        for hook, middleware in known.hooks:
            try:
                hook(self.broker, *args, **kwargs)
            except MiddlewareError:
                raise
            except Exception:
                self.broker.logger.critical(_FAILED, name, middleware, exc_info=True)

    def after(self, signal: str, *args: Any, **kwargs: Any) -> None:
        name = "after_" + signal
        known = self._known.get(name)
        if known is None or known.of != self.broker.middleware:
            known = self._look(name, list(self.broker.middleware))
        for hook, middleware in reversed(known.hooks):
            try:
                hook(self.broker, *args, **kwargs)
            except Exception:
                self.broker.logger.critical(_FAILED, name, middleware, exc_info=True)

    def _look(self, name: str, middleware: list[Middleware]) -> _Listeners:
        hooks = [(getattr(item, name), item) for item in middleware]
        listening = [
            (hook, item)
            for hook, item in hooks
            if getattr(hook, "__func__", hook) is not getattr(Middleware, name)
        ]
        known = self._known[name] = _Listeners(middleware, listening)
        return known
