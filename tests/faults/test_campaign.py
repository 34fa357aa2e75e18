"""The parts of the campaign: a plan that repeats itself, a checker that finds what is false."""

from __future__ import annotations

import copy
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.campaign.__main__ import missed_of
from tests.faults.campaign.checker import Checker, Evidence
from tests.faults.campaign.harm import HARMS
from tests.faults.campaign.plan import DATABASES, FAULTS, episode, fault_of, round_of
from tests.faults.campaign.proxy import Proxy
from tests.faults.campaign.table import BEGIN, END, Result, Table

Tables = dict[str, list[dict[str, Any]]]

RUN, WORKER, PID = "run-1", "worker-1", 4711

#: What the jobs of a sound ledger wrote: word, run, attempt, process, step.
JOURNAL = [
    ["begin", RUN, "1", str(PID), "0"],
    ["effect", RUN, "1", str(PID), "0"],
    ["end", RUN, "1", str(PID), "0"],
]


def sound() -> Tables:
    """A ledger with one run that succeeded at once."""
    event = {"run_id": RUN, "attempt": 1, "worker_id": WORKER, "reason": None}
    return {
        "run": [
            {
                "id": RUN,
                "status": "completed",
                "outcome": "succeeded",
                "reason": None,
                "payload": json.dumps({"kwargs": {"count": 1}}),
                "attempt": 1,
                "retries": 0,
                "lost_deliveries": 0,
                "max_queue_wait_ms": 90_000,
                "running_stale_ms": 90_000,
                "created_at": 1_000,
                "completed_at": 2_000,
                "summary_counts": '{"processed": 1}',
                "actor_name": "steps",
                "initiator_id": None,
            }
        ],
        "event": [
            {"id": 1, "kind": "accepted", "terminal": False, "outcome": "pending", **event},
            {"id": 2, "kind": "claimed", "terminal": False, "outcome": "pending", **event},
            {"id": 3, "kind": "completed", "terminal": True, "outcome": "succeeded", **event},
        ],
        "attempt": [{"run_id": RUN, "number": 1, "started_at": 1_100, "ended_at": 2_000}],
        "worker": [{"id": WORKER, "pid": PID}],
        "notification": [],
    }


def found(tables: Tables, journal: list[list[str]] | None = None, **facts: Any) -> set[str]:
    """The invariants that the checker finds broken."""
    known = JOURNAL if journal is None else journal
    evidence = Evidence(tables=tables, journal=known, accepted=facts.pop("accepted", [RUN]))
    for name, value in facts.items():
        object.__setattr__(evidence, name, value)
    return {violation.invariant for violation in Checker(evidence).violations()}


def ended(reason: str) -> Callable[[Tables], object]:
    """A run that failed for a reason."""

    def falsify(tables: Tables) -> None:
        tables["run"][0].update(outcome="failed", reason=reason)
        tables["event"][2].update(outcome="failed", reason=reason)

    return falsify


def of_run(**values: Any) -> Callable[[Tables], object]:
    """A run's row that says something else."""
    return lambda tables: tables["run"][0].update(values)


def twice(table: str, **values: Any) -> Callable[[Tables], object]:
    """A last row that is there once more, a little different."""
    return lambda tables: tables[table].append({**tables[table][-1], **values})


FALSE: dict[str, tuple[str, Callable[[Tables], object]]] = {
    "a run that is open": ("I1", of_run(status="running")),
    "a last word that came too late": ("I1", of_run(completed_at=10_000_000)),
    "two last words": ("I2", twice("event", id=4)),
    "a run that went on": ("I2", twice("event", id=4, kind="claimed", terminal=False)),
    "a row that its event contradicts": ("I2", of_run(outcome="failed", reason="attempt_failed")),
    "no last word": ("I2", lambda tables: tables["event"].pop()),
    "a failure without a reason code": ("I3", ended("It broke!")),
    "an exception's words": ("I3", of_run(failures="the-words-of-an-exception")),
    "no payload": ("I4", of_run(payload=None)),
    "an attempt that is missing": ("I5", of_run(attempt=2)),
    "an attempt that was claimed twice": ("I5", twice("event", id=0, kind="claimed")),
    "two attempts at once": ("I5", twice("attempt", number=2, started_at=1_500)),
    "a loss of somebody who was well": ("I6", ended("worker_lost")),
    "a message that was not gone": ("I6", ended("message_lost")),
    "what was not stale": ("I6", ended("stale_running")),
    "too many workers lost": ("I8", of_run(lost_deliveries=4)),
    "a count that is none": ("I9", of_run(summary_counts='{"processed": "many"}')),
    "a notification of a system's run": (
        "I10",
        lambda tables: tables["notification"].append({"run_id": RUN}),
    ),
}


def test_a_sound_ledger_breaks_nothing() -> None:
    assert found(sound()) == set()


@pytest.mark.parametrize("name", FALSE)
def test_the_checker_finds(name: str) -> None:
    invariant, falsify = FALSE[name]
    tables = copy.deepcopy(sound())
    falsify(tables)
    assert invariant in found(tables)


def test_the_checker_finds_a_success_whose_attempt_never_returned() -> None:
    assert "I3" in found(sound(), journal=JOURNAL[:2])


def test_the_checker_finds_a_run_that_was_accepted_and_is_nowhere() -> None:
    assert "I4" in found(sound(), accepted=[RUN, "run-2"])


def test_the_checker_finds_an_end_that_the_ledger_does_not_know() -> None:
    tables = sound()
    tables["attempt"][0]["ended_at"] = None
    assert "I7" in found(tables)


def test_the_checker_finds_a_run_that_was_begun_too_often() -> None:
    assert "I8" in found(sound(), journal=[*JOURNAL, *[JOURNAL[0]] * 3])


def test_the_checker_finds_effects_that_were_had_twice_or_left_out() -> None:
    assert found(sound(), journal=[*JOURNAL, JOURNAL[1]]) == {"effects"}
    assert found(sound(), journal=[JOURNAL[0], JOURNAL[2]]) == {"effects"}


def test_the_checker_finds_work_that_was_begun_twice_and_must_not_be() -> None:
    tables = sound()
    tables["run"][0]["actor_name"] = "once"
    assert found(tables, journal=[JOURNAL[0], *JOURNAL]) == {"effects"}


def test_whoever_was_harmed_may_be_called_lost() -> None:
    tables = sound()
    ended("worker_lost")(tables)
    assert found(tables, harmed=frozenset({PID})) == set()


def test_a_message_may_be_called_stranded_only_where_clocks_jump_and_never_lost_for_that() -> None:
    stranded, lost = sound(), sound()
    ended("message_stranded")(stranded)
    ended("message_lost")(lost)
    assert found(stranded) == {"I6"}
    assert found(stranded, may_strand_messages=True) == set()
    assert found(lost, may_strand_messages=True) == {"I6"}


def test_every_fault_is_planned_on_its_databases_and_can_be_done() -> None:
    assert set(HARMS) == {fault.name for fault in FAULTS}
    two = [*round_of(1), *round_of(2)]
    assert {(one.fault.name, one.database) for one in two} == {
        (fault.name, database) for fault in FAULTS for database in fault.databases
    }


def test_an_episode_is_the_same_whenever_it_is_planned() -> None:
    fault = fault_of("sigkill")
    assert episode(7, fault, DATABASES[0]) == episode(7, fault, DATABASES[0])
    assert episode(7, fault, DATABASES[0]) != episode(8, fault, DATABASES[0])


def test_what_was_asked_for_and_not_run_is_missed_however_much_was_asked_for() -> None:
    assert missed_of(Table(), ["gil", "clock"]) == ["gil", "clock"]
    assert missed_of(Table(left_out={"gil": "no root"}), ["gil", "clock"]) == ["clock"]
    assert missed_of(Table(), []) == [fault.name for fault in FAULTS]


def test_the_table_replaces_what_was_written_before(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Before\n{BEGIN}\nold\n{END}\nafter\n")
    table = Table([Result(episode(1, fault_of("none"), "sqlite"), 2, [0.5, 1.5])])
    table.write(page)
    table.write(page)
    text = page.read_text()
    assert text.startswith("# Before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert text.count("| none | nothing | 1 | 2 | 0 | 0 | 0 | 0 | 1.50 | 1.50 | 1.50 |") == 1


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Proxy]:
    """A proxy before a server that answers with what it is told."""
    file = str(tmp_path / "echo.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(file)
    listener.listen()

    def echo() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                while told := connection.recv(100):
                    connection.sendall(told)

    server = threading.Thread(target=echo)
    server.start()
    with Proxy(file) as proxy:
        yield proxy
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    server.join()


def test_a_network_passes_on_and_holds_and_goes_on(network: Proxy) -> None:
    with socket.create_connection(("127.0.0.1", network.port), timeout=5) as client:
        client.sendall(b"one")
        assert client.recv(10) == b"one"
        network.hold()
        client.sendall(b"two")
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(10)
        network.heal()
        client.settimeout(5)
        assert client.recv(10) == b"two"


def test_a_network_that_is_cut_ends_what_is_there_and_refuses_more(network: Proxy) -> None:
    with socket.create_connection(("127.0.0.1", network.port), timeout=5) as client:
        client.sendall(b"one")
        assert client.recv(10) == b"one"
        network.cut()
        assert client.recv(10) == b""
    with socket.create_connection(("127.0.0.1", network.port), timeout=5) as client:
        assert client.recv(10) == b""
