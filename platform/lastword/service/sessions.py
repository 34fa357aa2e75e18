"""Sessions and one-time links: who is signed in, from when and until when.

A token is handed out once and kept nowhere; the ledger has its hash.
"""

from __future__ import annotations

import hashlib
import secrets

from peewee import SQL

from lastword.identity import new_run_id
from lastword.service.audit import Actor, Entry, write_audit
from lastword.storage.access_tables import User
from lastword.storage.ledger import Ledger
from lastword.storage.web_tables import Session, SignInLink

#: Seconds for which a one-time link works.
LINK_LIFETIME_S = 15 * 60.0

#: Milliseconds between two notes that a session is in use.
TOUCH_EVERY_MS = 60_000


def hash_of_token(token: str) -> str:
    """What is kept of a token. It is random and long, so a plain hash cannot be guessed back."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def open_session(
    ledger: Ledger, *, user_id: str, method: str, lifetime_s: float, actor: Actor
) -> str:
    """Sign a person in; the token of the session.

    Args:
        ledger: where it is kept.
        user_id: the person.
        method: how they showed who they are.
        lifetime_s: how long the session may last, in seconds.
        actor: the same person, for the audit log.
    """
    token, session_id = secrets.token_urlsafe(32), new_run_id()
    now = ledger.dialect.now_ms
    with ledger.transaction():
        Session.insert(
            id=session_id,
            token_hash=hash_of_token(token),
            user_id=user_id,
            method=method,
            created_at=SQL(now),
            seen_at=SQL(now),
            expires_at=SQL(f"{now} + {int(lifetime_s * 1000)}"),
        ).execute(ledger.database)
        entry = Entry("session.open", "session", session_id, after={"method": method})
        write_audit(ledger, actor, [entry])
        ledger.measure("auth_logins", (method, "succeeded"))
    return token


def touch_session(ledger: Ledger, session_id: str) -> None:
    """A session is in use."""
    update = Session.update(seen_at=SQL(ledger.dialect.now_ms)).where(Session.id == session_id)
    with ledger.transaction():
        update.execute(ledger.database)


def end_session(ledger: Ledger, session_id: str, *, user_id: str, actor: Actor) -> bool:
    """End a session of a person; False if there is none that is open."""
    update = Session.update(ended_at=SQL(ledger.dialect.now_ms)).where(
        (Session.id == session_id) & (Session.user_id == user_id) & Session.ended_at.is_null()
    )
    with ledger.transaction():
        moved = bool(update.execute(ledger.database))
        if moved:
            write_audit(ledger, actor, [Entry("session.end", "session", session_id)])
    return moved


def new_link(ledger: Ledger, user_id: str, *, lifetime_s: float = LINK_LIFETIME_S) -> str:
    """The token of a link that signs a person in, once, within its lifetime in seconds."""
    token, now = secrets.token_urlsafe(32), ledger.dialect.now_ms
    with ledger.transaction():
        SignInLink.insert(
            token_hash=hash_of_token(token),
            user_id=user_id,
            created_at=SQL(now),
            expires_at=SQL(f"{now} + {int(lifetime_s * 1000)}"),
        ).execute(ledger.database)
    return token


def use_link(ledger: Ledger, token: str) -> str | None:
    """Whom a link signs in; None if it was used, is too old, or never was."""
    now = SQL(ledger.dialect.now_ms)
    mine = SignInLink.token_hash == hash_of_token(token)
    usable = mine & SignInLink.used_at.is_null() & (SignInLink.expires_at > now)
    with ledger.transaction():
        if not SignInLink.update(used_at=now).where(usable).execute(ledger.database):
            return None
        query = (
            User.select(User.id)
            .join(SignInLink, on=(SignInLink.user_id == User.id))
            .where(mine & User.disabled_at.is_null())
        )
        found = query.first(ledger.database)
    return None if found is None else str(found.id)
