"""Whatever stands in a configuration: a valid value, or one error of ours that says what is wrong.

What parses here: `toml_document` (bytes of a file), `config` and `readers` (file and environment),
`urls` (URLs and addresses), `policy_tables` (a table of an operation, and the hash of what it came
to), `cron` (expressions and zones), `deployment.spans` (durations of systemd, Compose and others).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lastword.config import Config, load_config
from lastword.cron import read_cron
from lastword.deployment.spans import compose_s, systemd_s, whole_s
from lastword.errors import ConfigError, StartRefused
from lastword.policy import Policy
from lastword.policy_tables import policy_from_table
from lastword.readers import READERS
from lastword.timing import chain_of, violations
from tests.fuzzing import (
    changed,
    fuzzed,
    nested,
    require_clear,
    require_said,
    scalars,
    texts,
    utf8,
    values,
)

#: What the ledger's columns and SQL take as a whole number.
LARGEST = 2**63

KEYS = st.one_of(st.sampled_from(sorted(READERS)), utf8)

TABLE: dict[str, Any] = {
    "label": "Build report",
    "time_limit": 10,
    "queued_stale_after": 20,
    "running_stale_after": 30,
    "max_retries": 2,
    "max_deliveries": 3,
    "max_queue_wait": 60,
    "min_backoff": 1,
    "max_backoff": 60,
    "max_deferral": 5,
    "scope": "writes",
    "reconcilers": ["generic"],
    "on_worker_lost": "fail",
}


def require_usable(config: Config) -> None:
    """A configuration that every process can go on with."""
    assert repr(config)
    assert "\0" not in config.ledger_url + str(config.data_dir) + config.health_file
    durations = [
        getattr(config, name) for name in READERS if isinstance(getattr(config, name), float)
    ]
    # As they are handed to the ledger.
    assert all(0 < int(seconds * 1000) + 1 < LARGEST for seconds in durations)
    for policy in config.policies.values():
        require_round_trip(policy)
    assert isinstance(violations(chain_of(config)), list)


def require_round_trip(policy: Policy) -> None:
    """A policy that the ledger gives back as it was, and whose bounds can be told."""
    assert Policy.from_document(json.loads(json.dumps(policy.document()))) == policy
    assert math.isfinite(policy.retries_within)
    assert math.isfinite(policy.truth_within)
    assert policy.max_deliveries < LARGEST


def configured(content: bytes, folder: Path, environ: dict[str, str]) -> None:
    file = folder / "lastword.toml"
    file.write_bytes(content)
    try:
        config = load_config(environ, file=file)
    except ConfigError as error:
        require_clear(error)
    else:
        require_usable(config)


def toml_value(value: Any) -> str:
    """A value as TOML has it."""
    if value is None:
        return "{}"
    if isinstance(value, float):
        return "nan" if math.isnan(value) else repr(value)
    if isinstance(value, list):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, dict):
        pairs = (f"{toml_text(key)} = {toml_value(item)}" for key, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    return toml_text(value) if isinstance(value, str) else json.dumps(value)


def toml_text(text: str) -> str:
    plain = json.dumps(text.encode(errors="replace").decode())
    return plain.replace("\x7f", "\\u007f")


tables = st.dictionaries(KEYS, values, max_size=5)
documents = st.builds(
    lambda own, operations, rest: "\n".join(
        [
            *(["[lastword]", *(f"{toml_text(k)} = {toml_value(v)}" for k, v in own.items())]),
            *(f"[operations.{toml_text(name)}]\n" + lines_of(t) for name, t in operations.items()),
            rest,
        ]
    ),
    tables,
    st.dictionaries(utf8, changed(TABLE), max_size=2),
    st.one_of(st.just(""), utf8),
)


def lines_of(table: dict[str, Any]) -> str:
    return "\n".join(f"{toml_text(key)} = {toml_value(value)}" for key, value in table.items())


@given(content=documents)
@example(content=f"x = {'9' * 5000}")
@example(content="x = 0x" + "f" * 5000)
@example(content=f"x = {nested(100_000)}")
@example(content='[lastword]\ndata_dir = "\\u0000"')
@example(content='[lastword]\nhealth_file = "\\u0000"')
@example(content='[lastword]\ndatabase_url = "sqlite:///a\\u0000b"')
@example(content=f"[operations.a]\n{lines_of({**TABLE, 'max_retries': 10**400})}")
@example(content=f"[operations.a]\n{lines_of({**TABLE, 'max_deliveries': 2**70})}")
@example(content=f"[operations.'{'a' * 200}']\n{lines_of(TABLE)}")
@example(content=f'[operations."a\\u0000b"]\n{lines_of(TABLE)}')
@fuzzed(120, long=20_000)
def test_any_file_gives_a_configuration_that_works_or_says_what_is_wrong(
    tmp_path_factory: pytest.TempPathFactory, content: str
) -> None:
    configured(content.encode(errors="replace"), tmp_path_factory.getbasetemp(), {})


@given(content=st.binary(max_size=200))
@fuzzed(60, long=20_000)
def test_any_bytes_are_a_file_that_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    configured(content, tmp_path_factory.getbasetemp(), {})


@given(
    environ=st.dictionaries(
        st.one_of(st.sampled_from(sorted(READERS)).map(str.upper), utf8),
        st.one_of(texts, scalars.map(str)),
        max_size=5,
    )
)
@example(environ={"LEASE_TTL": "1e305"})
@example(environ={"DATABASE_URL": "sqlite:///a\0b"})
@fuzzed(120, long=20_000)
def test_any_environment_gives_a_configuration_that_works_or_says_what_is_wrong(
    environ: dict[str, str],
) -> None:
    named = {f"LASTWORD_{key}": text for key, text in environ.items() if key != "CONFIG"}
    try:
        config = load_config(named)
    except ConfigError as error:
        require_clear(error)
    else:
        require_usable(config)


@given(table=changed(TABLE))
@fuzzed(150, long=30_000)
def test_any_table_is_a_policy_that_comes_back_as_it_was_or_names_its_faults(
    table: dict[str, Any],
) -> None:
    try:
        policy = policy_from_table("report.build", table, origin="here")
    except ConfigError as error:
        require_clear(error)
    else:
        require_round_trip(policy)


FIELD = st.one_of(
    st.sampled_from(["*", "*/5", "0", "59", "60", "1-5", "5-1", "*/0", "MON", "L", "1#2", "0,0,0"]),
    st.from_regex(r"[0-9*/,\-]{1,8}", fullmatch=True),
    texts,
)


@example(expression=f"{'9' * 5000} 0 * * *", timezone="UTC", moment=0)
@given(
    expression=st.one_of(texts, st.lists(FIELD, min_size=4, max_size=6).map(" ".join)),
    timezone=st.one_of(st.sampled_from(["UTC", "Europe/Berlin", "Asia", "posixrules"]), texts),
    moment=st.integers(0, 4_102_444_800_000),
)
@fuzzed(120, long=20_000)
def test_any_schedule_has_a_next_slot_or_is_refused(
    expression: str, timezone: str, moment: int
) -> None:
    try:
        cron = read_cron(expression, timezone)
    except StartRefused as error:
        require_clear(error)
    else:
        first = cron.next_after(moment)
        assert first > moment
        assert cron.next_after(first) > first
        assert read_cron(cron.expression, cron.timezone) == cron


UNITS = ("s", "ms", "us", "m", "h", "min", "sec", "M", "d", "w", "y", "µs", "x", "")
durations = st.one_of(
    texts,
    st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from(UNITS)), min_size=1, max_size=3).map(
        lambda parts: " ".join(f"{number}{unit}" for number, unit in parts)
    ),
)


@given(text=st.one_of(durations, scalars))
@example(text=10**5000)
@example(text="٣")
@fuzzed(120, long=20_000)
def test_any_duration_is_seconds_or_says_what_was_expected(text: Any) -> None:
    readers: list[Callable[[Any], float]] = [compose_s, whole_s]
    if isinstance(text, str):
        readers.append(systemd_s)
    for read in readers:
        try:
            seconds = read(text)
        except ValueError as error:
            require_said(error, "a time span", "a duration", "a whole number")
        else:
            assert seconds >= 0


@given(seconds=st.integers(0, 10**6))
@fuzzed(30, long=2000)
def test_a_duration_that_was_written_is_read_as_it_was(seconds: int) -> None:
    hours, rest = divmod(seconds, 3600)
    written = f"{hours}h{rest // 60}m{rest % 60}s"
    assert compose_s(written) == seconds
    assert systemd_s(f"{hours}h {rest // 60}min {rest % 60}s") == (seconds or math.inf)
    assert whole_s(seconds) == whole_s(str(seconds)) == seconds
