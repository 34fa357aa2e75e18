"""From fetched messages to deliveries that may begin: accepted, reserved, found to be genuine."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from dramatiq.broker import Broker, MessageProxy

from lastword.errors import LastwordError
from lastword.identity import RunId, is_run_id
from lastword.logs import log_notice
from lastword.service.counters import Counted, count
from lastword.service.requests import NewRun
from lastword.service.reserving import asks_for
from lastword.service.values import Delivery, Refusal, Reservation
from lastword_middleware.covered import operation_of, require_inside
from lastword_middleware.delivered import Delivered
from lastword_middleware.encoding import canonical, encoded
from lastword_middleware.options import DISPATCH, LONGEST_DISPATCH, dispatch_of
from lastword_middleware.reservations import Held
from lastword_middleware.tracker import Tracker

#: Refusals of a message that is no message of this ledger: dead-lettered, not acknowledged.
FOREIGN = frozenset({Refusal.UNKNOWN_RUN, Refusal.TAMPERED, Refusal.UNACCEPTABLE})

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Refused:
    """A delivery that must not begin.

    Attributes:
        is_kept: whether it is the run's only message all the same: it stays with the broker.
    """

    message: MessageProxy
    why: Refusal
    is_kept: bool = False


@dataclass(frozen=True, slots=True)
class Admission:
    """Admits deliveries for the worker that `tracker` is."""

    broker: Broker
    tracker: Tracker

    def admit(self, messages: Sequence[MessageProxy]) -> list[Refused]:
        """Reserve what covered actors are to do, in one statement; those that must not begin.

        Waits while the ledger is away.

        Raises:
            LedgerUnavailable: the worker stops before the ledger could be asked.
        """
        sound: list[MessageProxy] = []
        refused: list[Refused] = []
        for message in self._covered(messages):
            if _is_sound(message):
                sound.append(message)
            else:
                refused.append(Refused(message, Refusal.UNACCEPTABLE))
        refused += self._accept_unmarked(sound)
        asked, known = self._sorted_out(sound)
        refused += known
        admitted: list[Held] = []
        for held in self._reserve(asked):
            why = held.reservation.refusal or _forgery(held)
            if why is None:
                admitted.append(held)
            elif why is not Refusal.LEASE_LOST:
                refused.append(Refused(held.message, why))
        self.tracker.reservations.add(admitted)
        refused = self._with_kept(refused)
        for item in refused:
            self._tell(item)
        return refused

    def unacceptable(self, messages: Sequence[MessageProxy]) -> list[Refused]:
        """Of messages that wait for their time: those that could not be accepted when it comes.

        Where they are handed on nobody could do anything but try for ever.

        Raises:
            LedgerUnavailable: the worker stops before that could be recorded.
        """
        refused = [
            Refused(message, Refusal.UNACCEPTABLE)
            for message in self._covered(messages)
            if not _is_sound(message) or not self._is_acceptable(message)
        ]
        for item in refused:
            self._tell(item)
        return refused

    def _sorted_out(
        self, messages: Sequence[MessageProxy]
    ) -> tuple[dict[Delivery, MessageProxy], list[Refused]]:
        # What to ask for, and what this worker has already.
        deliveries = [
            (Delivery(RunId(message.message_id), dispatch), message)
            for message in messages
            if (dispatch := dispatch_of(message.options)) is not None
        ]
        running = self.tracker.working_on(delivery for delivery, _ in deliveries)
        waiting = self.tracker.reservations.among(delivery for delivery, _ in deliveries)
        asked: dict[Delivery, MessageProxy] = {}
        refused: list[Refused] = []
        for delivery, message in deliveries:
            if delivery in running:
                refused.append(Refused(message, Refusal.RUNNING))
            elif delivery in asked or delivery in waiting:
                refused.append(Refused(message, Refusal.HELD))
            else:
                asked[delivery] = message
        return asked, refused

    def _covered(self, messages: Sequence[MessageProxy]) -> list[MessageProxy]:
        return [item for item in messages if operation_of(self.broker, item.actor_name)]

    def _is_acceptable(self, message: MessageProxy) -> bool:
        if dispatch_of(message.options) is not None:
            return True
        try:
            self._new_run(message)
        except LastwordError as error:
            log_notice(logging.ERROR, "message_refused", run=message.message_id, why=error)
            return False
        return True

    def _with_kept(self, refused: Sequence[Refused]) -> list[Refused]:
        # Held already, but not as another message: this one is all that the broker has of the run.
        held = [item.message for item in refused if item.why is Refusal.HELD]
        if not held:
            return list(refused)
        run_ids = [RunId(message.message_id) for message in held]
        refs = self._wait(lambda: self.tracker.runs.message_refs(run_ids), held, what="look")
        return [
            replace(item, is_kept=True)
            if item.why is Refusal.HELD and _is_of(item.message, refs)
            else item
            for item in refused
        ]

    def _reserve(self, asked: dict[Delivery, MessageProxy]) -> list[Held]:
        if not asked:
            return []
        since = time.monotonic()
        worker_id = self.tracker.worker_id
        if worker_id is None:
            return []

        def reserve() -> list[Reservation]:
            return self.tracker.runs.reserve(list(asked), worker_id=worker_id)

        reservations = self._wait(reserve, list(asked.values()), what="reserve")
        return [
            Held(message, reservation, since)
            for message, reservation in zip(asked.values(), reservations, strict=True)
        ]

    def _accept_unmarked(self, messages: Sequence[MessageProxy]) -> list[Refused]:
        # Sent by a process without Lastword: accepted here, on its delivery.
        unmarked = [message for message in messages if dispatch_of(message.options) is None]
        runs: list[NewRun] = []
        refused: list[Refused] = []
        for message in unmarked:
            try:
                runs.append(self._new_run(message))
            except LastwordError as error:
                log_notice(logging.ERROR, "message_refused", run=message.message_id, why=error)
                refused.append(Refused(message, Refusal.UNACCEPTABLE))
        if runs:
            self._wait(lambda: self.tracker.runs.accept(runs), unmarked, what="accept")
        for message in unmarked:
            if all(item.message is not message for item in refused):
                message.options[DISPATCH] = 1
        return refused

    def _new_run(self, message: MessageProxy) -> NewRun:
        operation = operation_of(self.broker, message.actor_name)
        assert operation is not None, "only covered messages are accepted"
        policy = self.tracker.config.policy(operation)
        require_inside(policy, message.options, place="a message")
        marked = message._message.copy(options={DISPATCH: 1})
        return NewRun(
            run_id=RunId(message.message_id),
            policy=policy,
            actor_name=message.actor_name,
            payload=encoded(
                canonical(marked),
                max_payload_bytes=self.tracker.config.max_payload_bytes,
            ),
            message_queue=message.queue_name,
            message_ref=message.options.get("redis_message_id"),
        )

    def _wait(self, ask: Callable[[], T], messages: Sequence[MessageProxy], *, what: str) -> T:
        run_id = RunId(messages[0].message_id)
        return self.tracker.persist_or_stop(ask, what=what, run_id=run_id)

    def _tell(self, refused: Refused) -> None:
        message = refused.message
        foreign = refused.why in FOREIGN
        log_notice(
            logging.ERROR if foreign else logging.INFO,
            "delivery_refused" if foreign else "delivery_skipped",
            run=message.message_id,
            why=refused.why,
            dispatch=dispatch_of(message.options),
        )
        if not foreign:
            return
        ref = message.options.get("redis_message_id")

        def note() -> None:
            count(self.tracker.ledger, Counted.REFUSED_DELIVERIES, refused.why)
            worker_id = self.tracker.worker_id
            if ref and worker_id and _is_sound(message) and dispatch_of(message.options):
                # The run itself is without a message now, and is sent again from the ledger.
                self.tracker.runs.release([_delivery(message)], worker_id=worker_id)
                self.tracker.runs.disown([_delivery(message)], message_ref=ref)

        self._wait(note, [message], what="refuse")


def _is_sound(message: MessageProxy) -> bool:
    # What no run can have had, whoever wrote it: nothing can be asked of the ledger with it.
    dispatch = dispatch_of(message.options)
    is_numbered = dispatch is None or 0 < dispatch <= LONGEST_DISPATCH
    return is_run_id(message.message_id) and is_numbered


def _is_of(message: MessageProxy, refs: Mapping[RunId, str | None]) -> bool:
    ref = message.options.get("redis_message_id")
    return ref is not None and refs.get(RunId(message.message_id)) == ref


def _delivery(message: MessageProxy) -> Delivery:
    dispatch = dispatch_of(message.options)
    assert dispatch is not None, "an unmarked message was marked when it was accepted"
    return Delivery(RunId(message.message_id), dispatch)


def _forgery(held: Held) -> Refusal | None:
    message = held.message
    if isinstance(message, Delivered) and message.text == held.reservation.payload.encode():
        return None
    genuine = asks_for(
        held.reservation.payload,
        actor_name=message.actor_name,
        args=message.args,
        kwargs=message.kwargs,
        options=message.options,
    )
    return None if genuine else Refusal.TAMPERED
