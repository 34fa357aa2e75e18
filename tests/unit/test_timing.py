"""The timing chain: what it refuses is what a timeline breaks, no more and no less."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastword.config import DRAIN_MARGIN_S, EXIT_MARGIN_S, Config, load_config
from lastword.policy import INTERRUPT_GRACE_S, Policy
from lastword.policy_tables import policy_from_table
from lastword.timing import CONSUMER_MARGIN_S, Chain, Rule, chain_of, violations
from tests.unit.timelines import what_goes_wrong

TABLE = {
    "label": "Any",
    "expected_max_runtime": 50,
    "time_limit": 100,
    "queued_stale_after": 60,
    "running_stale_after": 200,
    "max_queue_wait": 600,
    "max_retries": 3,
    "min_backoff": 1,
    "max_backoff": 30,
}


def policy(**changes: Any) -> Policy:
    return policy_from_table("report.build", {**TABLE, **changes}, origin="a test")


def chain(*policies: Policy, **changes: Any) -> Chain:
    fitting = Chain(
        policies=policies or (policy(),),
        heartbeat_interval=2,
        lease_ttl=10,
        broker_heartbeat_timeout=60,
        consumer_timeout=1800,
        worker_shutdown_timeout=120,
        stop_wait=150,
    )
    return replace(fitting, **changes)


#: What breaks each rule by a second, and what is just inside it.
BROKEN: dict[Rule, tuple[dict[str, Any], dict[str, Any]]] = {
    Rule.RUNTIME_IN_LIMIT: ({"expected_max_runtime": 101}, {"expected_max_runtime": 100}),
    Rule.LIMIT_IN_STALE: (
        {"running_stale_after": 100 + INTERRUPT_GRACE_S - 1},
        {"running_stale_after": 100 + INTERRUPT_GRACE_S},
    ),
    Rule.STALE_IN_WAIT: ({"queued_stale_after": 601}, {"queued_stale_after": 600}),
    Rule.BACKOFF_IN_WAIT: (
        {"max_backoff": 601, "min_backoff": 400},
        {"max_backoff": 600, "min_backoff": 400},
    ),
    Rule.RETRIES_END: (
        {"max_retries": 3, "time_limit": 151_200, "running_stale_after": 200_000},
        {"max_retries": 3, "time_limit": 151_100, "running_stale_after": 200_000},
    ),
}

BROKEN_PROCESS: dict[Rule, tuple[dict[str, Any], dict[str, Any]]] = {
    Rule.BEATS_IN_LEASE: ({"heartbeat_interval": 3.4}, {"heartbeat_interval": 10 / 3}),
    Rule.LEASE_IN_BROKER: ({"broker_heartbeat_timeout": 9}, {"broker_heartbeat_timeout": 10}),
    Rule.LIMIT_IN_CONSUMER_TIMEOUT: (
        {"consumer_timeout": 100 + CONSUMER_MARGIN_S},
        {"consumer_timeout": 100 + CONSUMER_MARGIN_S + 1},
    ),
    Rule.LIMIT_IN_DRAIN: (
        {"worker_shutdown_timeout": 100 + DRAIN_MARGIN_S - 1},
        {"worker_shutdown_timeout": 100 + DRAIN_MARGIN_S},
    ),
    Rule.DRAIN_IN_STOP_WAIT: (
        {"stop_wait": 120 + EXIT_MARGIN_S - 1},
        {"stop_wait": 120 + EXIT_MARGIN_S},
    ),
}

#: Long enough for whatever a policy of these tests says.
PATIENT: dict[str, Any] = {
    "worker_shutdown_timeout": 10**6,
    "stop_wait": 2 * 10**6,
    "consumer_timeout": None,
}


def test_a_chain_that_fits_has_no_violation() -> None:
    assert violations(chain()) == []


@pytest.mark.parametrize("rule", BROKEN)
def test_a_policy_breaks_a_rule_by_a_second_and_no_other(rule: Rule) -> None:
    broken, fitting = BROKEN[rule]
    [violation] = violations(chain(policy(**broken), **PATIENT))
    assert (violation.rule, violation.subject) == (rule, 'operation "report.build"')
    assert violations(chain(policy(**fitting), **PATIENT)) == []


@pytest.mark.parametrize("rule", BROKEN_PROCESS)
def test_a_process_breaks_a_rule_by_a_little_and_no_other(rule: Rule) -> None:
    broken, fitting = BROKEN_PROCESS[rule]
    assert [violation.rule for violation in violations(chain(**broken))] == [rule]
    assert violations(chain(**fitting)) == []


def test_every_rule_is_broken_here_and_has_its_number() -> None:
    # The order of middleware is for those to break who have a broker.
    assert set(Rule) == {*BROKEN, *BROKEN_PROCESS, Rule.MIDDLEWARE_IN_ORDER}
    assert sorted({rule.number for rule in Rule}) == list(range(1, 10))


def test_a_violation_names_rule_operation_values_and_mend() -> None:
    [violation] = violations(chain(policy(running_stale_after=102)))
    assert violation.values == {"time_limit": 100, "running_stale_after": 102}
    assert violation.sentence == (
        'timing rule 2 (limit-in-stale), operation "report.build": a reconciler would end runs '
        "that are still allowed to work (time_limit = 100, running_stale_after = 102); "
        "raise running_stale_after to at least time_limit + 5"
    )


def test_all_violations_come_at_once_in_the_order_of_the_rules() -> None:
    first = policy(expected_max_runtime=101, queued_stale_after=601)
    second = policy(expected_max_runtime=101)
    found = violations(chain(first, second, stop_wait=121, heartbeat_interval=9))
    assert [violation.rule.number for violation in found] == [1, 1, 3, 6, 7]


def test_dramatiqs_own_defaults_are_refused() -> None:
    """20 retries with backoffs of 15 s up to 7 days; limit and shutdown timeout both 600 s."""
    dramatiq = policy(
        max_retries=20,
        min_backoff=15,
        max_backoff=7 * 24 * 3600,
        max_queue_wait=7 * 24 * 3600,
        time_limit=600,
        running_stale_after=1000,
    )
    found = violations(chain(dramatiq, worker_shutdown_timeout=600, stop_wait=30))
    assert {violation.rule for violation in found} == {
        Rule.LIMIT_IN_DRAIN,
        Rule.DRAIN_IN_STOP_WAIT,
        Rule.RETRIES_END,
    }


def test_the_shipped_defaults_hold_and_so_would_all_twelve_if_they_were_offered() -> None:
    config = load_config({})
    assert len(config.policies) == 12
    assert violations(chain_of(config)) == []
    longest = max(policy.time_limit for policy in config.policies.values() if policy.enabled)
    assert config.worker_shutdown_timeout == longest + DRAIN_MARGIN_S
    assert config.stop_wait == longest + DRAIN_MARGIN_S + EXIT_MARGIN_S
    offered = {name: replace(item, enabled=True) for name, item in config.policies.items()}
    everything = replace(chain_of(replace(config, policies=offered)), **PATIENT)
    assert len(everything.policies) == 12
    assert violations(everything) == []


def test_what_a_deployment_leaves_open_fits_into_what_it_says(tmp_path: Path) -> None:
    file = tmp_path / "lastword.toml"
    file.write_text(
        "[lastword]\nshipped_operations = false\n"
        '[operations."report.build"]\nlabel = "Build"\ntime_limit = 7\n'
        "queued_stale_after = 60\nrunning_stale_after = 60\n"
    )
    config = load_config({}, file=file)
    assert (config.worker_shutdown_timeout, config.stop_wait) == (17, 37)
    told = load_config({"LASTWORD_WORKER_SHUTDOWN_TIMEOUT": "90"}, file=file)
    assert (told.worker_shutdown_timeout, told.stop_wait) == (90, 110)
    assert violations(chain_of(config)) == violations(chain_of(told)) == []


def test_an_operation_that_is_not_offered_counts_for_nothing() -> None:
    config = Config(policies={"report.build": policy(time_limit=5000, enabled=False)})
    assert violations(chain_of(config)) == []


def test_rabbitmq_alone_takes_back_what_is_worked_on() -> None:
    policies = {"report.build": policy(time_limit=1750, running_stale_after=1800)}
    config = Config(
        policies=policies, broker_url="amqp://h", worker_shutdown_timeout=1800, stop_wait=1900
    )
    assert [item.rule for item in violations(chain_of(config))] == [Rule.LIMIT_IN_CONSUMER_TIMEOUT]
    assert violations(chain_of(replace(config, broker_url="redis://h"))) == []


seconds = st.one_of(st.integers(1, 300), st.integers(1, 10**6))


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    names = ("expected_max_runtime", "time_limit", "queued_stale_after", "running_stale_after")
    more = ("max_queue_wait", "min_backoff", "max_backoff")
    table = {name: draw(seconds) for name in (*names, *more)}
    retries = draw(st.one_of(st.integers(0, 4), st.integers(0, 60)))
    return policy_from_table(
        "any", {"label": "Any", **table, "max_retries": retries}, origin="a test"
    )


@st.composite
def chains(draw: st.DrawFn) -> Chain:
    return Chain(
        policies=tuple(draw(st.lists(policies(), min_size=1, max_size=2))),
        heartbeat_interval=draw(st.integers(1, 40)),
        lease_ttl=draw(st.integers(1, 90)),
        broker_heartbeat_timeout=draw(st.none() | st.integers(1, 90)),
        consumer_timeout=draw(st.none() | seconds),
        worker_shutdown_timeout=draw(seconds),
        stop_wait=draw(seconds),
    )


@given(chains())
@settings(max_examples=1000)
def test_what_is_refused_is_what_a_timeline_breaks(any_chain: Chain) -> None:
    assert {item.rule for item in violations(any_chain)} == what_goes_wrong(any_chain)


durations = st.one_of(st.integers(1, 10**8), st.floats(1e-3, 1e8))


@given(
    time_limit=durations,
    queued_stale_after=durations,
    slack=st.floats(1, 1e8),
    min_backoff=st.one_of(st.none(), st.floats(1e-3, 3600)),
)
def test_the_derived_defaults_hold_every_rule(
    time_limit: float, queued_stale_after: float, slack: float, min_backoff: float | None
) -> None:
    table = {
        "label": "Any",
        "time_limit": time_limit,
        "queued_stale_after": queued_stale_after,
        "running_stale_after": time_limit + INTERRUPT_GRACE_S + slack,
    }
    if min_backoff is not None:
        table["min_backoff"] = min_backoff
    derived = policy_from_table("any", table, origin="a test")
    shutdown = derived.time_limit + DRAIN_MARGIN_S
    patient = {**PATIENT, "worker_shutdown_timeout": shutdown, "stop_wait": shutdown + 20.1}
    assert violations(chain(derived, **patient)) == []
