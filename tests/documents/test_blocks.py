"""Every fenced block of README and docs: run, or read by what it is for. None is left to belief."""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from lastword.config import load_config
from lastword.errors import ConfigError
from lastword.storage.opening import open_ledger
from lastword.timing import chain_of, violations
from tests.documents.blocks import ROOT, Block, blocks_of, pages, python_of
from tests.documents.consoles import require_commands, require_parsed
from tests.documents.running import Stand, import_file, run_console, run_python

#: How many blocks of all pages may be neither run nor read. Each says why.
MOST_NOT_RUN = 6

ALL = [block for page in pages() for block in blocks_of(page)]

CHECKED = [block for block in ALL if block.marker != "not run" and not block.included]


def of(*languages: str) -> list[Block]:
    return [block for block in CHECKED if block.language in languages]


def each(blocks: list[Block]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", blocks, ids=lambda block: block.place)


@pytest.fixture
def stand(tmp_path: Path, sqlite_url: str, redis_url: str) -> Stand:
    folder = tmp_path / "page"
    folder.mkdir()
    return Stand(folder, sqlite_url, redis_url)


def test_every_block_says_what_it_is() -> None:
    known = {"python", "console", "toml", *READ, "promql", "sql", "text", "diff"}
    assert [block.place for block in ALL if block.language not in known] == []


def test_few_blocks_are_not_run_and_each_says_why() -> None:
    unrun = [block for block in ALL if block.marker == "not run"]
    assert [block.place for block in unrun if len(block.told.split()) < 4] == []
    assert len(unrun) <= MOST_NOT_RUN, [block.place for block in unrun]


def test_what_is_taken_in_is_there() -> None:
    for block in ALL:
        for found in block.included:
            file = ROOT / found[1]
            assert file.is_file(), f"{block.place}: {found[1]}"
            if found[2]:
                assert f"--8<-- [start:{found[2]}]" in file.read_text(), (
                    f"{block.place}: {found[2]}"
                )


def runs(page: str) -> bool:
    return bool(python_of(page).strip()) or any(b.marker == "run" for b in blocks_of(page))


@pytest.mark.parametrize("page", [page for page in pages() if runs(page)])
def test_a_page_runs_from_top_to_bottom_and_prints_what_it_says(page: str, stand: Stand) -> None:
    run_python(page, stand)
    for block in blocks_of(page):
        if block.marker == "run":
            run_console(block, stand)


@each([block for block in of("python") if block.marker == "file"])
def test_a_python_file_that_a_page_shows_can_be_imported(block: Block, stand: Stand) -> None:
    stand.write_files(block.page)
    import_file(block, stand)


@each(of("console"))
def test_every_command_is_there_with_its_options(block: Block) -> None:
    require_commands(block)


@each(of("toml"))
def test_every_configuration_is_taken_and_its_durations_fit(block: Block, tmp_path: Path) -> None:
    if block.marker == "file" and block.told != "lastword.toml":
        return
    file = tmp_path / "lastword.toml"
    file.write_text(block.text)
    config = load_config({}, file=file)
    assert violations(chain_of(config)) == []


@pytest.mark.parametrize("folder", ["orders", "django_orders", "exports"])
def test_the_settings_that_a_page_takes_in_do_without_an_environment(folder: str) -> None:
    config = load_config({}, file=ROOT / "docs" / "examples" / folder / "lastword.toml")
    assert config.broker_url.startswith("redis://")
    assert len(config.policies) == 1


def read_yaml(text: str) -> None:
    for part in yaml.safe_load_all(text):
        if isinstance(part, dict) and "apiVersion" in part:
            command = [sys.executable, "-m", "kubernetes_validate", "--strict", "/dev/stdin"]
            subprocess.run(command, input=yaml.safe_dump(part), text=True, check=True)


def read_ini(text: str) -> None:
    parser = configparser.RawConfigParser(strict=False)
    parser.read_string(text if text.lstrip().startswith("[") else f"[file]\n{text}")


READ: dict[str, Callable[[str], object]] = {
    "yaml": read_yaml,
    "json": json.loads,
    "ini": read_ini,
}


@each(of(*READ))
def test_what_is_read_by_programs_can_be_read(block: Block) -> None:
    READ[block.language](block.text)


@each(of("sql"))
def test_every_statement_fits_the_ledger(block: Block, new_postgres_url: str) -> None:
    ledger = open_ledger(new_postgres_url)
    with ledger.session():
        ledger.execute(f"EXPLAIN {block.text}")
    ledger.close()


@each(of("promql"))
def test_every_query_asks_for_series_that_are_told(block: Block) -> None:
    told = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    for name in re.findall(r"\blastword_\w+", block.text):
        assert re.search(rf"`{re.sub('_(bucket|sum|count)$', '', name)}`", told), name
    for opened, closed in ("()", "[]", "{}"):
        assert block.text.count(opened) == block.text.count(closed)


def test_a_command_that_is_not_there_is_found() -> None:
    with pytest.raises(AssertionError, match="no command halt"):
        require_parsed(["runs", "halt"], "lastword runs halt")
    with pytest.raises(AssertionError, match="No such option"):
        require_parsed(["runs", "list", "--everything"], "lastword runs list --everything")
    with pytest.raises(AssertionError, match="no target"):
        require_commands(Block("x.md", 1, "console", "$ make tea\n"))
    with pytest.raises(AssertionError, match="no extra"):
        require_commands(Block("x.md", 1, "console", "$ pip install 'lastword[tea]'\n"))


def test_a_page_whose_python_fails_is_found(stand: Stand) -> None:
    broken = "tests/documents/broken.md"

    with pytest.raises(AssertionError, match="line 6"):
        run_python(broken, stand)
    [table] = [block for block in blocks_of(broken) if block.language == "toml"]
    (stand.folder / "x.toml").write_text(table.text)
    with pytest.raises(ConfigError, match="unknown key"):
        load_config({}, file=stand.folder / "x.toml")
