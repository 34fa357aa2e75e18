"""The examples for web frameworks: an order and its run, over HTTP, with real processes."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from lastword.storage.opening import open_ledger
from tests.processes import LASTWORD, environment, free_port, lastword
from tests.support import Scene, until

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"

SERVERS = {
    "fastapi": ("-m", "uvicorn", "fastapi_app:app", "--port", "{port}"),
    "flask": ("-m", "flask", "--app", "flask_app", "run", "--port", "{port}"),
    "django": ("shop.py", "runserver", "--noreload", "127.0.0.1:{port}"),
}

#: The folder of each, the module that declares the actors, and the file that has the orders.
OF = {
    "fastapi": ("orders", "shipping", "orders.db"),
    "flask": ("orders", "shipping", "orders.db"),
    "django": ("django_orders", "shop", "shop.db"),
}


@contextmanager
def process(command: list[str], folder: Path, env: dict[str, str]) -> Iterator[None]:
    """A process that lives as long as this is entered."""
    log = (folder / f"{command[-1].rpartition(':')[2]}.log").open("w")
    with log, subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log) as running:
        try:
            yield
        finally:
            running.terminate()
            running.wait(30)


@pytest.fixture(params=sorted(SERVERS))
def framework(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(framework: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLES / OF[framework][0], tmp_path / "app"))


@pytest.fixture
def env(folder: Path, redis_url: str) -> dict[str, str]:
    settings = environment(broker_url=redis_url, config="lastword.toml", data_dir=folder)
    env = {**settings, "PYTHONUNBUFFERED": "1"}
    done = lastword("migrate", env=env, cwd=folder)
    assert done.returncode == 0, done.stderr
    return env


@pytest.fixture
def orders(framework: str, folder: Path, env: dict[str, str]) -> Iterator[str]:
    """The address of the orders, and no worker yet."""
    if framework == "django":
        migrate = [sys.executable, "shop.py", "migrate"]
        subprocess.run(migrate, cwd=folder, env=env, check=True, timeout=60)
    port = free_port()
    command = [sys.executable, *(word.format(port=port) for word in SERVERS[framework])]
    with process(command, folder, env):
        until(lambda: answers(port), within_s=30, what="the server")
        yield f"http://127.0.0.1:{port}/orders"


def answers(port: int) -> bool:
    try:
        httpx.get(f"http://127.0.0.1:{port}/", timeout=5)
    except httpx.TransportError:
        return False
    return True


def ordered(framework: str, folder: Path) -> list[tuple[str, int]]:
    """What was ordered, and whether it was shipped."""
    table = "shop_order" if framework == "django" else '"order"'
    connection = sqlite3.connect(folder / OF[framework][2], timeout=10)
    try:
        return connection.execute(f"SELECT item, shipped FROM {table} ORDER BY id").fetchall()
    finally:
        connection.close()


def test_an_order_is_taken_with_its_run_or_not_at_all(
    framework: str, folder: Path, env: dict[str, str], orders: str
) -> None:
    refused = httpx.post(orders, json={"item": "unicorn"})
    taken = httpx.post(orders, json={"item": "kettle"})
    assert (refused.status_code, taken.status_code) == (409, 202), refused.text + taken.text
    assert ordered(framework, folder) == [("kettle", 0)]
    listed = lastword("runs", "list", "--json", env=env, cwd=folder)
    assert listed.stdout.count("order.ship") == 1

    ledger = open_ledger(f"sqlite:///{folder / 'orders.db'}")
    with process([*LASTWORD, "worker", OF[framework][1]], folder, env):
        assert Scene(ledger).completed(taken.json()["run"])["outcome"] == "succeeded"
    ledger.close()
    assert ordered(framework, folder) == [("kettle", 1)]


@pytest.mark.parametrize("framework", ["django"], indirect=True)
def test_what_a_crash_kept_from_being_started_is_started(
    framework: str, folder: Path, env: dict[str, str], orders: str
) -> None:
    # As it stands after a crash between the commit and the start.
    connection = sqlite3.connect(folder / "shop.db", timeout=10)
    with connection:
        connection.execute("INSERT INTO shop_order (item, shipped) VALUES ('teapot', 0)")
    connection.close()
    missing = [sys.executable, "shop.py", "start_missing"]
    for _ in range(2):
        subprocess.run(missing, cwd=folder, env=env, check=True, timeout=60)
    assert lastword("runs", "list", env=env, cwd=folder).stdout.count("order.ship") == 1
    with process([*LASTWORD, "worker", "shop"], folder, env):
        until(lambda: ordered(framework, folder) == [("teapot", 1)], within_s=30)
