"""Static files: whose they are, how large, and how they are served."""

from __future__ import annotations

import gzip
import re

import pytest

from tests.web.vendoring import HTMX, LUCIDE, SPRITE, WEB, described, sha256
from tests.web.world import World

#: Bytes of scripts and styles that a page may bring, packed.
MOST_BYTES = 30_000


def test_what_is_not_ours_is_what_is_written_down_and_its_licence_is_shipped() -> None:
    known = described()
    files = [*known[HTMX]["files"], known[HTMX]["licence_file"], known[LUCIDE]["licence_file"]]
    assert {entry["file"]: sha256(entry["file"]) for entry in files} == {
        entry["file"]: entry["sha256"] for entry in files
    }


def test_every_picture_that_is_used_is_there_and_none_is_left_over() -> None:
    drawn = re.findall(r'<symbol id="i-([\w-]+)"', SPRITE.read_text())
    assert drawn == list(described()[LUCIDE]["icons"])
    roots = (WEB, WEB.parents[2] / "jobs" / "lastword_jobs" / "web")
    texts = [
        file.read_text()
        for root in roots
        for file in [*root.rglob("*.py"), *root.rglob("*.html")]
        if file != SPRITE
    ]
    used = {name for name in drawn if any(f'"{name}"' in text for text in texts)}
    assert used == set(drawn)


def test_scripts_and_styles_are_light(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = {
        file.name: len(gzip.compress(file.read_bytes(), 9))
        for file in sorted((WEB / "static").iterdir())
        if file.suffix in (".js", ".css")
    }
    with capsys.disabled():
        print(f" {sum(sizes.values()):,} bytes of scripts and styles, packed", end="")
    assert sum(sizes.values()) < MOST_BYTES, sizes


def test_no_template_lets_anything_through_unescaped() -> None:
    roots = (WEB, WEB.parents[2] / "jobs" / "lastword_jobs" / "web")
    for file in (file for root in roots for file in root.rglob("*.html")):
        text = file.read_text()
        for way in (r"\|\s*safe\b", r"\bMarkup\b", r"autoescape", r"\bstyle=", r"\bon\w+="):
            assert re.search(way, text) is None, (file, way)
        # What htmx looks at needs the nonce, or it is taken off.
        for tag in re.findall(r"<\w+[^<>]*\bhx-get=[^<>]*>", text):
            assert "hx-nonce=" in tag, (file, tag)


def test_a_file_is_served_packed_and_for_ever_under_its_own_name(world: World) -> None:
    page = world.get("/admin/sign-in").text
    urls = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
    assert len(urls) >= 6
    for url in urls:
        answer = world.get(url, **{"accept-encoding": "gzip"})
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["content-encoding"] == "gzip"
        assert world.get(url, **{"accept-encoding": "identity"}).content == answer.content
    assert world.get("/static/app.css").status_code == 404
    assert world.get("/static/..%2fapp.py").status_code == 404
