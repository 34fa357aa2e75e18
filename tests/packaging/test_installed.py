"""The wheel in an empty environment of every supported Python, beside somebody's application."""

from __future__ import annotations

import ast
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lastword.storage.opening import open_ledger
from tests.packaging.environments import ROOT, Environment, build, clean, environment_on
from tests.packaging.interpreters import SUPPORTED
from tests.support import Scene, until

CONSUMER = Path(__file__).parent / "consumer"

#: Everything that `pip install lastword` brings. A line more is a decision.
PULLED = {
    *("lastword", "dramatiq", "redis", "peewee", "apscheduler", "tzlocal", "tzdata", "cronsim"),
    *("prometheus-client", "click", "rich", "markdown-it-py", "mdurl", "pygments", "structlog"),
    "uuid-utils",
}

#: Megabytes of all of it, compiled.
MOST_MB = 60

#: How much processor time `import lastword_middleware` may take beside Dramatiq's Redis broker: in
#: milliseconds, or as a share of Dramatiq's own where the machine is slow or busy.
MOST_MS, MOST_SHARE = 150, 1.0

TRIES = 10

OURS = ", lastword_middleware"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module", params=SUPPORTED)
def environment(
    request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Environment:
    folder = tmp_path_factory.mktemp("environment") / str(request.param)
    return environment_on(request.param, wheel, folder)


@pytest.fixture(scope="module")
def one_environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """That of this Python, for what is the same on all of them."""
    version = "{}.{}".format(*sys.version_info)
    return environment_on(version, wheel, tmp_path_factory.mktemp("one") / version)


@pytest.fixture
def application(tmp_path: Path) -> Path:
    """Somebody's application, in a folder of its own."""
    return Path(shutil.copytree(CONSUMER, tmp_path / "application"))


def test_it_brings_what_is_listed_and_nothing_else(environment: Environment) -> None:
    assert environment.installed() == PULLED
    files = [file for file in environment.folder.rglob("*") if file.is_file()]
    assert sum(file.lstat().st_size for file in files) < MOST_MB * 1_000_000


def test_an_application_with_packages_of_the_same_names_is_tracked(
    environment: Environment, application: Path, redis_url: str
) -> None:
    ledger_url = f"sqlite:///{application / 'ledger.db'}"
    settings = {
        "LASTWORD_DATABASE_URL": ledger_url,
        "LASTWORD_BROKER_URL": redis_url,
        "LASTWORD_CONFIG": str(application / "lastword.toml"),
        "LASTWORD_METRICS_ADDR": "127.0.0.1:0",
        # What a later Python will not have is told. (A command that ends closes nothing first.)
        "PYTHONWARNINGS": "default,ignore::ResourceWarning",
    }
    migrated = environment.run("lastword", "migrate", cwd=application, env=settings)
    assert (migrated.returncode, migrated.stderr) == (0, "")
    worker, scheduler = ("worker", "jobs.reports", "--threads", "1"), ("scheduler",)
    with (
        serving(environment, application, settings, *worker) as log,
        serving(environment, application, settings, *scheduler) as more,
    ):
        code = (
            "from jobs.reports import build_report, order_report; "
            "print(build_report.send(3).message_id, order_report(4).run_id)"
        )
        started = environment.run("python", "-c", code, cwd=application, env=settings)
        assert started.stderr == ""
        scene = Scene(open_ledger(ledger_url))
        outcomes = [scene.completed(run_id)["outcome"] for run_id in started.stdout.split()]
        assert outcomes == ["succeeded", "succeeded"]
        until(lambda: "scheduler_started" in more.read_text())
        scene.ledger.close()
    assert f"built on {environment.folder.name}" in log.read_text()
    assert "Warning" not in log.read_text() + more.read_text()


@contextmanager
def serving(
    environment: Environment, folder: Path, settings: dict[str, str], *arguments: str
) -> Iterator[Path]:
    """One of the long commands, until it has ended well; its log."""
    log = folder / f"{arguments[0]}.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(environment.bin / "lastword"), *arguments],
            cwd=folder,
            env=clean(settings),
            stdout=output,
            stderr=output,
        )
    try:
        yield log
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def test_an_application_is_checked_against_the_types(
    one_environment: Environment, application: Path
) -> None:
    (application / "wrong.py").write_text(
        "import lastword\nfrom lastword_middleware import install\n\n"
        "lastword.start(1)\ninstall('redis')\nlastword.current_run().progress(processed='many')\n"
    )
    strictly = ("-m", "mypy", "--strict", "--no-incremental", "--python-executable")
    done = subprocess.run(
        [
            sys.executable,
            *strictly,
            one_environment.bin / "python",
            "jobs",
            "middleware",
            "wrong.py",
        ],
        cwd=application,
        env=clean(),
        capture_output=True,
        text=True,
        timeout=110,
    )
    errors = [line for line in done.stdout.splitlines() if "error:" in line]
    assert [line.split(":")[:2] for line in errors] == [["wrong.py", number] for number in "456"]


def test_importing_it_costs_less_than_importing_dramatiq(one_environment: Environment) -> None:
    dramatiq = "import dramatiq.brokers.redis"
    pairs = [
        (
            processor_ms(one_environment, dramatiq),
            processor_ms(one_environment, f"{dramatiq}{OURS}"),
        )
        for _ in range(TRIES)
    ]
    base = min(before for before, _ in pairs)
    more = min(after - before for before, after in pairs)
    assert more < max(MOST_MS, base * MOST_SHARE), sorted(after - before for before, after in pairs)


def processor_ms(environment: Environment, code: str) -> float:
    """Milliseconds of processor time of a new interpreter that does this."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = environment.run("python", "-I", "-c", code, cwd=environment.folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000


def test_it_imports_nothing_that_only_its_own_commands_need(one_environment: Environment) -> None:
    code = (
        "import sys, lastword_middleware; "
        "print([name for name in ('structlog', 'rich', 'click', 'apscheduler', 'lastword_jobs', "
        "'lastword_scheduler', 'prometheus_client', 'starlette') if name in sys.modules])"
    )
    done = one_environment.run("python", "-I", "-c", code, cwd=one_environment.folder)
    assert ast.literal_eval(done.stdout) == []


@pytest.mark.parametrize("command", ["worker", "scheduler"])
def test_help_is_there_before_anything_is_configured(
    one_environment: Environment, command: str, tmp_path: Path
) -> None:
    done = one_environment.run("lastword", command, "--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"lastword {command}" in done.stdout
    assert [*tmp_path.iterdir()] == []


def test_bash_completes_commands_of_every_floor(
    one_environment: Environment, tmp_path: Path
) -> None:
    script = "\n".join(
        [
            'eval "$(_LASTWORD_COMPLETE=bash_source lastword)"',
            "complete -p lastword",
            'typed() { COMP_WORDS=(lastword "$@"); COMP_CWORD=$#; COMPREPLY=()',
            '_lastword_completion lastword; echo "${COMPREPLY[@]}"; }',
            "typed sched; typed runs rec; typed runs list --prob",
        ]
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        cwd=tmp_path,
        env=clean({"PATH": f"{one_environment.bin}:/usr/bin:/bin"}),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    registered, *completed = done.stdout.splitlines()
    assert "_lastword_completion" in registered
    assert completed == ["scheduler schedules", "reconcile", "--problem"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_its_script(
    one_environment: Environment, shell: str, tmp_path: Path
) -> None:
    settings = {"_LASTWORD_COMPLETE": f"{shell}_source"}
    done = one_environment.run("lastword", cwd=tmp_path, env=settings)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"_LASTWORD_COMPLETE={shell}_complete" in done.stdout
