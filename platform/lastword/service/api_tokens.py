"""API tokens: what scripts present; each may do a part of what its person may."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from peewee import SQL

from lastword.access import Capability
from lastword.errors import InvalidInputs
from lastword.identity import new_run_id
from lastword.service.audit import Actor, Entry, write_audit
from lastword.service.members import require_text
from lastword.service.sessions import hash_of_token
from lastword.service.sign_in import is_allowed
from lastword.storage.ledger import Ledger, Row
from lastword.storage.web_tables import ApiToken
from lastword.times import to_iso

#: How a token begins, so that a search for leaked secrets finds it.
PREFIX = "lw_"

#: Days for which a token works at most.
LONGEST_DAYS = 366


def new_token(
    ledger: Ledger, *, user_id: str, name: str, scopes: Sequence[str], days: int, actor: Actor
) -> str:
    """A token that is shown once.

    Args:
        ledger: where its hash is kept.
        user_id: whose it is.
        name: what people call it.
        scopes: the capabilities that it may use, of those its person has.
        days: for how long it works.
        actor: who makes it, for the audit log.

    Raises:
        InvalidInputs: something of it is wrong.
    """
    _require_sound(ledger, user_id, name, scopes, days)
    token, token_id, now = PREFIX + secrets.token_urlsafe(32), new_run_id(), ledger.dialect.now_ms
    with ledger.transaction():
        ApiToken.insert(
            id=token_id,
            token_hash=hash_of_token(token),
            user_id=user_id,
            name=name,
            scopes=sorted(set(scopes)),
            created_at=SQL(now),
            expires_at=SQL(f"{now} + {days * 24 * 3600 * 1000}"),
        ).execute(ledger.database)
        told = {"user_id": user_id, "name": name, "scopes": sorted(set(scopes))}
        write_audit(ledger, actor, [Entry("token.add", "token", token_id, after=told)])
    return token


def _require_sound(
    ledger: Ledger, user_id: str, name: str, scopes: Sequence[str], days: int
) -> None:
    require_text("name of the token", name, 100)
    unknown = sorted(set(scopes) - {str(capability) for capability in Capability})
    if unknown or not scopes:
        known = ", ".join(Capability)
        raise InvalidInputs(f"scopes are {sorted(scopes)!a}", expected=f"some of {known}")
    if not 1 <= days <= LONGEST_DAYS:
        raise InvalidInputs(f"days is {days}", expected=f"1 to {LONGEST_DAYS}")
    if not is_allowed(ledger, user_id):
        raise InvalidInputs(
            f"no user {user_id!r} who may sign in", mend="see `lastword users list`"
        )


def revoke_token(ledger: Ledger, token_id: str, *, user_id: str, actor: Actor) -> bool:
    """Let a token of a person do nothing any more; False if there is none that works."""
    update = ApiToken.update(revoked_at=SQL(ledger.dialect.now_ms)).where(
        (ApiToken.id == token_id) & (ApiToken.user_id == user_id) & ApiToken.revoked_at.is_null()
    )
    with ledger.transaction():
        moved = bool(update.execute(ledger.database))
        if moved:
            write_audit(ledger, actor, [Entry("token.revoke", "token", token_id)])
    return moved


def list_tokens(ledger: Ledger, user_id: str) -> list[Row]:
    """The tokens of a person that are not revoked, the latest first."""
    query = (
        ApiToken.select()
        .where((ApiToken.user_id == user_id) & ApiToken.revoked_at.is_null())
        .order_by(ApiToken.created_at.desc(), ApiToken.id)
    )
    with ledger.session():
        found = list(query.execute(ledger.database))
    return [
        {
            "id": token.id,
            "name": token.name,
            "scopes": token.scopes,
            "created_at": to_iso(token.created_at),
            "expires_at": to_iso(token.expires_at),
        }
        for token in found
    ]
