"""What leaves the web and what never does: packs by signed links, and secrets."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from lastword.access import Role
from lastword.config import Config
from lastword.reading.audit import AuditFilter, list_audit
from lastword.storage.ledger import Ledger
from lastword_jobs.provider.connections import Connection, credentials_of
from lastword_jobs.reviews.packing import FOLDER
from lastword_jobs.reviews.records import Pack
from tests.web.starting import BASE
from tests.web.world import OWN_TENANT, World, world_of


def packed(world: World, content: bytes = b"PK-of-a-review") -> str:
    """A pack whose file is there; its id."""
    ids = world.records(OWN_TENANT)
    folder = Path(world.config.data_dir) / FOLDER
    folder.mkdir()
    (folder / "f.zip").write_bytes(content)
    with world.ledger.transaction():
        Pack.update(sha256=hashlib.sha256(content).hexdigest()).execute(world.ledger.database)
    return ids["pack"]


def test_a_pack_is_handed_over_by_a_signed_link(startable: World) -> None:
    pack = packed(startable)
    link = startable.post(f"{BASE}/packs/{pack}/link").headers["location"]
    assert list_audit(startable.ledger, AuditFilter(action="pack.link"))[0]["target_id"] == pack
    startable.sign_out()
    answer = startable.get(link)
    assert answer.content == b"PK-of-a-review"
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"].startswith("attachment; ")
    body, signature = link.rsplit("/", 1)[1].split(".")
    for forged in (f"{body}x.{signature}", f"{body}.{signature[:-2]}", "a.b", f"{body}."):
        assert startable.get(f"/admin/packs/{forged}").status_code == 404


def test_a_link_to_a_pack_ends_and_a_damaged_file_is_not_handed_over(
    startable: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = packed(startable)
    link = startable.post(f"{BASE}/packs/{pack}/link").headers["location"]
    file = Path(startable.config.data_dir) / FOLDER / "f.zip"
    file.write_bytes(b"something else")
    damaged = startable.get(link)
    assert (damaged.status_code, "is damaged" in damaged.text) == (409, True)
    file.unlink()
    assert "is not on this host" in startable.get(link).text
    monkeypatch.setattr("lastword_jobs.web.packs.LINK_LIFETIME_S", -1)
    late = startable.post(f"{BASE}/packs/{pack}/link").headers["location"]
    assert startable.get(late).status_code == 404


def test_a_secret_goes_in_and_never_comes_out(startable: World) -> None:
    form = {"client_id": "another", "secret": "hunter2-of-the-app"}
    assert startable.post(f"{BASE}/connection", **form).status_code == 303
    assert (
        credentials_of(startable.ledger, startable.config, OWN_TENANT).client_secret
        == "hunter2-of-the-app"
    )
    for path in (f"{BASE}/connection", "/admin/audit/export", "/admin/audit"):
        assert "hunter2" not in startable.get(path).text
    with startable.ledger.session():
        [row] = (
            Connection.select()
            .where(Connection.client_id == "another")
            .execute(startable.ledger.database)
        )
    assert "hunter2" not in row.sealed_secret


def test_without_a_key_nothing_is_sealed_and_the_page_says_what_is_missing(
    sqlite_ledger: Ledger, web_config: Config
) -> None:
    with world_of(sqlite_ledger, replace(web_config, secret_key="")) as world:
        world.person("ada", Role.OWNER)
        world.sign_in("ada")
        answer = world.post(f"{BASE}/connection", client_id="a", secret="b")
        assert answer.status_code == 409
        assert "set LASTWORD_SECRET_KEY" in answer.text
