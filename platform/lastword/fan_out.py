"""Starting runs that the current run is made of: it ends when the last of them does.

The attempt may return at once; its run then waits for its children without a worker, counts them as
they end, and takes its outcome from theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID, uuid5

from lastword.current import current_run
from lastword.identity import RunId, canonical_json
from lastword.input_rules import require_json
from lastword.service import RunService
from lastword.service.requests import Acceptance, NewRun
from lastword.starting import Application, Letter, Started, application_here, dispatch

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
    children = [_child(application, operation, item) for item in inputs]
    accepted = RunService(application.apart).accept([request for request, _ in children])
    for (_, letter), answer in zip(children, accepted, strict=True):
        if answer.result is Acceptance.ACCEPTED:
            dispatch(application, answer.run_id, letter, delay_ms=0)
    return [Started(answer.result, answer.run_id) for answer in accepted]


def _child(
    application: Application, operation: str, inputs: Mapping[str, Any]
) -> tuple[NewRun, Letter]:
    parent = current_run()
    require_json(inputs)
    policy = application.config.offered(operation)
    name = canonical_json([parent.run_id, operation, dict(inputs)])
    run_id = RunId(str(uuid5(_NAMESPACE, name)))
    letter = application.dispatcher.compose(operation, run_id, inputs)
    request = NewRun(
        run_id=run_id,
        policy=policy,
        actor_name=letter.actor_name,
        payload=letter.payload,
        workspace_id=parent.workspace_id,
        tenant_id=parent.tenant_id,
        context={"inputs": dict(inputs)} if inputs else {},
        parent_id=parent.run_id,
    )
    return request, letter
