"""What a worker's lease says of a run, as conditions of the statements that move one."""

from __future__ import annotations

#: Guard: the worker that asks holds a live lease.
LEASE_IS_LIVE = (
    "EXISTS (SELECT 1 FROM lastword_worker AS known WHERE known.id = item_worker_id "
    "AND known.ended_at IS NULL AND known.lease_until > {now})"
)

#: Condition over a run: the worker of its attempt holds no live lease.
WORKER_IS_GONE = (
    "NOT EXISTS (SELECT 1 FROM lastword_worker AS known WHERE known.id = lastword_run.worker_id "
    "AND known.ended_at IS NULL AND known.lease_until > {now})"
)

#: Condition over a run: whoever holds its delivery, if anybody does, has no live lease.
HOLDER_IS_GONE = (
    "NOT EXISTS (SELECT 1 FROM lastword_worker AS known WHERE known.id = lastword_run.holder "
    "AND known.ended_at IS NULL AND known.lease_until > {now})"
)

#: Condition over a run: its worker's last list of what it works on does not have it.
WORKER_DOES_NOT_LIST = (
    "NOT EXISTS (SELECT 1 FROM lastword_worker AS known WHERE known.id = lastword_run.worker_id "
    "AND REPLACE(known.working, lastword_run.id, '') <> known.working)"
)
