"""The runbooks: a page for each alert and reason, with links and commands that are there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from lastword.cli.main import lastword
from lastword.reasons import SENTENCES, Reason

BOOKS = Path("deploy/runbooks")

HEADINGS = ["What it means", "What to look at", "What to do"]

ALERTS = [
    *("LastwordLedgerUnreadable", "LastwordTerminalTruthOverdue", "LastwordReconcilerStalled"),
    *("LastwordQueueWithoutWorkers", "LastwordAuditWriteFailing", "LastwordRunsStale"),
    *("LastwordRunsReconciledFailed", "LastwordLateResults", "LastwordLedgerBrokerDrift"),
    *("LastwordHighFailureRatio", "LastwordRunsBlocked", "LastwordProviderThrottled"),
    *("LastwordQueueWaitTooLong", "LastwordWorkerLost", "LastwordWorkerKilledBeforeDrain"),
    *("LastwordStopWaitTooShort", "LastwordLoginFailuresSpike"),
]

PAGES = sorted(BOOKS.rglob("*.md"))


def names(folder: str) -> list[str]:
    return sorted(page.stem for page in (BOOKS / folder).glob("*.md"))


def commands(text: str) -> list[str]:
    """What stands in code and begins with our command."""
    spans = re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", text)
    joined = [" ".join(span.split()) for span in spans]
    return [span for span in joined if span.startswith("lastword ")]


def test_every_alert_and_every_reason_has_its_page_and_no_page_is_left_over() -> None:
    assert names("alerts") == sorted(ALERTS)
    assert names("reasons") == sorted(Reason)


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "README.md"], ids=str)
def test_a_page_says_what_it_means_what_to_look_at_and_what_to_do(page: Path) -> None:
    title, *parts = re.split(r"^#{1,2} (.*)$", page.read_text(), flags=re.MULTILINE)[1:]
    assert title == page.stem
    assert parts[1::2] == HEADINGS
    assert [len(part.split()) > 4 for part in parts[2::2]] == [True] * 3
    if page.parent.name == "reasons":
        assert f"> {SENTENCES[Reason(page.stem)]}" in parts[0]
    else:
        assert re.search(r"^\*(Critical|Warning)\.\*", parts[0], re.MULTILINE)
        assert "It resolves by itself" in parts[0]


@pytest.mark.parametrize("page", [*PAGES, Path("docs/operations.md")], ids=str)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if not link.startswith(("http:", "https:", "#")):
            assert (page.parent / link.partition("#")[0]).exists(), f"{page}: {link}"


def test_the_list_names_every_page() -> None:
    text = (BOOKS / "README.md").read_text()
    for page in PAGES:
        if page.name != "README.md":
            assert f"]({page.relative_to(BOOKS)})" in text


@pytest.mark.parametrize("page", [*PAGES, Path("docs/operations.md"), Path("README.md")], ids=str)
def test_every_command_that_is_named_is_there_with_its_options(page: Path) -> None:
    text = page.read_text()
    shown = re.findall(r"^\$ (lastword [^#\n]*)", text, re.MULTILINE)
    for line in [*commands(text), *shown]:
        require_command(shlex.split(line.split(" | ")[0])[1:], line)


def require_command(words: list[str], line: str) -> None:
    command: click.Command = lastword
    context = click.Context(lastword)
    while isinstance(command, click.Group):
        assert words, f"{line}: which command?"
        # Two commands of a group in one go: `drain|restart`.
        name, *alternatives = words.pop(0).split("|")
        found = command.get_command(context, name)
        assert found is not None, f"{line}: there is no {name}"
        for other in alternatives:
            assert command.get_command(context, other) is not None, f"{line}: no {other}"
        command = found
    known = {option for item in command.params for option in item.opts}
    if command.context_settings.get("ignore_unknown_options"):
        known |= {"--queues", "--threads", "--processes", "--allow-unsafe-timing", "--one-cpu"}
    given = {word.strip("[]").partition("=")[0] for word in words if "--" in word}
    assert given <= known, f"{line}: {given - known}"
