"""The timing chain of real objects: brokers, middleware, actors, the command line of a worker."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import dramatiq
import pytest
from dramatiq.broker import Broker
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import Callbacks, Middleware, Retries, TimeLimit

from lastword.config import Config
from lastword.timing import Rule, Violation
from lastword_middleware.chain import violations_of
from lastword_middleware.command_line import shutdown_timeout_s
from lastword_middleware.errors import TrackingError
from lastword_middleware.installing import install
from tests.fleets import Fleet
from tests.processes import LASTWORD
from tests.workers import StartWorker


class Nosy(Middleware):
    """An application's own, which looks at every message."""

    def after_process_message(self, *arguments: Any, **more: Any) -> None:
        pass


class Harmless(Middleware):
    """An application's own, which looks at nothing but the process."""

    def after_worker_boot(self, broker: Broker, worker: dramatiq.Worker) -> None:
        pass


@pytest.fixture
def database_url(new_postgres_url: str) -> str:
    """One database is enough for what has nothing to do with it."""
    return new_postgres_url


def rules(found: list[Violation]) -> list[Rule]:
    return [violation.rule for violation in found]


@pytest.fixture
def patient(config: Config) -> Config:
    return replace(config, worker_shutdown_timeout=60, stop_wait=90)


def test_an_installed_broker_with_its_actors_fits(broker: Broker, patient: Config) -> None:
    dramatiq.actor(lambda: None, actor_name="build", operation="report.build", broker=broker)  # type: ignore[call-overload]
    broker.add_middleware(Harmless())
    assert violations_of(broker, patient) == []


def test_an_actor_that_is_interrupted_before_its_work_is_usually_done_is_named(
    broker: Broker, patient: Config
) -> None:
    dramatiq.actor(  # type: ignore[call-overload]
        lambda: None, actor_name="hasty", operation="report.build", time_limit=4000, broker=broker
    )
    [violation] = violations_of(broker, patient)
    assert violation.rule is Rule.RUNTIME_IN_LIMIT
    assert violation.subject == 'operation "report.build", actor "hasty"'
    assert violation.values == {"expected_max_runtime": 5, "time_limit": 4}


def test_only_the_actors_of_queues_that_are_consumed_count(broker: Broker, patient: Config) -> None:
    for name, queue in (("quick", "default"), ("slow", "long")):
        dramatiq.actor(  # type: ignore[call-overload]
            lambda: None,
            actor_name=name,
            operation=f"report.{name}",
            queue_name=queue,
            broker=with_operations(broker, patient),
        )
    config = with_policies(patient)
    assert rules(violations_of(broker, config)) == [Rule.LIMIT_IN_DRAIN]
    assert violations_of(broker, config, queues=["default"]) == []


def with_policies(config: Config) -> Config:
    build = config.policies["report.build"]
    slow = replace(build, operation="report.slow", time_limit=80, running_stale_after=120)
    quick = replace(build, operation="report.quick")
    return replace(config, policies={"report.slow": slow, "report.quick": quick})


def with_operations(broker: Broker, config: Config) -> Broker:
    for item in broker.middleware:
        if hasattr(item, "tracker"):
            item.tracker.config = with_policies(config)
    return broker


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda kept: [*kept, Nosy()], "Nosy stands behind TimeLimit"),
        (lambda kept: [*kept, Callbacks()], "Callbacks stands behind what writes the truth"),
        (lambda kept: [*kept, TimeLimit()], "TimeLimit stands behind what withdraws"),
        (lambda kept: [*kept, Retries()], "Retries stands before what writes the truth, or inside"),
        (lambda kept: [Retries(), *kept], "Retries stands before what writes the truth, or inside"),
        (lambda kept: [x for x in kept if not isinstance(x, TimeLimit)], "there is no TimeLimit"),
        (lambda kept: [x for x in kept if not isinstance(x, Retries)], "there is no Retries"),
        (
            lambda kept: [x for x in kept if type(x).__name__ != "TrackAttempts"],
            "0 middleware of Lastword stand at before_retries",
        ),
        (lambda kept: [*kept, kept[0]], "2 middleware of Lastword stand at first"),
    ],
)
def test_middleware_out_of_order_is_found(
    broker: Broker, patient: Config, spoil: Any, words: str
) -> None:
    given = list(broker.middleware)
    broker.middleware[:] = spoil(given)
    found = violations_of(broker, patient)
    broker.middleware[:] = given
    assert set(rules(found)) == {Rule.MIDDLEWARE_IN_ORDER}
    assert words in found[0].sentence
    assert "before=dramatiq.middleware.Retries" in found[0].mend


def test_a_broker_that_gives_messages_away_before_a_lease_has_run_out_is_found(
    redis_url: str, patient: Config
) -> None:
    broker = RedisBroker(url=redis_url, heartbeat_timeout=900)
    application = install(broker, config=patient)
    [violation] = violations_of(broker, patient)
    assert (violation.rule, violation.values["heartbeat_timeout"]) == (Rule.LEASE_IN_BROKER, 0.9)
    broker.close()
    application.ledger.close()
    application.apart.close()


def test_a_worker_that_does_not_fit_takes_no_work(
    broker: Broker, start_worker: StartWorker, config: Config
) -> None:
    dramatiq.actor(  # type: ignore[call-overload]
        lambda: None, actor_name="hasty", operation="report.build", time_limit=4000, broker=broker
    )
    with pytest.raises(TrackingError, match=r'rule 1 \(runtime-in-limit\).* actor "hasty"'):
        start_worker()


def test_without_dramatiqs_command_the_configuration_says_how_long_a_stop_waits(
    config: Config,
) -> None:
    assert shutdown_timeout_s(config, ["/usr/bin/dramatiq", "app"]) == 120


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        # Its own default: 600 s, whatever the configuration says.
        ([], 1, "worker_shutdown_timeout = 600, stop_wait = 100"),
        (["--worker-shutdown-timeout", "50000"], 1, "worker_shutdown_timeout = 50"),
        (["--worker-shutdown-timeout", "75000"], 0, ""),
    ],
)
def test_a_worker_of_dramatiqs_own_command_is_held_to_what_it_was_started_with(
    fleet: Fleet, arguments: list[str], code: int, words: str
) -> None:
    env = {
        **os.environ,
        **fleet.environment,
        "LASTWORD_ALLOW_UNSAFE_TIMING": "false",
        "LASTWORD_WORKER_SHUTDOWN_TIMEOUT": "70",
        "LASTWORD_STOP_WAIT": "100",
    }
    with subprocess.Popen(
        [sys.executable, "-m", "dramatiq", "tests.fleet", "--processes", "1", *arguments],
        env=env,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as master:
        assert master.stderr is not None
        said = ""
        for line in master.stderr:
            said += line
            if "is ready for action" in line:
                master.terminate()
        assert master.wait(60) == code
    assert ("ready for action" in said) is (code == 0)
    assert words in said


def test_what_was_allowed_to_be_unsafe_is_loud(fleet: Fleet) -> None:
    env = {**os.environ, **fleet.environment, "LASTWORD_ALLOW_UNSAFE_TIMING": "false"}
    with subprocess.Popen(
        [*LASTWORD, "worker", "tests.fleet", "--allow-unsafe-timing"],
        env=env,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as master:
        assert master.stderr is not None
        said = ""
        for line in master.stderr:
            said += line
            if "is ready for action" in line:
                master.terminate()
        assert master.wait(60) == 0
    for number in (5, 6):
        assert f"timing rule {number}" in said
    assert "unsafe_timing_allowed" in said
    listed = subprocess.run(
        [*LASTWORD, "workers", "list", "--json"], env=env, capture_output=True, text=True
    )
    assert '"limit-in-drain"' in listed.stdout
