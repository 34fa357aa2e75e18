"""What schedulers share, as Peewee models; see `lastword.storage.tables`."""

from __future__ import annotations

from peewee import (
    BigAutoField,
    BigIntegerField,
    CharField,
    CompositeKey,
    IntegerField,
    Model,
    TextField,
)

from lastword.storage.fields import JsonText


class Leader(Model):
    """The one process that acts, of all that could."""

    name = CharField(max_length=64, primary_key=True)
    holder = CharField(max_length=64)
    host = CharField(max_length=255)
    pid = IntegerField()
    since = BigIntegerField()
    lease_until = BigIntegerField()

    class Meta:
        """Where it is stored."""

        table_name = "lastword_leader"


class Sweep(Model):
    """What a job of the scheduler last did."""

    job = CharField(max_length=64, primary_key=True)
    scheduler = CharField(max_length=64)
    ended_at = BigIntegerField()
    succeeded_at = BigIntegerField(null=True)
    duration_ms = BigIntegerField()
    #: `succeeded`, `failed` or `abandoned`.
    result = CharField(max_length=20)
    found = BigIntegerField()
    acted = BigIntegerField()
    skipped = BigIntegerField()
    lost_races = BigIntegerField()
    error = TextField(null=True)

    class Meta:
        """Where it is stored."""

        table_name = "lastword_sweep"


class Schedule(Model):
    """Work that is started again and again, at the slots of a cron expression."""

    id = CharField(max_length=64, primary_key=True)
    name = CharField(max_length=200, unique=True)
    operation = CharField(max_length=100)
    workspace_id = CharField(max_length=64, null=True)
    tenant_id = CharField(max_length=64, null=True)
    initiator_id = CharField(max_length=64, null=True)
    cron = CharField(max_length=100)
    timezone = CharField(max_length=64)
    inputs = JsonText()
    actor_name = CharField(max_length=200)
    #: The message of a run of it, but for its id.
    payload = TextField()
    #: At most one active run holds it: a slot that comes while one works is skipped.
    identity_hash = CharField(max_length=64)
    #: The next slot that nobody has noted yet.
    next_at = BigIntegerField()
    paused_at = BigIntegerField(null=True)
    #: Why its last slot could not be started.
    error = TextField(null=True)
    created_at = BigIntegerField()

    class Meta:
        """Where it is stored."""

        table_name = "lastword_schedule"


class Slot(Model):
    """One moment of a schedule, and what became of it."""

    schedule_id = CharField(max_length=64)
    slot_at = BigIntegerField()
    #: `started`, `busy`, `missed`, `refused` or `orphaned`.
    result = CharField(max_length=20)
    #: The run that was started for it, or that was busy with the slot before.
    run_id = CharField(max_length=64, null=True)
    noted_at = BigIntegerField()

    class Meta:
        """Where it is stored."""

        table_name = "lastword_slot"
        primary_key = CompositeKey("schedule_id", "slot_at")


class MeasureTotal(Model):
    """A measure, as far as it was added up."""

    name = CharField(max_length=64)
    labels = CharField(max_length=300)
    value = BigIntegerField()

    class Meta:
        """Where it is stored."""

        table_name = "lastword_measure"
        primary_key = CompositeKey("name", "labels")


class Measured(Model):
    """What one transaction has added to a measure."""

    id = BigAutoField()
    name = CharField(max_length=64)
    labels = CharField(max_length=300)
    value = BigIntegerField()

    class Meta:
        """Where it is stored."""

        table_name = "lastword_measured"


SCHEDULER_MODELS = (Leader, Sweep, Schedule, Slot, MeasureTotal, Measured)
