"""What people show to sign in: passwords, identities of a provider; and how often it failed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from peewee import SQL, fn

from lastword.service.audit import Actor, Entry, Result, write_audit
from lastword.storage.access_tables import User
from lastword.storage.ledger import Ledger
from lastword.storage.web_tables import Identity, Session, SignInFailure

#: Milliseconds for which a failed sign-in counts.
WINDOW_MS = 15 * 60 * 1000


def set_password_hash(ledger: Ledger, user_id: str, hashed: str, *, actor: Actor) -> bool:
    """Give a person a password and end their sessions; False if there is no such person."""
    update = User.update(password_hash=hashed).where(User.id == user_id)
    with ledger.transaction():
        moved = bool(update.execute(ledger.database))
        if moved:
            Session.update(ended_at=SQL(ledger.dialect.now_ms)).where(
                (Session.user_id == user_id) & Session.ended_at.is_null()
            ).execute(ledger.database)
            write_audit(ledger, actor, [Entry("user.set_password", "user", user_id)])
    return moved


def password_hash_of(ledger: Ledger, user_id: str) -> str | None:
    """The hash of a person's password; None if there is none, or the person may not sign in."""
    query = User.select(User.password_hash).where((User.id == user_id) & User.disabled_at.is_null())
    with ledger.session():
        found = query.first(ledger.database)
    return None if found is None else found.password_hash


def user_of_identity(
    ledger: Ledger, *, issuer: str, subject: str, name: str, actor: Actor
) -> str | None:
    """The person whom an identity provider knows; new if nobody is, then without any membership.

    None if that person may not sign in.
    """
    user_id = "oidc-" + hashlib.sha256(f"{issuer}\n{subject}".encode()).hexdigest()[:24]
    now = SQL(ledger.dialect.now_ms)
    with ledger.transaction():
        known = Identity.select(Identity.user_id).where(
            (Identity.issuer == issuer) & (Identity.subject == subject)
        )
        found = known.first(ledger.database)
        if found is None:
            user = User.insert(id=user_id, name=name, created_at=now)
            added = user.on_conflict_ignore().as_rowcount().execute(ledger.database)
            Identity.insert(
                issuer=issuer, subject=subject, user_id=user_id, created_at=now
            ).on_conflict_ignore().execute(ledger.database)
            if added:
                entry = Entry("user.add", "user", user_id, after={"name": name, "issuer": issuer})
                write_audit(ledger, actor, [entry])
        wanted = user_id if found is None else found.user_id
        return wanted if is_allowed(ledger, wanted) else None


def is_allowed(ledger: Ledger, user_id: str) -> bool:
    """Whether there is such a person, and they may sign in."""
    query = User.select().where((User.id == user_id) & User.disabled_at.is_null())
    with ledger.session():
        return bool(query.exists(ledger.database))


def failures_of(ledger: Ledger, key: str) -> int:
    """How often sign-in has failed of late under this key."""
    since = SQL(f"{ledger.dialect.now_ms} - {WINDOW_MS}")
    query = SignInFailure.select(fn.COUNT(SignInFailure.id)).where(
        (SignInFailure.key == key) & (SignInFailure.at > since)
    )
    with ledger.session():
        return int(query.scalar(ledger.database))


def note_failure(ledger: Ledger, keys: Sequence[str], *, name: str, actor: Actor) -> None:
    """A sign-in failed; kept under each of these keys, and what is too old is forgotten.

    Args:
        ledger: where.
        keys: what it counts against.
        name: whom somebody tried to be.
        actor: whoever tried.
    """
    now = ledger.dialect.now_ms
    with ledger.transaction():
        SignInFailure.delete().where(SignInFailure.at < SQL(f"{now} - {WINDOW_MS}")).execute(
            ledger.database
        )
        for key in keys:
            SignInFailure.insert(key=key, at=SQL(now)).execute(ledger.database)
        entry = Entry(
            "session.open", "user", name, result=Result.DENIED, reason="wrong_credentials"
        )
        write_audit(ledger, actor, [entry])
        ledger.measure("auth_logins", ("password", "failed"))


def forget_failures(ledger: Ledger, key: str) -> None:
    """The right password came: what failed before does not count any more."""
    with ledger.transaction():
        SignInFailure.delete().where(SignInFailure.key == key).execute(ledger.database)
