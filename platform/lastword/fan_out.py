"""Starting runs that the current run is made of: it ends when the last of them does.

The attempt may return at once; its run then waits for its children without a worker, counts them as
they end, and takes its outcome from theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID, uuid5

from lastword.application import Letter, application_here
from lastword.current import CurrentRun, current_run
from lastword.identity import RunId, canonical_json
from lastword.input_rules import one_of, require_json
from lastword.policy import Policy
from lastword.service.requests import Acceptance, NewRun
from lastword.starting import Started

#: The name space of children's ids, by which a second attempt finds the children of the first.
_NAMESPACE = UUID("6f1e58c5-6a0e-4f43-9e0c-0c2f5b3d1a77")


def start_children(operation: str, inputs: Sequence[Mapping[str, Any]]) -> list[Started]:
    """Start one run of `operation` for each of `inputs`, as parts of the current run.

    A child is known by its parent, its operation and its inputs: an attempt that does the same
    again, after its worker was lost, starts none twice.

    Args:
        operation: the children's operation.
        inputs: the keyword arguments of each.

    Raises:
        LookupError: called outside a run.
        StartRefused: the operation or an input is wrong; none was started.
        LedgerUnavailable: the ledger does not answer; none was started.
    """
    application = application_here()
    parent = current_run()
    for number, item in enumerate(inputs, start=1):
        with one_of(number, len(inputs)):
            require_json(item)
    letters = application.dispatcher.compose(
        operation, [(_id_of(parent, operation, item), item) for item in inputs]
    )
    policy = application.config.offered(operation)
    children = [
        _child(parent, policy, letter, item) for letter, item in zip(letters, inputs, strict=True)
    ]
    accepted = application.runs_apart.accept(children)
    to_send = [
        letter
        for letter, answer in zip(letters, accepted, strict=True)
        if answer.result is Acceptance.ACCEPTED
    ]
    application.post(to_send)
    return [Started(answer.result, answer.run_id) for answer in accepted]


def _child(parent: CurrentRun, policy: Policy, letter: Letter, inputs: Mapping[str, Any]) -> NewRun:
    return NewRun(
        run_id=letter.run_id,
        policy=policy,
        actor_name=letter.actor_name,
        payload=letter.payload,
        workspace_id=parent.workspace_id,
        tenant_id=parent.tenant_id,
        message_queue=letter.message_queue,
        message_ref=letter.message_ref,
        context={"inputs": dict(inputs)} if inputs else {},
        parent_id=parent.run_id,
    )


def _id_of(parent: CurrentRun, operation: str, inputs: Mapping[str, Any]) -> RunId:
    name = canonical_json([parent.run_id, operation, dict(inputs)])
    return RunId(str(uuid5(_NAMESPACE, name)))
