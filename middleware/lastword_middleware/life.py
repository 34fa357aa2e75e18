"""The life of a worker process: registered before its first fetch, ended after its last word."""

from __future__ import annotations

import logging
from pathlib import Path

from dramatiq.broker import Broker
from dramatiq.brokers.redis import RedisBroker
from dramatiq.worker import Worker

from lastword.errors import LedgerUnavailable
from lastword.logs import log_notice
from lastword.pulse import Pulse
from lastword.storage.schema import require_current_schema
from lastword.timing import require_safe
from lastword_middleware.chain import violations_of
from lastword_middleware.command_line import is_made_by_dramatiq, shutdown_timeout_s
from lastword_middleware.errors import TrackingError
from lastword_middleware.fitness import Fitness
from lastword_middleware.heartbeat import Heartbeat
from lastword_middleware.placement import collect_less, stay_on_one_cpu
from lastword_middleware.presence import Presence
from lastword_middleware.tracker import Tracker
from lastword_middleware.watched import Watched

#: The most seconds a stopping worker spends on writing what has ended.
LONGEST_FLUSH_S = 10.0


def _consumed(broker: Broker, worker: Worker) -> tuple[str, ...]:
    wanted = worker.consumer_whitelist
    queues = broker.get_declared_queues() | broker.get_declared_delay_queues()
    return tuple(
        sorted(name for name in queues if not wanted or name.removesuffix(".DQ") in wanted)
    )


class WorkerLife:
    """Starts and stops what keeps a worker alive in the ledger's eyes.

    Args:
        tracker: the worker.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._heartbeat: Heartbeat | None = None
        self._presence: Presence | None = None
        self._pulse: Pulse | None = None
        self._watched = Watched(tracker.config, tracker.ledger)
        tracker.on_boot.append(self._watched.is_now)

    def begin(self, broker: Broker, worker: Worker) -> None:
        """Register this process, and keep its lease from here on.

        Raises:
            TrackingError: it cannot be a worker.
        """
        config = self._tracker.config
        try:
            drain_s = shutdown_timeout_s(config)
            found = violations_of(
                broker, config, shutdown_timeout_s=drain_s, queues=_consumed(broker, worker)
            )
            require_safe(found, allowed=config.allow_unsafe_timing)
            self._tracker.unsafe_timing = tuple(str(violation.rule) for violation in found)
            require_current_schema(self._tracker.ledger)
            self._tracker.stopping.clear()
            self._watched.start()
            self._tracker.boot(
                threads=worker.worker_threads,
                broker_id=getattr(broker, "broker_id", None),
                queues=_consumed(broker, worker),
            )
            self._watched.await_ready()
            collect_less(config.gc_threshold)
            if config.one_cpu:
                log_notice(logging.INFO, "worker_placed", cpu=stay_on_one_cpu())
        except Exception as error:
            # Dramatiq would swallow it, and the worker would live without ever working.
            raise TrackingError.because(error) from error
        fitness = Fitness(worker, max(config.stop_wait, drain_s))
        self._heartbeat = Heartbeat(self._tracker, broker, fitness, self._watched)
        self._heartbeat.start()
        self._pulse = self._started_pulse(fitness, self._heartbeat)
        if isinstance(broker, RedisBroker):
            self._presence = Presence(broker, every_s=config.heartbeat_interval)
            self._presence.start()

    def leave(self) -> None:
        """Take nothing new from here on."""
        self._tracker.stopping.set()
        if self._pulse is not None:
            self._pulse.stopping()

    def end(self) -> None:
        """Write what is left, and stop being a worker."""
        config = self._tracker.config
        if self._tracker.writer is not None:
            within_s = (config.stop_wait - config.worker_shutdown_timeout) / 2
            self._tracker.writer.stop(within_s=min(within_s, LONGEST_FLUSH_S))
        if self._presence is not None:
            self._presence.stop()
        if self._heartbeat is not None:
            self._heartbeat.stop()
        if self._pulse is not None:
            self._pulse.stop()
        try:
            if self._tracker.end():
                self._watched.say_goodbye()
        except LedgerUnavailable as error:
            # Its lease runs out instead.
            log_notice(logging.WARNING, "end_unrecorded", why=error)
        self._tracker.tracing.close()

    def _started_pulse(self, fitness: Fitness, heartbeat: Heartbeat) -> Pulse | None:
        # An application that runs a worker inside its own process is well or not as a whole.
        if not is_made_by_dramatiq():
            return None

        def look() -> list[str]:
            if fitness.ending_for or self._tracker.stopping.is_set():
                # One that drains has threads that have ended.
                return list(fitness.ending_for)
            stopped = [] if heartbeat.is_alive() else ["the heartbeat's thread died"]
            return [*stopped, *fitness.troubles()]

        config = self._tracker.config
        file = Path(config.health_file) if config.health_file else None
        pulse = Pulse(look, every_s=config.heartbeat_interval, file=file)
        pulse.start()
        return pulse
