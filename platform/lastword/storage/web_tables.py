"""Sessions, sign-in, notifications and the audit log, as Peewee models.

See `lastword.storage.tables`. No token is kept, only its hash.
"""

from __future__ import annotations

from peewee import BigAutoField, BigIntegerField, CharField, CompositeKey, Model

from lastword.storage.fields import JsonText


class Identity(Model):
    """A person as an identity provider knows them."""

    issuer = CharField(max_length=255)
    subject = CharField(max_length=255)
    user_id = CharField(max_length=64)
    created_at = BigIntegerField()

    class Meta:
        """Where it is stored."""

        table_name = "lastword_identity"
        primary_key = CompositeKey("issuer", "subject")


class Session(Model):
    """One sign-in of one person in one browser."""

    id = CharField(max_length=64, primary_key=True)
    token_hash = CharField(max_length=64, unique=True)
    user_id = CharField(max_length=64)
    #: How the person signed in: `password`, `oidc`, `proxy` or `link`.
    method = CharField(max_length=20)
    created_at = BigIntegerField()
    seen_at = BigIntegerField()
    expires_at = BigIntegerField()
    #: When it was signed out or revoked.
    ended_at = BigIntegerField(null=True)

    class Meta:
        """Where it is stored."""

        table_name = "lastword_session"


class SignInLink(Model):
    """A link that signs one person in, once."""

    token_hash = CharField(max_length=64, primary_key=True)
    user_id = CharField(max_length=64)
    created_at = BigIntegerField()
    expires_at = BigIntegerField()
    used_at = BigIntegerField(null=True)

    class Meta:
        """Where it is stored."""

        table_name = "lastword_sign_in_link"


class SignInFailure(Model):
    """A sign-in that failed, counted against a name or an address."""

    id = BigAutoField()
    key = CharField(max_length=100)
    at = BigIntegerField()

    class Meta:
        """Where it is stored."""

        table_name = "lastword_sign_in_failure"


class ApiToken(Model):
    """What a script presents instead of a session."""

    id = CharField(max_length=64, primary_key=True)
    token_hash = CharField(max_length=64, unique=True)
    user_id = CharField(max_length=64)
    name = CharField(max_length=100)
    #: The capabilities that it may use, of those that its person has.
    scopes = JsonText()
    created_at = BigIntegerField()
    expires_at = BigIntegerField()
    revoked_at = BigIntegerField(null=True)

    class Meta:
        """Where it is stored."""

        table_name = "lastword_api_token"


class SavedView(Model):
    """Filters of the list of runs, under a name of one's own."""

    user_id = CharField(max_length=64)
    name = CharField(max_length=60)
    query = CharField(max_length=2000)
    created_at = BigIntegerField()

    class Meta:
        """Where it is stored."""

        table_name = "lastword_saved_view"
        primary_key = CompositeKey("user_id", "name")


class Notification(Model):
    """A run has ended that a person started: told to that person, once."""

    run_id = CharField(max_length=64, primary_key=True)
    user_id = CharField(max_length=64)
    at = BigIntegerField()
    read_at = BigIntegerField(null=True)

    class Meta:
        """Where it is stored."""

        table_name = "lastword_notification"


class AuditEntry(Model):
    """What somebody did, or was not let do; rows are added, never changed, never removed."""

    id = BigAutoField()
    at = BigIntegerField()
    actor_kind = CharField(max_length=20)
    actor_id = CharField(max_length=64, null=True)
    actor_name = CharField(max_length=200)
    action = CharField(max_length=50)
    #: `done`, `denied` or `failed`.
    result = CharField(max_length=20)
    reason = CharField(max_length=64, null=True)
    target_kind = CharField(max_length=30)
    target_id = CharField(max_length=200, null=True)
    workspace_id = CharField(max_length=64, null=True)
    tenant_id = CharField(max_length=64, null=True)
    run_id = CharField(max_length=64, null=True)
    request_id = CharField(max_length=64, null=True)
    before = JsonText(null=True)
    after = JsonText(null=True)

    class Meta:
        """Where it is stored."""

        table_name = "lastword_audit"


WEB_MODELS = (
    *(Identity, Session, SignInLink, SignInFailure, ApiToken),
    *(SavedView, Notification, AuditEntry),
)
