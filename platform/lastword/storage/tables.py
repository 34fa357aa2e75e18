"""The ledger's tables as Peewee models, unbound: a query names its database when it runs.

The migrations hold the schema's truth; a test compares the two. Moments are milliseconds since
1970 by the database's clock. Only `lastword.service` writes to these tables.
"""

from __future__ import annotations

from peewee import (
    BigAutoField,
    BigIntegerField,
    BooleanField,
    CharField,
    CompositeKey,
    IntegerField,
    Model,
    TextField,
)

from lastword.storage.access_tables import ACCESS_MODELS
from lastword.storage.fields import JsonText
from lastword.storage.scheduler_tables import SCHEDULER_MODELS
from lastword.storage.web_tables import WEB_MODELS


class PolicyVersion(Model):
    """A lifecycle policy under which some run was accepted; never changed, never removed."""

    version = CharField(max_length=16, primary_key=True)
    operation = CharField(max_length=100)
    document = JsonText()
    created_at = BigIntegerField()

    class Meta:
        """Where it is stored."""

        table_name = "lastword_policy"


class Worker(Model):
    """One boot of one worker process, with its lease."""

    id = CharField(max_length=64, primary_key=True)
    host = CharField(max_length=255)
    pid = IntegerField()
    version = CharField(max_length=50)
    #: The id under which the broker knows this process; names its set of unacknowledged messages.
    broker_id = CharField(max_length=64, null=True)
    threads = IntegerField()
    started_at = BigIntegerField()
    heartbeat_at = BigIntegerField()
    lease_until = BigIntegerField()
    #: When its own threads last said that they are alive; the lease may be renewed from beside it.
    ticked_at = BigIntegerField()
    #: The ids of the runs it is working on, as of its last heartbeat.
    working = JsonText()
    #: A moment before that list was drawn; what was claimed after it may be missing.
    listed_at = BigIntegerField()
    ended_at = BigIntegerField(null=True)
    #: `stopped` or `lost`.
    ending = CharField(max_length=20, null=True)
    #: What ended it, as far as that could be seen: a signal, an exit code, memory that ran out.
    cause = JsonText(null=True)
    #: The queues that it consumed; null if a version before that was kept has booted it.
    queues = JsonText(null=True)
    #: When what the broker had in its hold was given back, once it had ended.
    rescued_at = BigIntegerField(null=True)
    #: Which build of the application it runs, as the deployment calls it.
    revision = CharField(max_length=200, null=True)
    #: How long it waits for attempts when it is stopped, and how long it was told it will be given.
    shutdown_timeout_ms = BigIntegerField(null=True)
    stop_wait_ms = BigIntegerField(null=True)
    #: The timing rules that it was allowed to break.
    unsafe_timing = JsonText(null=True)
    #: When it was asked to finish and end, and when it began to, asked or told by a signal.
    drain_requested_at = BigIntegerField(null=True)
    draining_at = BigIntegerField(null=True)

    class Meta:
        """Where it is stored."""

        table_name = "lastword_worker"


class Run(Model):
    """One accepted request to do an operation."""

    id = CharField(max_length=64, primary_key=True)
    operation = CharField(max_length=100)
    workspace_id = CharField(max_length=64, null=True)
    tenant_id = CharField(max_length=64, null=True)
    initiator_id = CharField(max_length=64, null=True)
    initiator_name = CharField(max_length=200)

    status = CharField(max_length=20)
    outcome = CharField(max_length=20)
    reason = CharField(max_length=64, null=True)
    #: Who ended it: a `Source`.
    closed_by = CharField(max_length=20, null=True)
    identity_hash = CharField(max_length=64, null=True)
    #: Among active runs unique: what excludes them from each other on a tenant.
    scope_key = CharField(max_length=64, null=True)

    policy_version = CharField(max_length=16)
    #: The policy's thresholds in milliseconds, here so that one statement can move many runs.
    queued_stale_ms = BigIntegerField()
    running_stale_ms = BigIntegerField()
    max_queue_wait_ms = BigIntegerField()

    #: Which sending of this run is the current one, from 1: a message of an older one is fenced.
    dispatch = IntegerField()
    #: Which attempt is the current one, from 1; 0 before the first.
    attempt = IntegerField()
    #: Attempts that ended with the loss of their worker.
    lost_deliveries = IntegerField()
    #: Tries after the first that the queue has spent.
    retries = IntegerField()
    #: The worker of the current or last attempt.
    worker_id = CharField(max_length=64, null=True)

    #: The worker that has fetched the current message and not begun with it, and since when.
    holder = CharField(max_length=64, null=True)
    held_at = BigIntegerField(null=True)
    #: Above 0 if it was held or worked on by a worker that was lost: its starts are recorded before
    #: they are executed. 1 while a delivery may have been begun unseen and is not counted as lost.
    probation = IntegerField()

    #: When and by whom an attempt that works was asked to stop.
    cancel_requested_at = BigIntegerField(null=True)
    cancel_requested_by = CharField(max_length=200, null=True)
    #: The completed run that this one does again.
    retry_of = CharField(max_length=64, null=True)

    #: The run that this one is a part of, and the parts that this one waits for.
    parent_id = CharField(max_length=64, null=True)
    children = IntegerField()
    children_open = IntegerField()
    children_succeeded = IntegerField()
    #: When the attempt of a run with open children returned, and how.
    returned_at = BigIntegerField(null=True)
    returned_outcome = CharField(max_length=20, null=True)

    actor_name = CharField(max_length=200)
    #: The message as the broker takes it, so that it can be sent again.
    payload = TextField()
    #: Where the current message is: the broker's queue and its own id there; null when unknown.
    message_queue = CharField(max_length=200, null=True)
    message_ref = CharField(max_length=64, null=True)
    sent_at = BigIntegerField(null=True)

    summary_counts = JsonText()
    failures = JsonText()
    context = JsonText()
    reconciliation = JsonText(null=True)
    #: What a reconciler last saw of a run that it let wait.
    evidence = JsonText(null=True)

    #: When an active run becomes `likely_stale` unless something is heard of it.
    stale_at = BigIntegerField(null=True)
    #: When a queued run has waited too long, whatever is heard of it.
    wait_until = BigIntegerField(null=True)
    created_at = BigIntegerField()
    #: When a queued run may be delivered: now, or the end of a delay.
    available_at = BigIntegerField()
    started_at = BigIntegerField(null=True)
    #: When the current attempt was claimed.
    claimed_at = BigIntegerField(null=True)
    #: When the last transition happened.
    changed_at = BigIntegerField()
    completed_at = BigIntegerField(null=True)

    class Meta:
        """Where it is stored."""

        table_name = "lastword_run"


class Attempt(Model):
    """One delivery of a run to a worker that was allowed to start it."""

    run_id = CharField(max_length=64)
    number = IntegerField()
    worker_id = CharField(max_length=64)
    started_at = BigIntegerField()
    ended_at = BigIntegerField(null=True)
    #: `succeeded`, `partially_succeeded`, `failed`, `retrying`, `lost` or `closed`.
    ending = CharField(max_length=20, null=True)
    reason = CharField(max_length=64, null=True)
    #: The exception's own words; shown only under diagnostics.
    diagnostics = TextField(null=True)

    class Meta:
        """Where it is stored."""

        table_name = "lastword_attempt"
        primary_key = CompositeKey("run_id", "number")


class Event(Model):
    """What happened to a run; rows are added and pruned, never changed."""

    id = BigAutoField()
    run_id = CharField(max_length=64)
    at = BigIntegerField()
    kind = CharField(max_length=30)
    source = CharField(max_length=20)
    attempt = IntegerField()
    worker_id = CharField(max_length=64, null=True)
    outcome = CharField(max_length=20)
    reason = CharField(max_length=64, null=True)
    terminal = BooleanField()
    detail = JsonText(null=True)

    class Meta:
        """Where it is stored."""

        table_name = "lastword_event"


class Counter(Model):
    """A number that only grows, kept where a killed process cannot take it along."""

    name = CharField(max_length=64)
    label = CharField(max_length=100)
    value = BigIntegerField()

    class Meta:
        """Where it is stored."""

        table_name = "lastword_counter"
        primary_key = CompositeKey("name", "label")


MODELS = (
    *ACCESS_MODELS,
    *(PolicyVersion, Worker, Run, Attempt, Event, Counter),
    *SCHEDULER_MODELS,
    *WEB_MODELS,
)
