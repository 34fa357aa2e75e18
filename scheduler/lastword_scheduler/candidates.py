"""The active runs a reconciler has to look at, with everything the ledger knows of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from lastword.identity import RunId
from lastword.policy import Policy
from lastword.service.reserving import BEGIN_WITHIN_MS
from lastword.states import Status
from lastword.storage.ledger import Ledger, Row

#: Runs looked at with one query.
PAGE = 500

#: Policies that are kept as they were read: more than a ledger has versions of active runs.
POLICIES = 1000


@dataclass(frozen=True, slots=True)
class WorkerEvidence:
    """What the ledger knows of the worker of a running attempt. Ages are in seconds.

    Attributes:
        lease: `live`, `expired` or `ended`; `unknown` when there is no such worker.
        lists_run: whether its last heartbeat says that it works on the run.
        listed_after_s: how long after the claim that list was drawn, at the least; negative if it
            may have been before.
    """

    worker_id: str | None
    lease: str
    host: str | None = None
    pid: int | None = None
    ending: str | None = None
    heartbeat_age_s: float | None = None
    lists_run: bool = False
    listed_after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """An active run as it stood when it was read; other moments are told as ages in seconds.

    Attributes:
        read_at_ms: when it was read, in milliseconds of the ledger's clock.
        counts: what its attempt had counted, as of the last heartbeat.
        cancel_age_s: how long ago it was asked to stop; None if it was not.
        waits_for_children: whether its attempt has returned, and its children have not ended.
        holder: the worker that has fetched its message and not begun; None if none is known.
        holder_is_live: whether that worker's lease is live.
        holder_is_silent: whether its lease has run out, and nobody has ended it yet.
        is_in_hand: whether that worker may have begun without the ledger knowing yet.
    """

    run_id: RunId
    operation: str
    status: Status
    attempt: int
    dispatch: int
    lost_deliveries: int
    message_queue: str | None
    message_ref: str | None
    policy: Policy
    age_s: float
    sent_age_s: float
    is_past_stale: bool
    is_past_wait: bool
    worker: WorkerEvidence | None
    read_at_ms: int = 0
    counts: Mapping[str, Any] = field(default_factory=dict)
    probation: int = 0
    cancel_age_s: float | None = None
    waits_for_children: bool = False
    holder: str | None = None
    holder_is_live: bool = False
    holder_is_silent: bool = False
    is_in_hand: bool = False


def find_candidates(
    ledger: Ledger, *, message_grace_s: float, skip: Callable[[RunId], object]
) -> Iterator[list[Candidate]]:
    """Pages of every running run, and of every queued one whose message has had time to arrive.

    Args:
        ledger: where they are.
        message_grace_s: how long after its sending a message may still be on its way.
        skip: called, while the error is at hand, with a run that cannot be read - its policy is of
            a newer version, say. It never stops the others.
    """
    after = ""
    while True:
        with ledger.session():
            rows = ledger.execute(_query(ledger), after, int(message_grace_s * 1000))
        if not rows:
            return
        yield [candidate for row in rows if (candidate := _readable(row, skip))]
        after = rows[-1]["id"]


def live_broker_ids(ledger: Ledger, at_ms: int | None) -> set[str]:
    """The broker's ids of the workers whose lease is live, or may be for all that is known.

    Args:
        ledger: where the workers are.
        at_ms: the moment, by the ledger's clock, at which a lease has to live; None if an expired
            lease tells nothing.
    """
    with ledger.session():
        rows = ledger.execute(
            "SELECT broker_id FROM lastword_worker WHERE ended_at IS NULL "
            f"AND broker_id IS NOT NULL AND lease_until > {ledger.dialect.param}",
            at_ms or 0,
        )
    return {row["broker_id"] for row in rows}


def known_broker_ids(ledger: Ledger, broker_ids: set[str]) -> set[str]:
    """Those of `broker_ids` that belong to any worker of the ledger, dead or alive."""
    if not broker_ids:
        return set()
    marks = ", ".join([ledger.dialect.param] * len(broker_ids))
    with ledger.session():
        rows = ledger.execute(
            f"SELECT DISTINCT broker_id FROM lastword_worker WHERE broker_id IN ({marks})",
            *sorted(broker_ids),
        )
    return {row["broker_id"] for row in rows}


def _query(ledger: Ledger) -> str:
    now = ledger.dialect.now_ms
    return (
        "SELECT run.id, run.operation, run.status, run.attempt, run.dispatch, "
        "run.lost_deliveries, run.probation, run.message_queue, run.message_ref, run.worker_id, "
        "run.claimed_at, run.changed_at, run.sent_at, run.available_at, run.stale_at, "
        "run.wait_until, run.summary_counts, run.cancel_requested_at, run.returned_at, "
        "run.holder, run.held_at, keeper.lease_until AS holder_until, "
        "keeper.ended_at AS holder_ended_at, "
        "keeper.listed_at AS holder_listed_at, keeper.working AS holder_working, "
        f"policy.document, {now} AS now, worker.id AS known_worker, "
        "worker.host, worker.pid, worker.ending, worker.ended_at, worker.lease_until, "
        "worker.heartbeat_at, worker.working, worker.listed_at "
        f"FROM ({_page(ledger)}) AS run "
        "JOIN lastword_policy AS policy ON policy.version = run.policy_version "
        "LEFT JOIN lastword_worker AS worker ON worker.id = run.worker_id "
        "LEFT JOIN lastword_worker AS keeper ON keeper.id = run.holder "
        "ORDER BY run.id"
    )


def _page(ledger: Ledger) -> str:
    # Found before anything is joined to it. A database that takes the active runs to be fewer than
    # a page, as after a sudden backlog, would join and sort all of them for every page.
    param = ledger.dialect.param
    return (
        f"SELECT * FROM lastword_run WHERE completed_at IS NULL AND id > {param} "
        f"AND (status = '{Status.RUNNING}' OR sent_at <= {ledger.dialect.now_ms} - {param}) "
        f"ORDER BY id LIMIT {PAGE}"
    )


def _readable(row: Row, skip: Callable[[RunId], object]) -> Candidate | None:
    try:
        return _candidate(row)
    except Exception:  # noqa: BLE001 - told by whoever sweeps
        skip(RunId(row["id"]))
        return None


@lru_cache(maxsize=POLICIES)
def _policy(document: str) -> Policy:
    # Thousands of runs share a few policies; equal texts are the same version.
    return Policy.from_document(json.loads(document))


def _candidate(row: Row) -> Candidate:
    now = row["now"]
    running = row["status"] == Status.RUNNING
    has_holder = row["holder_until"] is not None and row["holder_ended_at"] is None
    holder_is_live = has_holder and row["holder_until"] > now
    return Candidate(
        run_id=RunId(row["id"]),
        operation=row["operation"],
        status=Status(row["status"]),
        attempt=row["attempt"],
        dispatch=row["dispatch"],
        lost_deliveries=row["lost_deliveries"],
        message_queue=row["message_queue"],
        message_ref=row["message_ref"],
        policy=_policy(row["document"]),
        age_s=(now - row["changed_at"]) / 1000,
        sent_age_s=(now - row["sent_at"]) / 1000,
        is_past_stale=row["stale_at"] <= now,
        is_past_wait=row["wait_until"] is not None and row["wait_until"] <= now,
        worker=_worker(row) if running else None,
        read_at_ms=now,
        counts=json.loads(row["summary_counts"]),
        probation=row["probation"],
        cancel_age_s=_age_s(row, "cancel_requested_at"),
        waits_for_children=row["returned_at"] is not None,
        holder=row["holder"],
        holder_is_live=holder_is_live,
        holder_is_silent=has_holder and not holder_is_live,
        is_in_hand=holder_is_live and not _is_disclaimed(row),
    )


def _is_disclaimed(row: Row) -> bool:
    # The same as the guard of the verbs that follow from it.
    told_since = row["holder_listed_at"] > row["held_at"] + BEGIN_WITHIN_MS
    return told_since and row["id"] not in json.loads(row["holder_working"])


def _age_s(row: Row, moment: str) -> float | None:
    return None if row[moment] is None else (row["now"] - row[moment]) / 1000


def _worker(row: Row) -> WorkerEvidence:
    if row["known_worker"] is None:
        return WorkerEvidence(row["worker_id"], lease="unknown")
    lease = "live" if row["lease_until"] > row["now"] else "expired"
    return WorkerEvidence(
        worker_id=row["worker_id"],
        lease="ended" if row["ended_at"] is not None else lease,
        host=row["host"],
        pid=row["pid"],
        ending=row["ending"],
        heartbeat_age_s=(row["now"] - row["heartbeat_at"]) / 1000,
        lists_run=row["id"] in json.loads(row["working"]),
        listed_after_s=(row["listed_at"] - row["claimed_at"]) / 1000,
    )
