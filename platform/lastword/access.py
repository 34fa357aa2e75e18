"""Who may do what: the roles of a workspace's members and the one registry of capabilities.

The gate before a run, the command line and the monitoring web all ask this table and no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Capability(StrEnum):
    """What a person may be allowed to do in a workspace; append, never rename."""

    #: See runs, records and workers.
    VIEW = "operations.view"
    #: Start an operation that asks for nothing more special.
    START = "operations.start"
    CANCEL = "operations.cancel"
    #: Read the provider and bring the records up to date.
    SYNC = "sync.run"
    BASELINE = "baseline.run"
    BACKUP = "backup.run"
    #: Write to a tenant.
    RESTORE = "restore.execute"
    EVIDENCE = "evidence.generate"
    REVIEW = "review.compose"
    REVIEW_PUBLISH = "review.publish"
    #: Set how a tenant is reached, and whether it may be written to.
    CONNECTION = "provider.manage"
    MEMBERS = "members.manage"
    AUDIT = "audit.view"


class Role(StrEnum):
    """What a member of a workspace is there."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    MANAGER = "manager"
    OWNER = "owner"


class Authority(StrEnum):
    """On whose behalf a run acts."""

    #: On that of the person who started it: what they may do now decides.
    ACTOR_BOUND = "actor_bound"
    #: On the system's own: a schedule, a script, an operator at the command line.
    SYSTEM = "system_authority"


_VIEWER = frozenset({Capability.VIEW})
_OPERATOR = _VIEWER | {
    Capability.START,
    Capability.CANCEL,
    Capability.SYNC,
    Capability.BASELINE,
    Capability.BACKUP,
    Capability.EVIDENCE,
    Capability.REVIEW,
}
_MANAGER = _OPERATOR | {
    Capability.RESTORE,
    Capability.REVIEW_PUBLISH,
    Capability.CONNECTION,
    Capability.AUDIT,
}

#: The registry: what each role may do. Each may do all that those before it may.
CAPABILITIES: Mapping[Role, frozenset[Capability]] = {
    Role.VIEWER: _VIEWER,
    Role.OPERATOR: _OPERATOR,
    Role.MANAGER: _MANAGER,
    Role.OWNER: frozenset(Capability),
}


def may(role: str | None, capability: str) -> bool:
    """Whether a role has a capability; a role that is not known has none."""
    return role in set(Role) and capability in CAPABILITIES[Role(role)]
