"""Doing a completed run again: a new run with the same message, which names the old one."""

from __future__ import annotations

import json

from lastword.errors import LastwordError, StartRefused
from lastword.identity import RunId, new_run_id
from lastword.policy import Policy
from lastword.service import RunService
from lastword.service.audit import SYSTEM, Actor, Entry, write_audit
from lastword.service.requests import Accepted, NewRun
from lastword.states import Status
from lastword.storage.ledger import Ledger, Row


def repeat_run(
    ledger: Ledger, run_id: RunId, *, actor: Actor = SYSTEM, because: str | None = None
) -> Accepted:
    """Accept a new run for the work of a completed one; its truth stays as it is.

    The new run is accepted without a message: the reconcilers send it within a sweep, so this needs
    no application code. An active run of the same identity is the answer instead of a second one.

    Raises:
        LastwordError: there is no such run.
        StartRefused: it is not completed, or its policy wants somebody to look first.
    """
    row = _read(ledger, run_id)
    policy = Policy.from_document(json.loads(row["document"]))
    if row["status"] != Status.COMPLETED:
        raise StartRefused(
            f"run {run_id} is {row['status']}",
            expected="a completed run",
            mend="wait for its end, or cancel it first",
        )
    if policy.manual_review:
        raise StartRefused(
            f"operation {policy.operation!r} is under manual review: a run of it is not repeated",
            mend="look at what the run has done, then start a new one",
        )
    with ledger.transaction():
        [accepted] = RunService(ledger).accept([_again(row, policy)])
        write_audit(ledger, actor, [_entry(row, accepted, because)])
    return accepted


def _entry(row: Row, accepted: Accepted, because: str | None) -> Entry:
    told = {"result": accepted.result, "run_id": accepted.run_id}
    return Entry(
        action="run.repeat",
        target_kind="run",
        target_id=row["id"],
        workspace_id=row["workspace_id"],
        tenant_id=row["tenant_id"],
        run_id=row["id"],
        after={**told, **({"because": because} if because else {})},
    )


def _again(row: Row, policy: Policy) -> NewRun:
    again = new_run_id()
    context = json.loads(row["context"])
    return NewRun(
        run_id=again,
        policy=policy,
        actor_name=row["actor_name"],
        payload=json.dumps({**json.loads(row["payload"]), "message_id": again}),
        workspace_id=row["workspace_id"],
        tenant_id=row["tenant_id"],
        initiator_id=row["initiator_id"],
        initiator_name=row["initiator_name"],
        identity_hash=row["identity_hash"],
        scope_key=row["scope_key"],
        # What the old run found out is its own.
        context={key: value for key, value in context.items() if key == "inputs"},
        retry_of=RunId(row["id"]),
    )


def _read(ledger: Ledger, run_id: RunId) -> Row:
    with ledger.session():
        rows = ledger.execute(
            "SELECT run.*, policy.document FROM lastword_run AS run "
            "JOIN lastword_policy AS policy ON policy.version = run.policy_version "
            f"WHERE run.id = {ledger.dialect.param}",
            run_id,
        )
    if not rows:
        raise LastwordError(f"no run {run_id!r}", mend="see `lastword runs list`")
    return rows[0]
