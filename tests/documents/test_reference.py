"""The reference pages: what the code says now, and with everything in them."""

from __future__ import annotations

import re

import click
from docs.building.commands import commands
from docs.building.reference import pages

from tests.documents.blocks import ROOT


def test_the_reference_is_current() -> None:
    stale = [str(file) for file, text in pages() if file.read_text(encoding="utf-8") != text]
    assert stale == [], "run `make reference`"


def test_every_option_of_a_command_says_what_it_is() -> None:
    found = [
        (context.command_path, item.opts)
        for context in commands()
        for item in context.command.params
        if isinstance(item, click.Option) and not item.help
    ]
    assert found == []


def test_the_page_on_metrics_names_every_family() -> None:
    reference = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    told = (ROOT / "docs" / "metrics.md").read_text()
    families = re.findall(r"^\| `(lastword_\w+)`", reference, re.MULTILINE)
    assert len(families) > 40
    assert [name for name in families if f"`{name}`" not in told] == []
