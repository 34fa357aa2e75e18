"""Starting runs: check, accept in the ledger, then hand the messages to the queue.

Row first, message second. Inside an application's own transaction the rows are committed or rolled
back with it, and the messages are sent only after the commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lastword.application import Application, Letter, application_here, in_parts
from lastword.errors import InvalidInputs, UnknownTenant
from lastword.identity import RunId, new_run_id, run_identity, scope_key
from lastword.input_rules import one_of, require_delay, require_json, require_name
from lastword.legitimacy import Asked
from lastword.policy import Policy
from lastword.reading.tenants import find_tenant
from lastword.service import RunService
from lastword.service.audit import Actor, ActorKind, Entry, Result, write_audit
from lastword.service.requests import Acceptance, Accepted, NewRun
from lastword.storage.schema import require_current_schema

#: The most runs of one `start_many`: all of them are accepted with one transaction.
MOST_AT_ONCE = 10_000


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


def start_many(
    operation: str,
    inputs: Sequence[Mapping[str, Any]],
    *,
    tenant: str | None = None,
    initiator: str | None = None,
    initiator_name: str | None = None,
    delay_s: float = 0.0,
    actor: Actor | None = None,
) -> list[Started]:
    """Accept one run of `operation` for each of `inputs`, and hand them to the queue together.

    What `start` guarantees for one holds for each of them, at a tenth of the cost. They are
    accepted together or not at all.

    Args:
        operation: the operation's name.
        inputs: the actor's keyword arguments of each run, as JSON values; at most `MOST_AT_ONCE`.
        tenant: see `start`; the same for all, as is everything below.
        initiator: see `start`.
        initiator_name: see `start`.
        delay_s: see `start`.
        actor: see `start`.

    Returns:
        One answer for each of `inputs`, in their order.

    Raises:
        StartRefused: the operation, the tenant, or the inputs of any run are wrong; nothing was
            written.
        LedgerUnavailable: the ledger does not answer; nothing was written.
        LastwordError: Lastword is not installed in this process.
    """
    wish = _Wish(operation, tenant, initiator, initiator_name, delay_s, actor)
    return _start(application_here(), wish, inputs)


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
    wish = _Wish(operation, tenant, initiator, initiator_name, delay_s, actor)
    [started] = _start(application, wish, [inputs])
    return started


@dataclass(frozen=True, slots=True)
class _Wish:
    """What is the same for all runs that are started together; see `start`."""

    operation: str
    tenant: str | None
    initiator: str | None
    initiator_name: str | None
    delay_s: float
    actor: Actor | None

    @property
    def delay_ms(self) -> int:
        return int(self.delay_s * 1000)

    @property
    def audited_as(self) -> Actor | None:
        if self.actor is None and self.initiator is not None:
            return Actor(ActorKind.PERSON, self.initiator, self.initiator)
        return self.actor


def _start(
    application: Application, wish: _Wish, inputs: Sequence[Mapping[str, Any]]
) -> list[Started]:
    ledger = application.ledger
    require_current_schema(ledger)
    policy = _checked(application, wish, inputs)
    if not inputs:
        return []
    requests, letters = _requests(application, wish, policy, inputs)
    if not ledger.is_one_file:
        application.runs_apart.keep_policies([policy])
    accepted = _recorded(application, requests, wish.audited_as)
    to_send = [
        letter
        for letter, answer in zip(letters, accepted, strict=True)
        if answer.result is Acceptance.ACCEPTED
    ]
    if to_send:
        with ledger.session():
            ledger.after_commit(lambda: application.post(to_send, delay_ms=wish.delay_ms))
    return [Started(answer.result, answer.run_id) for answer in accepted]


def _checked(application: Application, wish: _Wish, inputs: Sequence[Mapping[str, Any]]) -> Policy:
    policy = application.config.offered(wish.operation)
    if len(inputs) > MOST_AT_ONCE:
        raise InvalidInputs(
            f"{len(inputs)} runs of {wish.operation!r} were to be started at once",
            expected=f"at most {MOST_AT_ONCE}",
            mend="start them in several calls",
        )
    for number, item in enumerate(inputs, start=1):
        with one_of(number, len(inputs)):
            require_json(item)
    if wish.tenant is None and policy.needs_tenant:
        raise UnknownTenant(
            f"operation {wish.operation!r} was to be started without a tenant",
            expected="the id of a tenant",
            mend="see `lastword tenants list`",
        )
    require_name(wish.initiator)
    require_delay(wish.delay_s)
    return policy


def _requests(
    application: Application, wish: _Wish, policy: Policy, inputs: Sequence[Mapping[str, Any]]
) -> tuple[list[NewRun], list[Letter]]:
    letters = application.dispatcher.compose(
        wish.operation, [(new_run_id(), item) for item in inputs], delay_ms=wish.delay_ms
    )
    found = find_tenant(application.ledger, wish.tenant) if wish.tenant is not None else None
    workspace_id = found.workspace_id if found else None
    denials = application.gate.denials(
        application.ledger,
        [Asked(wish.operation, workspace_id, wish.tenant, wish.initiator, item) for item in inputs],
        policy,
    )
    requests = [
        NewRun(
            run_id=letter.run_id,
            policy=policy,
            actor_name=letter.actor_name,
            payload=letter.payload,
            delay_s=wish.delay_s,
            workspace_id=workspace_id,
            tenant_id=wish.tenant,
            initiator_id=wish.initiator,
            initiator_name=wish.initiator_name or wish.initiator or "System",
            identity_hash=run_identity(
                workspace_id=workspace_id,
                tenant_id=wish.tenant,
                operation=wish.operation,
                inputs=item,
            ),
            message_queue=letter.message_queue,
            message_ref=letter.message_ref,
            context={"inputs": dict(item)} if item else {},
            scope_key=scope_key(policy.scope, wish.tenant),
            denial=denial,
        )
        for letter, item, denial in zip(letters, inputs, denials, strict=True)
    ]
    return requests, letters


def _recorded(
    application: Application, requests: Sequence[NewRun], actor: Actor | None
) -> list[Accepted]:
    ledger = application.ledger
    answers: list[Accepted] = []
    with ledger.transaction():
        for part in in_parts(requests, size=lambda request: len(request.payload)):
            answers += _part_recorded(application.runs, part)
        if actor is not None:
            entries = [_entry(*pair) for pair in zip(requests, answers, strict=True)]
            write_audit(ledger, actor, entries)
    return answers


def _part_recorded(runs: RunService, requests: Sequence[NewRun]) -> list[Accepted]:
    # What is refused gets no message.
    runs.refuse([replace(it, message_queue=None, message_ref=None) for it in requests if it.denial])
    accepted = iter(runs.accept([request for request in requests if not request.denial]))
    return [
        Accepted(request.run_id, Acceptance.BLOCKED) if request.denial else next(accepted)
        for request in requests
    ]


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
