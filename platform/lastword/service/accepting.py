"""The verbs that begin a run: accept it, and say where its message is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

from lastword.errors import Contended
from lastword.identity import RunId
from lastword.policy import Policy
from lastword.service import moves
from lastword.service.children import adopt
from lastword.service.moves import Step
from lastword.service.requests import Acceptance, Accepted, Denial, NewRun
from lastword.service.values import Sending
from lastword.states import ACCEPT, REFUSE, TERMINAL, Arrow, Outcome, Source, Status
from lastword.storage.dialects import ColumnType
from lastword.storage.ledger import Ledger, Row, as_batch, as_json

#: How often an accept looks again when the run it collided with ended just then.
MAX_COLLISIONS = 5

_COLUMNS: Mapping[str, ColumnType] = {
    "run_id": "text",
    "operation": "text",
    "workspace_id": "text",
    "tenant_id": "text",
    "initiator_id": "text",
    "initiator_name": "text",
    "identity_hash": "text",
    "policy_version": "text",
    "queued_stale_ms": "integer",
    "running_stale_ms": "integer",
    "max_queue_wait_ms": "integer",
    "actor_name": "text",
    "payload": "text",
    "message_queue": "text",
    "message_ref": "text",
    "context": "text",
    "retry_of": "text",
    "parent_id": "text",
    "scope_key": "text",
    "reason": "text",
    "failures": "text",
    "delay_ms": "integer",
}

#: Those of them that are as the request has them.
_AS_ASKED = (
    *("run_id", "workspace_id", "tenant_id", "initiator_id", "initiator_name", "identity_hash"),
    *("actor_name", "payload", "message_queue", "message_ref", "retry_of", "parent_id"),
    "scope_key",
)
_as_asked = attrgetter(*_AS_ASKED)

_DERIVED = frozenset({"run_id", "reason", "failures", "delay_ms"})

#: Column of a new run to its value, over the columns of the request.
_ACCEPTED = {
    "id": "item_run_id",
    **{name: f"item_{name}" for name in _COLUMNS if name not in _DERIVED},
    "status": f"'{Status.QUEUED}'",
    "outcome": f"'{Outcome.PENDING}'",
    "dispatch": "1",
    "attempt": "0",
    "lost_deliveries": "0",
    "retries": "0",
    "probation": "0",
    "children": "0",
    "children_open": "0",
    "children_succeeded": "0",
    "summary_counts": "'{{}}'",
    "failures": "'[]'",
    "sent_at": "{now}",
    "created_at": "{now}",
    "changed_at": "{now}",
    "available_at": "{now} + item_delay_ms",
    "stale_at": "{now} + item_delay_ms + item_queued_stale_ms",
    "wait_until": "{now} + item_delay_ms + item_max_queue_wait_ms",
}

_REFUSED = {
    **{key: value for key, value in _ACCEPTED.items() if key not in {"stale_at", "wait_until"}},
    "status": f"'{Status.COMPLETED}'",
    "outcome": f"'{Outcome.BLOCKED}'",
    "reason": "item_reason",
    "failures": "item_failures",
    "closed_by": f"'{Source.START}'",
    "sent_at": "NULL",
    "completed_at": "{now}",
}

#: What is told of a new run, and what says whose it is.
_RETURNED = f"{moves.TOLD}, context, retry_of"

_EVENT = (
    "INSERT INTO lastword_event "
    "(run_id, at, kind, source, attempt, worker_id, outcome, reason, terminal) "
    f"SELECT id, changed_at, '{{kind}}', '{Source.START}', attempt, worker_id, outcome, reason, "
    "{terminal} FROM moved"
)


class Accepting:
    """Row first, message second: what is accepted here survives whatever happens to the message."""

    ledger: Ledger
    _kept_policies: set[str]

    def accept(self, requests: Sequence[NewRun]) -> list[Accepted]:
        """Accept runs; one answer for each request, in order.

        A request whose run, or whose identity among active runs, is there already is answered with
        that run, unchanged. Inside an application's transaction the runs are accepted with it.

        Raises:
            Contended: the identity was taken and free by turns.
        """
        answers: dict[RunId, Accepted] = {}
        with self.ledger.transaction():
            self._keep_policies([request.policy for request in requests])
            waiting = list(requests)
            for _ in range(MAX_COLLISIONS):
                for row in self._insert(waiting, _ACCEPTED, ACCEPT):
                    run_id = RunId(row["id"])
                    answers[run_id] = Accepted(run_id, Acceptance.ACCEPTED)
                waiting = [request for request in waiting if request.run_id not in answers]
                there = self._present(waiting)
                for request in waiting:
                    if request.run_id in there:
                        labels = (request.policy.operation, there[request.run_id].result)
                        self.ledger.measure("starts_deduplicated", labels)
                answers.update(there)
                waiting = [request for request in waiting if request.run_id not in answers]
                if not waiting:
                    break
        for request in waiting:
            raise Contended(
                f"run {request.run_id} collided {MAX_COLLISIONS} times with runs that just ended",
                mend="start it again",
            )
        return [answers[request.run_id] for request in requests]

    def refuse(self, requests: Sequence[NewRun]) -> None:
        """Record requests with their denials, as runs that are completed and blocked."""
        if not requests:
            return
        if any(request.denial is None for request in requests):
            raise ValueError("a run that is refused says why")
        with self.ledger.transaction():
            self._keep_policies([request.policy for request in requests])
            self._insert(requests, _REFUSED, REFUSE)

    def keep_policies(self, policies: Sequence[Policy]) -> None:
        """Keep policies in the ledger, each version once, in a transaction of their own.

        An application's transaction that was the first to use a policy would hold its row until
        the commit, and everybody else who starts that operation would wait.
        """
        with self.ledger.transaction():
            self._keep_policies(policies)

    def sent(self, sendings: Sequence[Sending]) -> list[RunId]:
        """Record where the messages of the current dispatches are; the runs that were recorded.

        A sending of an older dispatch, or of a run that is completed, is not.
        """
        if not sendings:
            return []
        source = self.ledger.dialect.batch(
            {
                "run_id": "text",
                "dispatch": "integer",
                "message_queue": "text",
                "message_ref": "text",
            }
        )
        with self.ledger.transaction():
            self.ledger.lock_runs([sending.run_id for sending in sendings])
            rows = self.ledger.execute(
                "UPDATE lastword_run SET message_queue = item_message_queue, "
                f"message_ref = item_message_ref, sent_at = {self.ledger.dialect.now_ms} "
                f"FROM {source} AS item WHERE id = item_run_id "
                f"AND {moves.looked_up_by_id([moves.SAME_DISPATCH])} RETURNING id",
                as_batch(
                    [
                        {
                            "run_id": sending.run_id,
                            "dispatch": sending.dispatch,
                            "message_queue": sending.message_queue,
                            "message_ref": sending.message_ref,
                        }
                        for sending in sendings
                    ]
                ),
            )
        return [RunId(row["id"]) for row in rows]

    def _insert(
        self, requests: Sequence[NewRun], values: Mapping[str, str], arrow: Arrow
    ) -> list[Row]:
        # Those that collide with nothing.
        if not requests:
            return []
        inserts = _inserting(self.ledger, values)
        event = _EVENT.format(kind=arrow.kind, terminal=arrow.target in TERMINAL)
        items = [_row(request) for request in requests]
        rows = moves.write(self.ledger, inserts, items, leaves=(event,), returns=_RETURNED)
        moves.account(self.ledger, [Step(arrow, rows)], by=Source.START)
        adopt(self.ledger, rows)
        return rows

    def _present(self, requests: Sequence[NewRun]) -> dict[RunId, Accepted]:
        if not requests:
            return {}
        columns: Mapping[str, ColumnType] = {
            "run_id": "text",
            "identity_hash": "text",
            "scope_key": "text",
        }
        rows = self.ledger.execute(
            "SELECT item_run_id AS asked, id, CASE WHEN id = item_run_id "
            "OR identity_hash = item_identity_hash THEN 1 ELSE 0 END AS same "
            f"FROM {self.ledger.dialect.batch(columns)} AS item JOIN lastword_run "
            "ON id = item_run_id OR (identity_hash = item_identity_hash AND completed_at IS NULL) "
            "OR (scope_key = item_scope_key AND completed_at IS NULL) ORDER BY same",
            as_batch([{name: getattr(request, name) for name in columns} for request in requests]),
        )
        # The same work, where there is any, comes last and wins over other work on the scope.
        return {
            RunId(row["asked"]): Accepted(
                RunId(row["id"]), Acceptance.DEDUPED if row["same"] else Acceptance.SCOPE_BUSY
            )
            for row in rows
        }

    def _keep_policies(self, policies: Sequence[Policy]) -> None:
        new = {
            policy.version: policy
            for policy in policies
            if policy.version not in self._kept_policies
        }
        if not new:
            return
        source = self.ledger.dialect.batch(
            {"version": "text", "operation": "text", "document": "text"}
        )
        self.ledger.execute(
            "INSERT INTO lastword_policy (version, operation, document, created_at) "
            f"SELECT item_version, item_operation, item_document, {self.ledger.dialect.now_ms} "
            f"FROM {source} AS item WHERE TRUE ON CONFLICT DO NOTHING",
            as_batch(
                [
                    {
                        "version": version,
                        "operation": policy.operation,
                        "document": as_json(policy.document()),
                    }
                    for version, policy in new.items()
                ]
            ),
        )
        self.ledger.after_commit(lambda: self._kept_policies.update(new))


def failures_of(denial: Denial) -> str:
    """What a blocked run keeps of its denial, as the JSON text of its failures."""
    entry: dict[str, Any] = {"code": denial.reason, "message": denial.message}
    if denial.next_steps:
        entry["next_steps"] = [dict(step) for step in denial.next_steps]
    return as_json([entry])


def _inserting(ledger: Ledger, values: Mapping[str, str]) -> str:
    now = ledger.dialect.now_ms
    picked = ", ".join(value.format(now=now) for value in values.values())
    return (
        f"INSERT INTO lastword_run ({', '.join(values)}) SELECT {picked} "
        f"FROM {ledger.dialect.batch(_COLUMNS)} AS item WHERE TRUE "
        f"ON CONFLICT DO NOTHING RETURNING {_RETURNED}"
    )


def _row(request: NewRun) -> dict[str, Any]:
    policy = request.policy
    return {
        **dict(zip(_AS_ASKED, _as_asked(request), strict=True)),
        "operation": policy.operation,
        "policy_version": policy.version,
        "queued_stale_ms": int(policy.queued_stale_after * 1000),
        "running_stale_ms": int(policy.running_stale_after * 1000),
        "max_queue_wait_ms": int(policy.max_queue_wait * 1000),
        "context": as_json(request.context),
        "reason": request.denial.reason if request.denial else None,
        "failures": failures_of(request.denial) if request.denial else None,
        "delay_ms": int(request.delay_s * 1000),
    }
