"""People and what they are in workspaces: adding, granting, disabling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from peewee import SQL

from lastword.access import Role
from lastword.errors import InvalidInputs
from lastword.service.audit import SYSTEM, Actor, Entry, write_audit
from lastword.storage.access_tables import Membership, Tenant, User, Workspace
from lastword.storage.ledger import Ledger


def add_user(ledger: Ledger, *, user_id: str, name: str, actor: Actor = SYSTEM) -> bool:
    """Add a person; False if there is one of that id already.

    Raises:
        InvalidInputs: the id or the name is empty, too long, or cannot be printed.
    """
    require_text("user id", user_id, 64)
    require_text("name", name, 200)
    user = User.insert(id=user_id, name=name, created_at=SQL(ledger.dialect.now_ms))
    with ledger.transaction():
        added = user.on_conflict_ignore().as_rowcount().execute(ledger.database)
        if added:
            write_audit(ledger, actor, [Entry("user.add", "user", user_id, after={"name": name})])
    return bool(added)


def set_overseer(ledger: Ledger, user_id: str, *, oversees: bool, actor: Actor = SYSTEM) -> bool:
    """Say whether a person sees what belongs to no workspace; False if there is no such person."""
    with ledger.transaction():
        update = User.update(oversees=oversees).where(User.id == user_id)
        moved = bool(update.execute(ledger.database))
        if moved:
            entry = Entry("user.oversee", "user", user_id, after={"oversees": oversees})
            write_audit(ledger, actor, [entry])
    return moved


def disable_user(ledger: Ledger, user_id: str, *, actor: Actor = SYSTEM) -> bool:
    """Let a person do nothing any more, from now on; False if that was so, or nobody has the id."""
    now = SQL(ledger.dialect.now_ms)
    with ledger.transaction():
        moved = (
            User.update(disabled_at=now)
            .where((User.id == user_id) & User.disabled_at.is_null())
            .execute(ledger.database)
        )
        if moved:
            write_audit(ledger, actor, [Entry("user.disable", "user", user_id)])
    return bool(moved)


def grant(
    ledger: Ledger,
    *,
    user_id: str,
    workspace_id: str,
    role: Role,
    tenants: Sequence[str] | None = None,
    actor: Actor = SYSTEM,
) -> None:
    """Make a person a member of a workspace in this role, whatever they were there before.

    Args:
        ledger: where.
        user_id: the person.
        workspace_id: the workspace.
        role: what the person is there from now on.
        tenants: the only tenants the person may see; None: all of the workspace.
        actor: who says so.

    Raises:
        InvalidInputs: there is no such person, workspace, or tenant in it.
    """
    with ledger.transaction():
        _require_known(ledger, user_id, workspace_id, tenants or ())
        values = {"role": role, "tenants": None if tenants is None else sorted(tenants)}
        before = _membership(ledger, user_id, workspace_id)
        Membership.insert(
            workspace_id=workspace_id,
            user_id=user_id,
            created_at=SQL(ledger.dialect.now_ms),
            **values,
        ).on_conflict(
            conflict_target=[Membership.workspace_id, Membership.user_id], update=values
        ).execute(ledger.database)
        entry = Entry("member.grant", "user", user_id, before=before, after=values)
        write_audit(ledger, actor, [replace(entry, workspace_id=workspace_id)])


def revoke(ledger: Ledger, *, user_id: str, workspace_id: str, actor: Actor = SYSTEM) -> bool:
    """End a membership; False if there is none."""
    with ledger.transaction():
        before = _membership(ledger, user_id, workspace_id)
        gone = (
            Membership.delete()
            .where((Membership.user_id == user_id) & (Membership.workspace_id == workspace_id))
            .execute(ledger.database)
        )
        if gone:
            entry = Entry("member.revoke", "user", user_id, before=before)
            write_audit(ledger, actor, [replace(entry, workspace_id=workspace_id)])
    return bool(gone)


def require_text(what: str, text: str, longest: int) -> None:
    """Refuse what cannot be a name.

    Raises:
        InvalidInputs: it is empty, too long, or cannot be printed.
    """
    if not 0 < len(text) <= longest or not text.isprintable():
        raise InvalidInputs(
            f"{what} {text[:longest]!a} has {len(text)} characters",
            expected=f"1 to {longest} that can be printed",
        )


def _membership(ledger: Ledger, user_id: str, workspace_id: str) -> dict[str, Any] | None:
    query = Membership.select(Membership.role, Membership.tenants).where(
        (Membership.user_id == user_id) & (Membership.workspace_id == workspace_id)
    )
    found: dict[str, Any] | None = query.dicts().first(ledger.database)
    return found


def _require_known(ledger: Ledger, user_id: str, workspace_id: str, tenants: Sequence[str]) -> None:
    database = ledger.database
    if not User.select().where(User.id == user_id).exists(database):
        raise InvalidInputs(f"no user {user_id!r}", mend="add it with `lastword users add`")
    if not Workspace.select().where(Workspace.id == workspace_id).exists(database):
        raise InvalidInputs(
            f"no workspace {workspace_id!r}", mend="it is made with its first tenant"
        )
    own = Tenant.select(Tenant.id).where(Tenant.workspace_id == workspace_id)
    known = {row.id for row in own.execute(database)}
    for tenant in tenants:
        if tenant not in known:
            raise InvalidInputs(f"workspace {workspace_id!r} has no tenant {tenant!r}")
