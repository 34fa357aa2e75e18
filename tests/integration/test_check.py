"""`lastword check`, and the processes that refuse to start where it would find something."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from lastword.embedded import EmbeddedRedis
from lastword.storage.opening import open_ledger
from lastword.storage.schema import migrate
from tests.processes import environment, lastword
from tests.support import FLEET_OPERATIONS

#: Nothing listens there.
NOWHERE = "127.0.0.1:1"


@pytest.fixture
def settings(tmp_path: Path, redis_url: str) -> dict[str, str]:
    """A folder with a migrated SQLite ledger, and a Redis."""
    migrated(tmp_path)
    return environment(data_dir=tmp_path, broker_url=redis_url)


def migrated(folder: Path) -> None:
    ledger = open_ledger(f"sqlite:///{folder / 'lastword.db'}")
    migrate(ledger)
    ledger.close()


def complaint_of_check(*arguments: str, env: dict[str, str]) -> str:
    done = lastword("check", *arguments, env=env)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    return line


def test_check_of_the_defaults_is_well_before_anything_was_started(tmp_path: Path) -> None:
    done = lastword("check", env=environment(), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == [
        *("configuration", "timing", "actors", "ledger", "broker")
    ]
    assert list(tmp_path.iterdir()) == []


def test_check_says_everything_that_is_wrong_at_once(
    settings: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "lastword.toml"
    file.write_text(
        "[lastword]\nstop_wait = 620\nheartbeat_interval = 4\n"
        '[operations."policy.sync"]\nexpected_max_runtime = 700\n'
        '[operations."report.build"]\nlabel = "R"\ntime_limit = 60\n'
        "queued_stale_after = 60\nrunning_stale_after = 90\n"
    )
    env = {**settings, "LASTWORD_CONFIG": str(file), "LASTWORD_BROKER_URL": f"redis://{NOWHERE}"}
    done = lastword("check", env=env)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    expected = [
        "timing rule 1 (runtime-in-limit)",
        "timing rule 3 (beats-in-lease)",
        "timing rule 6 (drain-in-stop-wait)",
        'operation "report.build" is offered, and no actor of lastword_jobs.application does it',
        "does not answer",
    ]
    assert len(lines) == len(expected)
    assert [words for words, line in zip(expected, lines, strict=True) if words not in line] == []
    done = lastword("check", "--json", env=env)
    findings = {row["section"]: row["findings"] for row in json.loads(done.stdout)}
    assert {name: len(found) for name, found in findings.items()} == {
        "configuration": 0,
        "timing": 3,
        "actors": 1,
        "ledger": 0,
        "broker": 1,
    }
    assert findings["timing"][0]["rule"] == "runtime-in-limit"


def test_check_looks_at_the_actors_of_ones_own_application(
    settings: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "lastword.toml"
    file.write_text(f"[lastword]\nshipped_operations = false\n{FLEET_OPERATIONS}")
    env = {**settings, "LASTWORD_CONFIG": str(file)}
    done = lastword("check", "--app", "tests.fleet", env=env)
    assert (done.returncode, done.stderr) == (0, "")
    file.write_text(
        f'{file.read_text()}\n[operations."fleet.new"]\nlabel = "New"\n'
        "time_limit = 9\nqueued_stale_after = 30\nrunning_stale_after = 30\n"
    )
    line = complaint_of_check("--app", "tests.fleet:broker", env=env)
    assert 'operation "fleet.new" is offered, and no actor of tests.fleet:broker does it' in line
    file.write_text("[lastword]\nshipped_operations = false\n")
    line = complaint_of_check("--app", "tests.fleet", env=env)
    assert "operation 'fleet.work' has no policy" in line


def test_check_of_an_application_alone_says_once_that_the_shipped_operations_are_not_its_own(
    settings: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "lastword.toml"
    file.write_text(FLEET_OPERATIONS)
    env = {**settings, "LASTWORD_CONFIG": str(file)}
    line = complaint_of_check("--app", "tests.fleet", env=env)
    assert "12 operations that ship with Lastword are offered" in line
    assert "set `shipped_operations = false`" in line
    command = ("check", "--app", "tests.fleet", "--app", "lastword_jobs.application")
    done = lastword(*command, env=env)
    assert (done.returncode, done.stderr) == (0, "")


def test_check_without_an_application_says_so_where_nothing_that_ships_is_wanted(
    settings: dict[str, str],
) -> None:
    done = lastword("check", env={**settings, "LASTWORD_SHIPPED_OPERATIONS": "false"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "actors: no application was looked at; name yours with --app MODULE" in done.stdout


def test_check_finds_that_an_application_was_installed_with_another_configuration(
    settings: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "own.toml").write_text(FLEET_OPERATIONS)
    (tmp_path / "own_app.py").write_text(
        "import os, dramatiq, lastword_middleware\n"
        "from dramatiq.brokers.redis import RedisBroker\n"
        "broker = RedisBroker(url=os.environ['LASTWORD_BROKER_URL'])\n"
        "dramatiq.set_broker(broker)\n"
        f"lastword_middleware.install(broker, config={str(tmp_path / 'own.toml')!r})\n"
        "dramatiq.actor(lambda: None, actor_name='work', operation='fleet.work')\n"
    )
    env = {
        **settings,
        "PYTHONPATH": str(tmp_path),
        "LASTWORD_SHIPPED_OPERATIONS": "false",
    }
    line = complaint_of_check("--app", "own_app", env=env)
    assert 'an actor of own_app does operation "fleet.work", which has no policy here' in line
    assert "set LASTWORD_CONFIG to the file that the application is installed with" in line


def test_check_of_an_application_that_cannot_be_loaded_is_one_line(
    settings: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "broken_app.py").write_text("1 / 0\n")
    env = {**settings, "PYTHONPATH": str(tmp_path)}
    line = complaint_of_check("--app", "broken_app", env=env)
    assert "'broken_app' cannot be imported: ZeroDivisionError: division by zero" in line
    assert "No module named 'nope'" in complaint_of_check("--app", "nope", env=env)


def test_a_redis_that_throws_messages_away_is_found(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        env = environment(data_dir=tmp_path, broker_url=server.url)
        migrated(tmp_path)
        assert lastword("check", env=env).returncode == 0
        with redis.Redis.from_url(server.url) as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
        assert "maxmemory-policy allkeys-lru" in complaint_of_check(env=env)


def test_check_proves_the_chain_over_what_ships_and_says_where_it_does_not_hold(
    tmp_path: Path,
) -> None:
    folder = shutil.copytree("deploy", tmp_path / "deploy")
    done = lastword("check", "--deploy", str(folder), env=environment(), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "12 units in " in done.stdout
    assert "every worker is granted 2740 s at least" in done.stdout
    for platform in ("supervisor", "compose", "kubernetes"):
        shutil.rmtree(folder / platform)
    unit = folder / "systemd/lastword-worker@.service"
    unit.write_text(unit.read_text().replace("TimeoutStopSec=2740", "TimeoutStopSec=2729"))
    done = lastword("check", "--deploy", str(folder), env=environment(), cwd=tmp_path)
    assert done.returncode == 1
    drain, granted = done.stderr.splitlines()
    assert drain == (
        "lastword: deployment: systemd/lastword-worker@.service: TimeoutStopSec grants 2729 s; its "
        "worker_shutdown_timeout is 2710 s, and it needs 20 more to be gone; set TimeoutStopSec to "
        "at least 2730 s"
    )
    assert "it is told a stop_wait of 2730 s; TimeoutStopSec grants 2729 s" in granted
    unit.unlink()
    done = lastword("check", "--deploy", str(folder), env=environment(), cwd=tmp_path)
    assert "is granted nothing, for there is none" in done.stdout


@pytest.mark.parametrize("command", ["worker", "scheduler", "web"])
def test_what_is_unsafe_does_not_start_unless_it_is_allowed(
    settings: dict[str, str], command: str
) -> None:
    env = {**settings, "LASTWORD_STOP_WAIT": "600", "LASTWORD_LEASE_TTL": "5"}
    done = lastword(command, env=env)
    assert (done.returncode, done.stdout) == (2, "")
    first, second, mend = done.stderr.splitlines()
    assert "timing rule 3 (beats-in-lease)" in first
    assert "timing rule 6 (drain-in-stop-wait)" in second
    assert mend == "lastword: or start it as it is with --allow-unsafe-timing"


def test_an_application_in_the_current_folder_is_found_as_a_worker_finds_it(
    settings: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "lastword.toml").write_text(
        f"[lastword]\nshipped_operations = false\n{FLEET_OPERATIONS}"
    )
    (tmp_path / "app_of_this_folder.py").write_text("from tests.fleet import broker as broker\n")
    done = subprocess.run(
        # The script, as people have it: `python -m` would look into this folder by itself.
        [Path(sys.executable).with_name("lastword"), "check", "--app", "app_of_this_folder"],
        cwd=tmp_path,
        env={**settings, "LASTWORD_CONFIG": "lastword.toml", "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
