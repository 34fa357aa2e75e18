"""Handing over a pack: a signed link that works for a while, for whoever holds it."""

from __future__ import annotations

import hashlib
import json
import time

from starlette.responses import Response

from lastword.access import Capability
from lastword.errors import LastwordError
from lastword.service.tenants import audit_on_tenant
from lastword.web.asking import Asked, NotFound
from lastword.web.guarding import Entry
from lastword.web.signing import Signer
from lastword_jobs.reviews.packing import FOLDER
from lastword_jobs.reviews.records import Pack, PackStatus
from lastword_jobs.web.lists import find_here

#: Seconds for which a link works.
LINK_LIFETIME_S = 15 * 60

PURPOSE = "pack"


def link(asked: Asked) -> Response:
    """Make a link to a pack, and go there. That one was made is in the audit log."""
    asked.form.only(set())
    found = find_here(asked, Pack, str(asked.path["pack"]))
    if found["status"] != PackStatus.READY:
        raise NotFound
    until = int(time.time()) + LINK_LIFETIME_S
    signed = Signer.of(asked.config, PURPOSE).sign(json.dumps([found["id"], until]))
    with asked.ledger.transaction():
        audit_on_tenant(
            asked.ledger,
            asked.actor,
            "pack.link",
            "pack",
            found["id"],
            tenant_id=asked.here.tenant_id,
            after={"seconds": LINK_LIFETIME_S},
        )
    return asked.go(f"/admin/packs/{signed}")


def download(asked: Asked) -> Response:
    """The file of a pack, for whoever holds a link that still works."""
    text = Signer.of(asked.config, PURPOSE).opened(str(asked.path["signed"]))
    if text is None:
        raise NotFound
    pack_id, until = json.loads(text)
    query = Pack.select().where((Pack.id == pack_id) & (Pack.status == PackStatus.READY))
    with asked.ledger.session():
        pack = query.first(asked.ledger.database)
    if pack is None or until < time.time():
        raise NotFound
    file = asked.config.data_dir / FOLDER / str(pack.file_name)
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise LastwordError(
            "the file of the pack is not on this host",
            mend="let the web and the workers share LASTWORD_DATA_DIR, or pack the review again",
        ) from None
    if hashlib.sha256(content).hexdigest() != pack.sha256:
        raise LastwordError("the file of the pack is damaged", mend="pack the review again")
    headers = {
        "Content-Disposition": f'attachment; filename="review-{pack.review_id}.zip"',
    }
    return Response(content, media_type="application/zip", headers=headers)


ENTRIES = (
    Entry("/admin/t/{tenant}/packs/{pack}/link", link, "POST", Capability.VIEW),
    Entry("/admin/packs/{signed}", download, is_open=True),
)
