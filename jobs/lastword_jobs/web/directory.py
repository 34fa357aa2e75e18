"""The directory of a tenant: its groups and its roles."""

from __future__ import annotations

from starlette.responses import Response

from lastword.access import Capability
from lastword.web.asking import Asked
from lastword.web.guarding import Entry
from lastword.web.notices import tenant_page
from lastword.web.starts import start_here
from lastword_jobs.directory.records import Group, RoleDefinition
from lastword_jobs.web.lists import MOST, count_of, latest, path_of

#: How groups are looked at: what has changed, or everything.
MODES = ("delta", "full")


def directory(asked: Asked) -> Response:
    """The page of the directory."""
    ledger, tenant_id = asked.ledger, asked.here.tenant_id
    return tenant_page(
        asked,
        "directory.html",
        groups=latest(ledger, Group, tenant_id, order=[Group.name, Group.external_id]),
        group_count=count_of(ledger, Group, tenant_id),
        roles=latest(
            ledger,
            RoleDefinition,
            tenant_id,
            order=[RoleDefinition.name, RoleDefinition.external_id],
        ),
        most=MOST,
        modes=MODES,
    )


def sync_groups(asked: Asked) -> Response:
    """Look at the groups."""
    asked.form.only({"mode"})
    inputs = {"mode": asked.form.choice("mode", MODES) or MODES[0]}
    return start_here(asked, "entra_group_sync", inputs, back=path_of(asked, "directory"))


def sync_roles(asked: Asked) -> Response:
    """Look at the roles."""
    asked.form.only(set())
    back = path_of(asked, "directory")
    return start_here(asked, "directory_role_definitions.sync", {}, back=back)


ENTRIES = (
    Entry("/admin/t/{tenant}/directory", directory),
    Entry("/admin/t/{tenant}/directory/groups", sync_groups, "POST", Capability.SYNC),
    Entry("/admin/t/{tenant}/directory/roles", sync_roles, "POST", Capability.SYNC),
)
