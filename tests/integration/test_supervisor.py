"""The supervisor of `up` and `demo`: restarts what dies, leaves nothing, has one owner a folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lastword.errors import LastwordError
from lastword.supervisor import Supervisor, interruptible, sole_owner
from tests.processes import alive, environment, processes_of
from tests.support import until

#: A small, long-lived command that needs no ledger.
SERVER = ("graph-server", "--tenant", "contoso=S")

OWNER = """
import signal, sys
from pathlib import Path
from lastword.supervisor import Supervisor
with Supervisor({}, Path(sys.argv[1]) / "logs") as supervisor:
    for number in (1, 2):
        supervisor.run(f"graph-{number}", "graph-server", "--tenant", "contoso=S")
    print(*supervisor.pids().values(), flush=True)
    signal.pause()
"""


def serving(log: Path, times: int = 1) -> Callable[[], bool]:
    """Whether a server has said its URL so many times in its log."""
    return lambda: log.exists() and log.read_text().count("http://127.0.0.1:") >= times


def in_group(group: int) -> list[int]:
    members = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and alive(int(entry.name)):
            try:
                if os.getpgid(int(entry.name)) == group:
                    members.append(int(entry.name))
            except ProcessLookupError:
                continue
    return members


def test_a_killed_process_is_started_again(tmp_path: Path) -> None:
    with Supervisor({}, tmp_path) as supervisor:
        supervisor.run("graph", *SERVER)
        until(serving(tmp_path / "graph.log"))
        killed = supervisor.pids()["graph"]
        os.kill(killed, signal.SIGKILL)
        fresh = until(lambda: pid if (pid := supervisor.pids()["graph"]) != killed else None)
        until(serving(tmp_path / "graph.log", times=2))
        assert alive(fresh)
        assert not alive(killed)


def test_a_process_that_ends_at_once_is_tried_again_and_again(tmp_path: Path) -> None:
    with Supervisor({}, tmp_path) as supervisor:
        supervisor.run("wrong", "no-such-command")
        log = tmp_path / "wrong.log"
        until(lambda: log.read_text().count("No such command 'no-such-command'") >= 2)


def test_a_process_gets_the_environment_it_was_given(tmp_path: Path) -> None:
    with Supervisor({"LASTWORD_COLOUR": "red"}, tmp_path) as supervisor:
        supervisor.run("graph", *SERVER)
        log = tmp_path / "graph.log"
        until(lambda: "LASTWORD_COLOUR: unknown key" in log.read_text())


def test_leaving_leaves_no_process_of_any_group(tmp_path: Path) -> None:
    with Supervisor({"MARK": str(tmp_path)}, tmp_path) as supervisor:
        for name in ("one", "two"):
            supervisor.run(name, *SERVER)
            until(serving(tmp_path / f"{name}.log"))
        groups = supervisor.pids().values()
        assert all(in_group(group) for group in groups)
    assert [in_group(group) for group in groups] == [[], []]
    assert processes_of(str(tmp_path)) == {}


def test_leaving_early_or_with_an_exception_leaves_no_process(tmp_path: Path) -> None:
    def body() -> None:
        with Supervisor({"MARK": str(tmp_path)}, tmp_path) as supervisor:
            supervisor.run("graph", *SERVER)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        body()
    assert processes_of(str(tmp_path)) == {}


def test_a_process_that_will_not_stop_is_killed(tmp_path: Path) -> None:
    with Supervisor({"MARK": str(tmp_path)}, tmp_path, stop_within_s=0.2) as supervisor:
        supervisor.run("graph", *SERVER)
        until(serving(tmp_path / "graph.log"))
        os.kill(supervisor.pids()["graph"], signal.SIGSTOP)
    assert processes_of(str(tmp_path)) == {}


def test_what_a_killed_process_left_of_its_own_children_is_ended_too(
    tmp_path: Path, redis_url: str
) -> None:
    """Dramatiq's parent cannot stop its worker process when it is killed itself."""
    settings = environment(data_dir=tmp_path, broker_url=redis_url)
    variables = {key: settings[key] for key in settings if key.startswith("LASTWORD_")}
    subprocess.run(
        [sys.executable, "-m", "lastword.cli", "migrate"], env=settings, check=True, timeout=60
    )
    with Supervisor({**variables, "MARK": str(tmp_path)}, tmp_path) as supervisor:
        supervisor.run("worker", "worker", "--threads", "1")
        parent = supervisor.pids()["worker"]
        children = until(lambda: [pid for pid in in_group(parent) if pid != parent])
        os.kill(parent, signal.SIGKILL)
        until(lambda: supervisor.pids()["worker"] != parent)
        assert [pid for pid in children if alive(pid)] == []
    # A sentinel outlives its worker for as long as it takes to report the death.
    until(lambda: not processes_of(str(tmp_path)), within_s=30, what="the sentinels to end")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of this")
def test_a_killed_owner_takes_its_processes_along(tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    pids = [int(word) for word in owner.stdout.readline().split()]
    for number in (1, 2):
        until(serving(tmp_path / "logs" / f"graph-{number}.log"))
    assert [alive(pid) for pid in pids] == [True, True]
    owner.kill()
    owner.communicate()
    until(lambda: not any(alive(pid) for pid in pids), what="the processes to end with their owner")


def test_a_folder_has_one_owner_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    with sole_owner(folder):
        with (
            pytest.raises(LastwordError, match="another command is running in") as caught,
            sole_owner(folder),
        ):
            pass
        assert "LASTWORD_DATA_DIR" in caught.value.mend
        with sole_owner(tmp_path / "other"):
            pass
    with sole_owner(folder):
        pass


def test_a_killed_owner_leaves_its_folder_free(tmp_path: Path) -> None:
    program = (
        "import signal, sys; from pathlib import Path; from lastword.supervisor import sole_owner\n"
        "with sole_owner(Path(sys.argv[1])):\n    print('held', flush=True); signal.pause()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == "held\n"
    with pytest.raises(LastwordError), sole_owner(tmp_path):
        pass
    owner.kill()
    owner.communicate()
    with sole_owner(tmp_path):
        pass


def test_sigterm_ends_through_the_clean_up_and_only_inside() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        before = signal.getsignal(number)
        with pytest.raises(KeyboardInterrupt), interruptible() as asked:
            signal.raise_signal(number)
        assert asked.is_set()
        assert signal.getsignal(number) is before


def test_a_signal_that_falls_into_a_destructor_is_not_lost_and_nothing_is_printed(
    capfd: pytest.CaptureFixture[str],
) -> None:
    class Dying:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    def wait() -> None:
        with interruptible() as asked:
            Dying()
            assert asked.is_set()
            threading.Event().wait(10)

    with pytest.raises(KeyboardInterrupt):
        wait()
    assert capfd.readouterr().err == ""
