"""Starting runs: check, accept in the ledger, then hand the message to the queue.

Row first, message second. Inside an application's own transaction the row is committed or rolled
back with it, and the message is sent only after the commit.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from lastword.config import Config
from lastword.errors import LastwordError, UnknownTenant
from lastword.identity import RunId, new_run_id, run_identity, scope_key
from lastword.input_rules import require_delay, require_json, require_name
from lastword.legitimacy import Asked, Gate
from lastword.logs import log_notice
from lastword.reading.tenants import find_tenant
from lastword.service import RunService
from lastword.service.audit import Actor, ActorKind, Entry, Result, write_audit
from lastword.service.requests import Acceptance, Accepted, NewRun
from lastword.service.values import Redispatched
from lastword.storage.ledger import Ledger
from lastword.storage.schema import require_current_schema


def _tell_nobody(error: Exception | None) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Letter:
    """A message that is ready to be sent.

    Attributes:
        actor_name: the actor that does the work.
        payload: the message as JSON text.
        sent: told when it was handed to the queue, with what was raised if anything was; not told
            if it was not to be sent at all.
    """

    actor_name: str
    payload: str
    sent: Callable[[Exception | None], object] = _tell_nobody


class Dispatcher(Protocol):
    """What sends messages; filled in by the middleware."""

    def compose(self, operation: str, run_id: RunId, inputs: Mapping[str, Any]) -> Letter:
        """The message that would do `operation`, checked against its actor and the size limit.

        It carries the trace that it is composed in, if there is one.

        Raises:
            StartRefused: no actor does it, or the inputs do not fit.
        """

    def template(self, operation: str, run_id: RunId, inputs: Mapping[str, Any]) -> Letter:
        """Such a message for runs that are started later, and so in no trace of today.

        Raises:
            StartRefused: no actor does it, or the inputs do not fit.
        """

    def send(self, payload: str, *, dispatch: int, retries: int = 0, delay_ms: int = 0) -> None:
        """Send a message under a dispatch number. An exception means: it may have arrived."""

    def send_all(self, runs: Sequence[Redispatched]) -> None:
        """Send the messages of many runs. An exception means: any of them may have arrived."""


@dataclass(frozen=True, slots=True)
class Application:
    """What `start` works with: one for each process, made by `lastword_middleware.install`.

    Attributes:
        config: the configuration.
        ledger: the ledger, on the application's own connections if it has any.
        apart: the same ledger on connections that never share the application's transactions.
        dispatcher: what sends messages.
        gate: what judges whether a run may be done.
    """

    config: Config
    ledger: Ledger
    apart: Ledger
    dispatcher: Dispatcher
    gate: Gate


@dataclass(frozen=True, slots=True)
class Started:
    """The answer to a start.

    Attributes:
        result: `accepted`; `deduped` with the active run that does this work already;
            `scope_busy` with the one that excludes it; `blocked` with a run that says why.
        run_id: the run's id.
        url: the path of its page in the monitoring web.
    """

    result: str
    run_id: RunId

    @property
    def url(self) -> str:
        """Where to watch it."""
        return f"/admin/operations/{self.run_id}"


_application: Application | None = None


def use_application(application: Application) -> None:
    """Make `application` the one that `start` works with in this process."""
    global _application
    _application = application


def application_here() -> Application:
    """The application of this process.

    Raises:
        LastwordError: Lastword is not installed in it.
    """
    if _application is None:
        raise LastwordError(
            "a run was to be started before Lastword was installed in this process",
            mend="call lastword_middleware.install(broker, ...) first",
        )
    return _application


def start(
    operation: str,
    *,
    inputs: Mapping[str, Any] | None = None,
    tenant: str | None = None,
    initiator: str | None = None,
    initiator_name: str | None = None,
    delay_s: float = 0.0,
    actor: Actor | None = None,
) -> Started:
    """Accept a run of `operation` and hand it to the queue.

    Args:
        operation: the operation's name.
        inputs: the actor's keyword arguments, as JSON values.
        tenant: the id of the tenant to work on.
        initiator: the id of the person who asks, and who must be allowed to do this on the tenant,
            now and when its turn comes; None if it is done with the system's own authority.
        initiator_name: what people read as the initiator; the id, or "System", if None.
        delay_s: how long to hold it back, in seconds.
        actor: who asks, for the audit log; the initiator if None. What the system starts by itself
            is not in it.

    Raises:
        StartRefused: the operation, the tenant or the inputs are wrong; nothing was written.
        LedgerUnavailable: the ledger does not answer; nothing was written.
        LastwordError: Lastword is not installed in this process.
    """
    return start_in(
        application_here(),
        operation,
        inputs=inputs or {},
        tenant=tenant,
        initiator=initiator,
        initiator_name=initiator_name,
        delay_s=delay_s,
        actor=actor,
    )


def start_in(
    application: Application,
    operation: str,
    *,
    inputs: Mapping[str, Any],
    tenant: str | None,
    initiator: str | None,
    initiator_name: str | None = None,
    delay_s: float = 0.0,
    actor: Actor | None = None,
) -> Started:
    """`start`, in a given application."""
    ledger = application.ledger
    require_current_schema(ledger)
    request, letter = _request(application, operation, inputs, tenant, initiator, delay_s)
    name = initiator_name or initiator or "System"
    request = replace(request, initiator_name=name)
    if not ledger.is_one_file:
        RunService(application.apart).keep_policies([request.policy])
    asked = Asked(operation, request.workspace_id, tenant, initiator, inputs)
    denial = application.gate.denial(ledger, asked, request.policy)
    if actor is None and initiator is not None:
        actor = Actor(ActorKind.PERSON, initiator, initiator)
    accepted = _recorded(ledger, replace(request, denial=denial), actor)
    if accepted.result is Acceptance.ACCEPTED:
        delay_ms = int(delay_s * 1000)
        with ledger.session():
            ledger.after_commit(
                lambda: dispatch(application, accepted.run_id, letter, delay_ms=delay_ms)
            )
    return Started(accepted.result, accepted.run_id)


def _recorded(ledger: Ledger, request: NewRun, actor: Actor | None) -> Accepted:
    with ledger.transaction():
        if request.denial is not None:
            RunService(ledger).refuse(request)
            accepted = Accepted(request.run_id, Acceptance.BLOCKED)
        else:
            [accepted] = RunService(ledger).accept([request])
        if actor is not None:
            write_audit(ledger, actor, [_entry(request, accepted)])
    return accepted


def _entry(request: NewRun, accepted: Accepted) -> Entry:
    return Entry(
        action="run.start",
        target_kind="run",
        target_id=accepted.run_id,
        result=Result.DENIED if request.denial else Result.DONE,
        reason=request.denial.reason if request.denial else None,
        workspace_id=request.workspace_id,
        tenant_id=request.tenant_id,
        run_id=accepted.run_id,
        after={"operation": request.policy.operation, "result": accepted.result},
    )


def _request(
    application: Application,
    operation: str,
    inputs: Mapping[str, Any],
    tenant: str | None,
    initiator: str | None,
    delay_s: float,
) -> tuple[NewRun, Letter]:
    policy = application.config.offered(operation)
    require_json(inputs)
    if tenant is None and policy.needs_tenant:
        raise UnknownTenant(
            f"operation {operation!r} was to be started without a tenant",
            expected="the id of a tenant",
            mend="see `lastword tenants list`",
        )
    require_name(initiator)
    require_delay(delay_s)
    run_id = new_run_id()
    letter = application.dispatcher.compose(operation, run_id, inputs)
    found = find_tenant(application.ledger, tenant) if tenant is not None else None
    workspace_id = found.workspace_id if found else None
    request = NewRun(
        run_id=run_id,
        policy=policy,
        actor_name=letter.actor_name,
        payload=letter.payload,
        delay_s=delay_s,
        workspace_id=workspace_id,
        tenant_id=tenant,
        initiator_id=initiator,
        identity_hash=run_identity(
            workspace_id=workspace_id, tenant_id=tenant, operation=operation, inputs=inputs
        ),
        context={"inputs": dict(inputs)} if inputs else {},
        scope_key=scope_key(policy.scope, tenant),
    )
    return request, letter


def dispatch(application: Application, run_id: RunId, letter: Letter, *, delay_ms: int) -> None:
    """Send the message of a run that was accepted; it stays so whatever becomes of the message."""
    try:
        application.dispatcher.send(letter.payload, dispatch=1, delay_ms=delay_ms)
        letter.sent(None)
    except Exception as error:  # noqa: BLE001 - the run is accepted whatever the broker says
        # Unknown, not failed: the message may have arrived. The reconciler looks and, if it did
        # not, sends the run again from the ledger.
        log_notice(
            logging.WARNING,
            "dispatch_unknown",
            run=run_id,
            why=f"{type(error).__name__}: {error}",
        )
        letter.sent(error)
