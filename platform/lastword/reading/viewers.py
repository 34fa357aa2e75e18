"""Who asks, and what they may see and do: read at each request, so that a change holds at once.

A person sees what belongs to the workspaces they are a member of - or to some tenants of them - and
an overseer also what belongs to no workspace.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from lastword.access import CAPABILITIES, Capability, Role
from lastword.service.sessions import hash_of_token
from lastword.storage.ledger import Ledger, Row


@dataclass(frozen=True, slots=True)
class Scope:
    """A part of the ledger that somebody may see.

    Attributes:
        workspace_id: the workspace; None: what belongs to none.
        role: what the person is there.
        name: what people call the workspace.
        tenants: the only tenants; None: all of it.
    """

    workspace_id: str | None
    role: Role
    name: str = ""
    tenants: tuple[str, ...] | None = None

    def covers(self, workspace_id: str | None, tenant_id: str | None) -> bool:
        """Whether something of this workspace and tenant is in it."""
        if workspace_id != self.workspace_id:
            return False
        return self.tenants is None or tenant_id in self.tenants


@dataclass(frozen=True, slots=True)
class Viewer:
    """A person who is signed in, or the token of one.

    Attributes:
        user_id: who.
        name: what people read.
        scopes: what they may see.
        method: how they signed in; `token` for an API token.
        session_id: of the session; None without one.
        seen_ms_ago: how long ago the session was last noted as in use.
        limited_to: the only capabilities that a token may use; None: all of its person.
    """

    user_id: str
    name: str
    scopes: tuple[Scope, ...] = ()
    method: str = "password"
    session_id: str | None = None
    seen_ms_ago: int = 0
    limited_to: frozenset[str] | None = None

    def sees(self, workspace_id: str | None, tenant_id: str | None) -> bool:
        """Whether something of this workspace and tenant is there for this person."""
        return any(scope.covers(workspace_id, tenant_id) for scope in self.scopes)

    def may(self, capability: Capability, workspace_id: str | None, tenant_id: str | None) -> bool:
        """Whether this person may do that there."""
        return any(scope.covers(workspace_id, tenant_id) for scope in self.scopes_with(capability))

    def scopes_with(self, capability: Capability) -> tuple[Scope, ...]:
        """The scopes in which this person has a capability."""
        if self.limited_to is not None and capability not in self.limited_to:
            return ()
        return tuple(scope for scope in self.scopes if capability in CAPABILITIES[scope.role])


_PERSON = (
    "person.id AS user_id, person.name, person.oversees, member.workspace_id, member.role, "
    "member.tenants, workspace.name AS workspace_name"
)

_MEMBERSHIPS = (
    "LEFT JOIN lastword_membership AS member ON member.user_id = person.id "
    "LEFT JOIN lastword_workspace AS workspace ON workspace.id = member.workspace_id"
)


def viewer_of_session(ledger: Ledger, token: str, *, idle_s: float) -> Viewer | None:
    """Whom a session's token belongs to; None if it is none, or over."""
    now = ledger.dialect.now_ms
    with ledger.session():
        rows = ledger.execute(
            f"SELECT {_PERSON}, session.id AS session_id, session.method, "
            f"{now} - session.seen_at AS seen_ms_ago FROM lastword_session AS session "
            f"JOIN lastword_user AS person ON person.id = session.user_id {_MEMBERSHIPS} "
            f"WHERE session.token_hash = {ledger.dialect.param} AND session.ended_at IS NULL "
            f"AND session.expires_at > {now} AND session.seen_at > {now} - {int(idle_s * 1000)} "
            "AND person.disabled_at IS NULL ORDER BY member.workspace_id",
            hash_of_token(token),
        )
    if not rows:
        return None
    first = rows[0]
    return Viewer(
        user_id=first["user_id"],
        name=first["name"],
        scopes=_scopes(rows),
        method=first["method"],
        session_id=first["session_id"],
        seen_ms_ago=first["seen_ms_ago"],
    )


def viewer_of_token(ledger: Ledger, token: str) -> Viewer | None:
    """Whom an API token belongs to, limited to its scopes; None if it is none, or over."""
    with ledger.session():
        rows = ledger.execute(
            f"SELECT {_PERSON}, token.scopes FROM lastword_api_token AS token "
            f"JOIN lastword_user AS person ON person.id = token.user_id {_MEMBERSHIPS} "
            f"WHERE token.token_hash = {ledger.dialect.param} AND token.revoked_at IS NULL "
            f"AND token.expires_at > {ledger.dialect.now_ms} AND person.disabled_at IS NULL "
            "ORDER BY member.workspace_id",
            hash_of_token(token),
        )
    if not rows:
        return None
    return Viewer(
        user_id=rows[0]["user_id"],
        name=rows[0]["name"],
        scopes=_scopes(rows),
        method="token",
        limited_to=frozenset(json.loads(rows[0]["scopes"])),
    )


def viewer_of_user(ledger: Ledger, user_id: str, *, method: str) -> Viewer | None:
    """A person whom somebody else has vouched for; None if they may not sign in."""
    with ledger.session():
        rows = ledger.execute(
            f"SELECT {_PERSON} FROM lastword_user AS person {_MEMBERSHIPS} "
            f"WHERE person.id = {ledger.dialect.param} AND person.disabled_at IS NULL "
            "ORDER BY member.workspace_id",
            user_id,
        )
    if not rows:
        return None
    return Viewer(user_id, rows[0]["name"], _scopes(rows), method)


def _scopes(rows: Sequence[Row]) -> tuple[Scope, ...]:
    scopes = [
        Scope(
            row["workspace_id"],
            Role(row["role"]),
            row["workspace_name"],
            tuple(json.loads(row["tenants"])) if row["tenants"] else None,
        )
        for row in rows
        if row["workspace_id"] is not None and row["role"] in set(Role)
    ]
    if rows[0]["oversees"]:
        scopes.append(Scope(None, Role.OWNER, "No workspace"))
    return tuple(scopes)
