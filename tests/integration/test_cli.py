"""The command line as people and scripts meet it: one line on stderr, or what was asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from lastword.storage.ledger import Ledger
from lastword.storage.opening import open_ledger
from lastword.storage.schema import migrate
from tests.processes import environment, lastword
from tests.support import Scene

PASSWORD = "s3cret-w0rd"

#: Nothing listens there.
NOWHERE = "127.0.0.1:1"


@pytest.fixture
def settings(tmp_path: Path, redis_url: str) -> dict[str, str]:
    """A folder with a migrated SQLite ledger, and a Redis."""
    ledger = open_ledger(f"sqlite:///{tmp_path / 'lastword.db'}")
    migrate(ledger)
    ledger.close()
    return environment(data_dir=tmp_path, broker_url=redis_url)


def complaint(code: int, *arguments: str, env: dict[str, str], cwd: Path | None = None) -> str:
    """What a command that must fail says: one line on stderr, nothing on stdout."""
    done = lastword(*arguments, env=env, cwd=cwd)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    [line] = done.stderr.splitlines()
    assert line.startswith("lastword: ")
    assert PASSWORD not in line
    return line


def said(*arguments: str, env: dict[str, str]) -> str:
    done = lastword(*arguments, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def value(*arguments: str, env: dict[str, str]) -> Any:
    """The one JSON value that a command prints."""
    return json.loads(said(*arguments, "--json", env=env))


def test_metrics_is_one_exposition(settings: dict[str, str]) -> None:
    families = {
        family.name for family in text_string_to_metric_families(said("metrics", env=settings))
    }
    assert {"lastword_ledger_up", "lastword_runs_stale", "lastword_runs_completed"} <= families


def rows(settings: dict[str, str], table: str = "lastword_run") -> int:
    ledger = open_ledger(f"sqlite:///{settings['LASTWORD_DATA_DIR']}/lastword.db")
    with ledger.session():
        [row] = ledger.execute(f"SELECT COUNT(*) AS n FROM {table}")
    ledger.close()
    return int(row["n"])


@pytest.mark.parametrize(
    ("setting", "text", "words"),
    [
        ("colour", "red", ["LASTWORD_COLOUR: unknown key; expected one of data_dir"]),
        ("lease_ttl", "soon", ["LASTWORD_LEASE_TTL is 'soon'", "a number of seconds above 0"]),
        ("database_url", f"mysql://app:{PASSWORD}@db/app", ["(hidden)", "sqlite://", "postgresql"]),
        ("broker_url", f"redis://:{PASSWORD}@redis:port", ["(hidden)", "redis://", "amqp://"]),
        ("config", "/nowhere/lastword.toml", ["/nowhere/lastword.toml cannot be read", "set LAST"]),
    ],
)
def test_a_wrong_configuration_is_one_line(setting: str, text: str, words: list[str]) -> None:
    line = complaint(2, "runs", "list", env=environment(**{setting: text}))
    assert [word for word in words if word not in line] == []


@pytest.mark.parametrize("arguments", [("migrate",), ("runs", "list")])
def test_a_postgresql_that_does_not_answer_is_one_line(arguments: tuple[str, ...]) -> None:
    env = environment(database_url=f"postgresql://app:{PASSWORD}@{NOWHERE}/app")
    line = complaint(1, *arguments, env=env)
    assert f"postgresql://app@{NOWHERE}/app does not answer" in line
    assert "check that the database runs and that LASTWORD_DATABASE_URL is right" in line


@pytest.mark.parametrize("command", ["worker", "scheduler"])
def test_a_redis_that_does_not_answer_is_one_line(settings: dict[str, str], command: str) -> None:
    env = {**settings, "LASTWORD_BROKER_URL": f"redis://app:{PASSWORD}@{NOWHERE}/0"}
    line = complaint(1, command, env=env)
    assert f"the broker at redis://app@{NOWHERE}/0 does not answer" in line
    assert "LASTWORD_BROKER_URL" in line


def test_a_worker_without_its_module_is_one_line(settings: dict[str, str]) -> None:
    for name in ("nope_mod", "nope.mod:broker"):
        assert "there is no module 'nope" in complaint(2, "worker", name, env=settings)


def test_up_says_in_one_line_that_its_redis_does_not_answer(tmp_path: Path) -> None:
    env = environment(data_dir=tmp_path, broker_url=f"redis://app:{PASSWORD}@{NOWHERE}/0")
    assert "does not answer" in complaint(1, "up", env=env)


def test_check_says_what_is_well_and_fails_at_what_is_not(settings: dict[str, str]) -> None:
    assert "broker: unix://" in said("check", env=settings)
    done = lastword("check", env={**settings, "LASTWORD_BROKER_URL": f"redis://{NOWHERE}"})
    assert done.returncode == 1
    assert "is reachable and current" in done.stdout
    [line] = done.stderr.splitlines()
    assert "does not answer" in line


def test_an_embedded_broker_without_an_owner_is_one_line(settings: dict[str, str]) -> None:
    env = {**settings, "LASTWORD_BROKER_URL": "embedded"}
    assert "run `lastword up` there first" in complaint(1, "scheduler", env=env)


@pytest.mark.parametrize(
    "command", [("runs", "list"), ("workers", "list"), ("start", "x"), ("worker",)]
)
def test_a_missing_schema_is_one_line(empty_database_url: str, command: tuple[str, ...]) -> None:
    line = complaint(1, *command, env=environment(database_url=empty_database_url))
    assert "lacks" in line
    assert line.endswith("run `lastword migrate`")


@pytest.mark.parametrize("command", [("runs", "list"), ("migrate",), ("scheduler",)])
def test_a_newer_schema_is_one_line(
    ledger: Ledger, database_url: str, command: tuple[str, ...]
) -> None:
    with ledger.transaction():
        ledger.execute(
            "INSERT INTO lastword_schema_migration (name, applied) "
            "VALUES ('9999_contract_future', '2030-01-01 00:00:00')"
        )
    line = complaint(1, *command, env=environment(database_url=database_url))
    assert "9999_contract_future" in line
    assert "upgrade Lastword" in line


def test_a_folder_that_is_not_there_or_none_at_all_is_one_line(tmp_path: Path) -> None:
    assert "does not exist" in complaint(
        1, "runs", "list", env=environment(data_dir=tmp_path / "x")
    )
    (tmp_path / "file").touch()
    env = environment(data_dir=tmp_path / "file" / "x")
    assert "Not a directory" in complaint(1, "migrate", env=env)
    assert "Not a directory" in complaint(1, "up", env=env)


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("--nonsense",),
        ("runs", "list", "--status", "asleep"),
        ("runs", "show"),
        ("start",),
        ("up", "--workers", "0"),
    ],
)
def test_wrong_words_are_one_line_that_names_the_help(arguments: tuple[str, ...]) -> None:
    assert "--help`." in complaint(2, *arguments, env=environment())


def test_migrating_twice_changes_nothing_the_second_time(empty_database_url: str) -> None:
    env = environment(database_url=empty_database_url)
    first, second = said("migrate", env=env), said("migrate", env=env)
    assert "applied lastword/0001_ledger" in first
    assert [line for line in second.splitlines() if not line.endswith("is current")] == []


def test_runs_are_listed_shown_and_cancelled_as_one_json_value(
    ledger: Ledger, database_url: str
) -> None:
    env = environment(database_url=database_url)
    assert value("runs", "list", env=env) == []
    scene = Scene(ledger)
    claimed, queued = scene.accept(), scene.accept()
    scene.claim(claimed, scene.worker())
    assert [run["id"] for run in value("runs", "list", env=env)] == [queued, claimed]
    assert [run["id"] for run in value("runs", "list", "--status", "running", env=env)] == [claimed]
    assert value("runs", "show", claimed, env=env)["attempts"][0]["number"] == 1
    assert value("runs", "cancel", queued, env=env) == {"run_id": queued, "result": "cancelled"}
    assert scene.row(queued)["outcome"] == "cancelled"
    again = complaint(1, "runs", "cancel", queued, env=env)
    assert "is completed/cancelled; expected a run that is still queued" in again
    asked = value("runs", "cancel", claimed, env=env)
    assert asked == {"run_id": claimed, "result": "requested"}
    done_again = value("runs", "retry", queued, env=env)
    assert (done_again["result"], done_again["retry_of"]) == ("accepted", queued)
    assert "expected a completed run" in complaint(2, "runs", "retry", claimed, env=env)
    [worker] = value("workers", "list", env=env)
    # It was only booted: after a while without a tick it is shown as not ticking.
    assert worker["lease"] in {"live", "not_ticking"}
    assert worker["pid"] == 1


def test_a_run_that_is_not_there_is_one_line(settings: dict[str, str]) -> None:
    for verb in ("show", "cancel"):
        assert "no run 'nope'; see" in complaint(1, "runs", verb, "nope", env=settings)


def test_people_get_tables(settings: dict[str, str]) -> None:
    assert said("runs", "list", env=settings) == "no run fits\n"
    assert said("workers", "list", env=settings) == "no worker yet\n"
    assert said("tenants", "list", env=settings) == "no tenant yet\n"
    matrix = said("operations", "list", env=settings)
    assert len(matrix.splitlines()) > 12
    [line] = [line for line in matrix.splitlines() if line.startswith("restore.execute ")]
    shown = "yes 1800/2700/7200 300/7200 0 (2705) fail (1 redispatch worker, bridge, 18000 -"
    assert line.split() == ["restore.execute", *shown.split()]


def test_operations_are_listed_with_their_derived_policy() -> None:
    listed = {row["operation"]: row for row in value("operations", "list", env=environment())}
    assert len(listed) == 12
    sync, restore = listed["policy.sync"], listed["restore.execute"]
    assert (sync["on_worker_lost"], sync["direct_bridge"], sync["breaks"]) == (
        "redispatch",
        True,
        [],
    )
    # Four tries of 605 s, and backoffs of at most 4, 8 and 16 s.
    assert (sync["retries_within"], sync["longest_backoff"]) == (4 * 605 + 28, 16)
    # And an hour in which the provider may ask it to wait.
    assert sync["truth_within"] == 6 * (3600 + 1800) + 3 * 60 + 3600
    paths = ["worker", "bridge", "generic", "adapter", "operator"]
    assert (restore["max_retries"], restore["terminal_truth_paths"]) == (0, paths)


def test_what_a_policy_breaks_is_shown_with_it(tmp_path: Path) -> None:
    file = tmp_path / "lastword.toml"
    file.write_text('[operations."policy.sync"]\nexpected_max_runtime = 700\n')
    listed = value("operations", "list", env=environment(config=file))
    assert {row["operation"]: row["breaks"] for row in listed if row["breaks"]} == {
        "policy.sync": ["runtime-in-limit"]
    }


def test_an_operation_that_is_switched_off_cannot_be_started(
    settings: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "lastword.toml"
    file.write_text('[operations."restore.execute"]\nenabled = false\n')
    off = {**settings, "LASTWORD_CONFIG": str(file)}
    line = complaint(2, "start", "restore.execute", env=off)
    assert "'restore.execute' is not offered in this deployment" in line
    assert "enabled = true" in line
    assert rows(settings) == 0


def test_tenants_are_added_once_and_listed_whatever_their_names(settings: dict[str, str]) -> None:
    for tenant in ("contoso", "[/x]"):
        assert said("tenants", "add", tenant, env=settings) == f"added tenant {tenant}\n"
    assert "'contoso' exists already" in complaint(1, "tenants", "add", "contoso", env=settings)
    listed = value("tenants", "list", env=settings)
    assert [tenant["tenant_id"] for tenant in listed] == ["[/x]", "contoso"]
    assert "[/x]" in said("tenants", "list", env=settings)
    for wrong in ("", "a\nb", "x" * 65):
        assert "expected 1 to 64 that can be" in complaint(2, "tenants", "add", wrong, env=settings)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("policy.snyc",), "'policy.snyc' has no policy; expected one of backup_schedule_run"),
        (("policy.sync", "--tenant", "nope"), "no tenant 'nope'; see `lastword tenants list`"),
        (("policy.sync",), "without a tenant; expected the id of a tenant"),
        (
            ("policy.sync", "--tenant", "nope", "--input", "colour=1"),
            "do not fit operation 'policy.sync'",
        ),
        (
            ("policy.sync", "--tenant", "nope", "--app", "lastword_jobs.application:nix"),
            "has no broker 'nix'",
        ),
        (("policy.sync", "--app", "no_such_module"), "cannot be imported"),
        (("policy.sync", "--tenant", "\udcff"), "is not UTF-8"),
        (("policy.sync", "--input", "types=NaN"), "input 'types' of type float has no JSON form"),
        (("policy.sync", "--input", "types"), "input 'types'; expected KEY=VALUE"),
        (("policy.sync", "--input", "=x"), "input '=x'; expected KEY=VALUE"),
    ],
)
def test_a_start_that_cannot_be_is_one_line_and_writes_nothing(
    settings: dict[str, str], arguments: tuple[str, ...], words: str
) -> None:
    assert words in complaint(2, "start", *arguments, env=settings)
    assert (rows(settings), rows(settings, "lastword_event")) == (0, 0)
    with redis.Redis.from_url(settings["LASTWORD_BROKER_URL"]) as client:
        assert client.keys("*") == []
