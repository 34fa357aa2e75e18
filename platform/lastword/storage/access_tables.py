"""Workspaces, tenants, people and what they are there, as Peewee models.

See `lastword.storage.tables`.
"""

from __future__ import annotations

from peewee import BigIntegerField, BooleanField, CharField, CompositeKey, Model, TextField

from lastword.storage.fields import JsonText


class Workspace(Model):
    """The boundary of authorisation: everything a group of people may see."""

    id = CharField(max_length=64, primary_key=True)
    name = CharField(max_length=200)
    created_at = BigIntegerField()
    #: Since when nothing may be done in it.
    suspended_at = BigIntegerField(null=True)

    class Meta:
        """Where it is stored."""

        table_name = "lastword_workspace"


class Tenant(Model):
    """What operations are done to; belongs to one workspace."""

    id = CharField(max_length=64, primary_key=True)
    workspace_id = CharField(max_length=64)
    name = CharField(max_length=200)
    created_at = BigIntegerField()
    #: Since when no operation may run on it, for a while or for good. Its records stay.
    suspended_at = BigIntegerField(null=True)
    removed_at = BigIntegerField(null=True)
    #: Whether operations may write to it: closed until somebody opens it.
    writable = BooleanField(default=False)

    class Meta:
        """Where it is stored."""

        table_name = "lastword_tenant"


class User(Model):
    """A person who may start runs."""

    id = CharField(max_length=64, primary_key=True)
    name = CharField(max_length=200)
    created_at = BigIntegerField()
    disabled_at = BigIntegerField(null=True)
    #: Of their password, as argon2 writes it; null: they cannot sign in with one.
    password_hash = TextField(null=True)
    #: Whether they see what belongs to no workspace: an application's own runs.
    oversees = BooleanField(default=False)

    class Meta:
        """Where it is stored."""

        table_name = "lastword_user"


class Membership(Model):
    """What a person is in a workspace."""

    workspace_id = CharField(max_length=64)
    user_id = CharField(max_length=64)
    #: A `lastword.access.Role`.
    role = CharField(max_length=20)
    #: The only tenants of the workspace that this member may see; null: all of them.
    tenants = JsonText(null=True)
    created_at = BigIntegerField()

    class Meta:
        """Where it is stored."""

        table_name = "lastword_membership"
        primary_key = CompositeKey("workspace_id", "user_id")


ACCESS_MODELS = (Workspace, Tenant, User, Membership)
