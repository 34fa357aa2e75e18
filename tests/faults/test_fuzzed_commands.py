"""Whatever is asked for: arguments, inputs, names, delays; and what a process says of its health.

What parses here: the arguments of `lastword`, `input_rules` (names, delays, inputs) and `pulse` (a
health file).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lastword.cli import main as cli
from lastword.errors import StartRefused
from lastword.input_rules import require_delay, require_json, require_name
from lastword.pulse import NotWell, require_well
from lastword_middleware.commands import _pair
from tests.fuzzing import depths, fuzzed, nested, require_clear, texts, values

#: What the ledger's columns take as a whole number.
LARGEST = 2**63


@given(content=st.one_of(st.binary(max_size=60), st.sampled_from([b"well", b"well\n", b"\0"])))
@fuzzed(40, long=2000)
def test_any_health_file_is_well_or_says_what_it_held(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "health"
    file.write_bytes(content)
    try:
        said = require_well(file, within_s=60)
    except NotWell as error:
        require_clear(error)
    else:
        assert content.decode().strip() == "well"
        assert said.startswith("well ")


def inputs_of(depth: int) -> dict[str, Any]:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return {"deep": value}


@given(inputs=st.one_of(st.dictionaries(texts, values, max_size=3), depths.map(inputs_of)))
@fuzzed(80, long=5000)
def test_any_inputs_have_a_json_form_or_are_refused(inputs: dict[str, Any]) -> None:
    try:
        require_json(inputs)
    except StartRefused as error:
        require_clear(error)
    else:
        assert json.loads(json.dumps(inputs, allow_nan=False)) == inputs


@given(text=st.one_of(texts, depths.map(nested)))
@example(text=nested(100_000))
@fuzzed(60, long=2000)
def test_any_input_on_the_command_line_is_a_value_or_that_text(text: str) -> None:
    key, value = _pair(f"key={text}")
    assert key == "key"
    assert isinstance(value, int | float | bool | list | dict | str | None)


@given(name=st.one_of(st.none(), texts), delay_s=st.one_of(st.floats(), st.integers()))
@fuzzed(60, long=2000)
def test_any_name_and_delay_can_be_kept_or_is_refused(name: str | None, delay_s: float) -> None:
    try:
        require_name(name)
        require_delay(delay_s)
    except StartRefused as error:
        require_clear(error)
    else:
        assert "\0" not in (name or "").encode().decode()
        assert 0 <= int(delay_s * 1000) < LARGEST


COMMANDS = st.sampled_from(
    [
        *(["runs", "list"], ["runs", "show"], ["runs", "cancel"], ["runs", "retry"], ["start"]),
        *(["tenants", "add"], ["users", "add"], ["users", "grant"], ["schedules", "add"]),
        *(["workers", "list"], ["workers", "drain"], ["healthy"], ["check"], ["operations"]),
        *(["schedules", "pause"], ["metrics"], ["runs"], ["sweeps"], ["dead-letters"], []),
        *(["users", "token"], ["runs", "reconcile"], ["backups"], ["baselines"], ["restores"]),
    ]
)
OPTIONS = st.sampled_from(
    [
        *("--json", "--limit", "--status", "--tenant", "--operation", "--help", "--cron", "--by"),
        *("--name", "--role", "--workspace", "--initiator", "--delay", "--deploy", "--timezone"),
        *("--within", "--input", "--", "-", "-x", "--no-such-option", "--days", "--outcome"),
    ]
)


def exit_code() -> int:
    """How a command ends; what else it raises would be a traceback."""
    try:
        cli.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


@given(
    command=COMMANDS,
    words=st.lists(st.one_of(OPTIONS, texts), max_size=5),
)
@fuzzed(60, long=5000)
def test_any_arguments_end_in_an_exit_code_and_one_line(
    sqlite_url: str, tmp_path: Path, command: list[str], words: list[str]
) -> None:
    # No argument of a process can hold NUL.
    arguments = [*command, *(word.replace("\0", "") for word in words)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["lastword", *arguments])
        patch.chdir(tmp_path)
        patch.setenv("LASTWORD_DATABASE_URL", sqlite_url)
        # Nothing listens there.
        patch.setenv("LASTWORD_BROKER_URL", "redis://127.0.0.1:1/0")
        assert exit_code() in (0, 1, 2)
