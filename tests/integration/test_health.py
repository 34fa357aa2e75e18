"""Probes of health: true of dead threads, patient with busy ones, no reason to lose work."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from lastword.pulse import WELL, NotWell, Pulse, require_well
from lastword.reading.workers import list_workers
from tests.fleets import Fleet
from tests.processes import LASTWORD, environment, free_port, lastword
from tests.support import until


@pytest.fixture
def database_url(new_postgres_url: str) -> str:
    return new_postgres_url


@contextmanager
def systemd(folder: Path) -> Iterator[Callable[[], list[str]]]:
    """What listens to a service in systemd's place; gives what was said since the last time."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(str(folder / "notify"))
        line.setblocking(False)

        def heard() -> list[str]:
            said = []
            while True:
                try:
                    said += line.recv(65536).decode().splitlines()
                except BlockingIOError:
                    return said

        yield heard


@contextmanager
def running(fleet: Fleet, *arguments: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
    env = {**os.environ, **fleet.environment, **settings}
    with (
        (fleet.folder / "process.log").open("a") as log,
        subprocess.Popen(
            [*LASTWORD, *arguments], env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            text=True, start_new_session=True,
        ) as process,
    ):  # fmt: skip
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def asked(url: str, **headers: str) -> tuple[int, str]:
    """Status and text of an answer; 0 if there was none."""
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read().decode()
    except OSError:
        return 0, ""


def test_a_pulse_says_what_is_wrong_and_keeps_it_from_the_watchdog(tmp_path: Path) -> None:
    troubles: list[str] = []
    file = tmp_path / "health"
    with systemd(tmp_path) as heard:
        pulse = Pulse(
            lambda: list(troubles), every_s=0.02, file=file, address=str(tmp_path / "notify")
        )
        pulse.start()
        until(file.exists)
        assert require_well(file, within_s=60).startswith("well ")
        # The file is written before systemd is told.
        first: list[str] = []

        def hear_two() -> bool:
            first.extend(heard())
            return len(first) > 1

        until(hear_two)
        assert first[:2] == ["READY=1", f"STATUS={WELL}"]
        until(lambda: "WATCHDOG=1" in heard())
        troubles += ["the consumer of default died", "and more"]
        until(lambda: file.read_text() == "the consumer of default died; and more\n")
        with pytest.raises(NotWell, match="the consumer of default died; and more"):
            require_well(file, within_s=60)
        until(lambda: "STATUS=the consumer of default died; and more" in heard())
        heard()
        said: list[str] = []

        def hear_more() -> bool:
            said.extend(heard())
            return len(said) > 3

        until(hear_more)
        assert set(said) == {"STATUS=the consumer of default died; and more"}
        troubles.clear()
        until(lambda: "WATCHDOG=1" in heard())
        pulse.stopping()
        pulse.stop()
        last = heard()
        assert "STATUS=stopping" in last
        assert "STOPPING=1" not in last
    assert not file.exists()


def test_a_look_that_breaks_is_not_well(tmp_path: Path) -> None:
    pulse = Pulse(lambda: [str(1 / 0)], every_s=60, file=tmp_path / "health", address="")
    assert pulse.troubles() == ["it cannot look at itself (ZeroDivisionError)"]


def test_a_file_that_is_old_or_not_there_is_not_well(tmp_path: Path) -> None:
    file = tmp_path / "health"
    with pytest.raises(NotWell, match="cannot be read: No such file or directory; the process"):
        require_well(file, within_s=60)
    file.write_text(f"{WELL}\n")
    os.utime(file, (time.time() - 100, time.time() - 100))
    with pytest.raises(NotWell, match="was not renewed for 100 s; expected 90 at most"):
        require_well(file, within_s=90)
    file.write_text("")
    with pytest.raises(NotWell, match=r"\(nothing\)"):
        require_well(file, within_s=90)


def test_a_worker_says_that_it_is_well_until_a_consumer_of_it_dies(fleet: Fleet) -> None:
    file = fleet.folder / "health"
    with systemd(fleet.folder) as heard:
        settings = {
            "LASTWORD_HEALTH_FILE": str(file),
            "NOTIFY_SOCKET": str(fleet.folder / "notify"),
        }
        with running(fleet, "worker", "tests.fleet", **settings) as worker:
            until(file.exists)
            well = lastword("healthy", str(file), env=environment())
            assert (well.returncode, well.stderr) == (0, "")
            until(lambda: "WATCHDOG=1" in heard())
            fleet.start("lose_consumer")
            # It says so, ends by itself in good order, and whatever keeps it starts another.
            seen = until(lambda: text if (text := _read(file)) not in (f"{WELL}\n", "") else None)
            assert seen == "the consumer of default died\n"
            worker.wait(30)
    assert not file.exists()
    sick = lastword("healthy", str(file), env=environment())
    assert (sick.returncode, sick.stdout) == (1, "")
    assert "has not started, or has ended" in sick.stderr


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""


def test_a_draining_worker_is_well_and_one_that_is_held_is_not(fleet: Fleet) -> None:
    file, go_on = fleet.folder / "health", fleet.folder / "go-on"
    settings = {"LASTWORD_HEALTH_FILE": str(file), "LASTWORD_WORKER_SHUTDOWN_TIMEOUT": "30"}
    with running(fleet, "worker", "tests.fleet", **settings) as worker:
        run_id = fleet.start("work", until_file=str(go_on))
        pid = int(fleet.running(run_id)["pid"])
        os.kill(pid, signal.SIGSTOP)
        until(lambda: _is_older(file, 1.0))
        with pytest.raises(NotWell, match="was not renewed"):
            require_well(file, within_s=0.9)
        os.kill(pid, signal.SIGCONT)
        worker.terminate()
        until(lambda: list_workers(fleet.scene.ledger)[0]["state"] == "draining")
        before = file.stat().st_mtime_ns
        until(lambda: file.stat().st_mtime_ns > before, what="the file to be renewed in the drain")
        assert require_well(file, within_s=30)
        go_on.touch()
        assert worker.wait(30) == 0


def _is_older(file: Path, seconds: float) -> bool:
    return file.exists() and time.time() - file.stat().st_mtime > seconds


def test_two_processes_cannot_share_a_health_file(fleet: Fleet) -> None:
    env = {**os.environ, **fleet.environment, "LASTWORD_HEALTH_FILE": str(fleet.folder / "health")}
    done = lastword("worker", "tests.fleet", "--processes", "2", env=env)
    assert (done.returncode, done.stdout) == (2, "")
    assert "cannot share a health file; expected --processes 1" in done.stderr


def test_a_scheduler_is_well_without_its_ledger_and_not_ready(
    fleet: Fleet, database_url: str, postgres_url: str
) -> None:
    url = f"http://127.0.0.1:{(port := free_port())}"
    with running(fleet, "scheduler", LASTWORD_METRICS_ADDR=f"127.0.0.1:{port}"):
        until(lambda: asked(f"{url}/readyz") == (200, "well\n"))
        assert asked(f"{url}/healthz") == (200, "well\n")
        assert asked(f"{url}/")[0] == 404
        metrics = asked(f"{url}/metrics")[1]
        assert "lastword_ledger_up 1.0" in metrics
        # Workers of this fleet are allowed to be unsafe; so is this scheduler, and it says so.
        assert 'lastword_unsafe_timing_processes{rule="limit-in-drain"} 1.0' in metrics
        assert 'lastword_unsafe_timing_processes{rule="beats-in-lease"} 0.0' in metrics
        _let_nobody_in(database_url, postgres_url)
        status, said = until(
            lambda: answer if (answer := asked(f"{url}/readyz"))[0] == 503 else None
        )
        assert (status, "does not answer" in said) == (503, True)
        # Killing it would not help.
        assert asked(f"{url}/healthz") == (200, "well\n")


@pytest.mark.parametrize(
    ("process", "setting"),
    [("scheduler", "LASTWORD_METRICS_ADDR"), ("web", "LASTWORD_WEB_ADDR")],
)
def test_only_whoever_has_the_token_may_scrape(fleet: Fleet, process: str, setting: str) -> None:
    address = f"127.0.0.1:{free_port()}"
    url = f"http://{address}/metrics"
    more = {setting: address, "LASTWORD_METRICS_TOKEN": "made for this test"}
    with running(fleet, process, **more):
        until(lambda: asked(url)[0] == 403, what="a listener that refuses")
        for shown in ("Bearer made for that test", "Basic made for this test", "Bearer"):
            assert asked(url, Authorization=shown)[0] == 403
        # Prometheus asks for it under the address of the process, whatever the web is called.
        right = {"Authorization": "Bearer made for this test", "Host": "10.1.2.3:8000"}
        status, said = asked(url, **right)
        assert (status, "lastword_ledger_up 1.0" in said) == (200, True)


def test_the_web_is_well_without_its_ledger_and_not_ready(
    fleet: Fleet, database_url: str, postgres_url: str
) -> None:
    url = f"http://127.0.0.1:{(port := free_port())}"
    with running(fleet, "web", LASTWORD_WEB_ADDR=f"127.0.0.1:{port}") as web:
        until(lambda: asked(f"{url}/readyz") == (200, "well\n"))
        assert asked(f"{url}/healthz") == (200, "well\n")
        _let_nobody_in(database_url, postgres_url)
        assert asked(f"{url}/readyz")[0] == 503
        assert asked(f"{url}/healthz") == (200, "well\n")
        web.terminate()
        assert web.wait(15) in {0, -signal.SIGTERM}


def _let_nobody_in(database_url: str, postgres_url: str) -> None:
    name = urlsplit(database_url).path.strip("/")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
        )
