"""With which application a tenant is reached. Its secret goes in and never comes out."""

from __future__ import annotations

from starlette.responses import Response

from lastword.access import Capability
from lastword.storage.ledger import Row
from lastword.web.asking import Asked
from lastword.web.guarding import Entry
from lastword.web.notices import tenant_page
from lastword_jobs.provider.connections import LONGEST_ID, Connection, connect_tenant
from lastword_jobs.provider.sealing import Sealer
from lastword_jobs.web.lists import path_of, readable

#: Characters of a secret at most.
LONGEST_SECRET = 500


def connection(asked: Asked) -> Response:
    """The page of the connection."""
    return tenant_page(asked, "connection.html", connection=_found(asked))


def connect(asked: Asked) -> Response:
    """Reach the tenant with this application from now on."""
    asked.form.only({"client_id", "secret"})
    connect_tenant(
        asked.ledger,
        Sealer.of(asked.config),
        tenant_id=asked.here.tenant_id,
        client_id=asked.form.required("client_id", longest=LONGEST_ID),
        secret=asked.form.required("secret", longest=LONGEST_SECRET),
        actor=asked.actor,
    )
    return asked.go(path_of(asked, "connection"))


def _found(asked: Asked) -> Row | None:
    query = Connection.select(Connection.client_id, Connection.changed_at).where(
        Connection.tenant_id == asked.here.tenant_id
    )
    with asked.ledger.session():
        found = query.dicts().first(asked.ledger.database)
    return None if found is None else readable(found)


ENTRIES = (
    Entry("/admin/t/{tenant}/connection", connection),
    Entry("/admin/t/{tenant}/connection", connect, "POST", Capability.CONNECTION),
)
