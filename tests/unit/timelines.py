"""What happens, in the order in which it happens, when everybody takes as long as he may.

It knows no rule of the chain. It plays: each story is a handful of moments, and it goes wrong if
what must not come first does.
"""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

from dramatiq.common import compute_backoff

from lastword.config import DRAIN_MARGIN_S, EXIT_MARGIN_S
from lastword.policy import INTERRUPT_GRACE_S, LONGEST_RETRIES_S, Policy
from lastword.timing import CONSUMER_MARGIN_S, Chain, Rule


def first(moments: dict[str, float]) -> str:
    """What comes first; of what comes at once, the one that was named first."""
    return min(moments, key=lambda name: moments[name])


def what_goes_wrong(chain: Chain) -> set[Rule]:
    """Every story that goes wrong, by the rule that should have foretold it."""
    return {rule for story in _stories(chain) for rule in story}


def _stories(chain: Chain) -> Iterator[Iterator[Rule]]:
    yield _a_late_heartbeat(chain)
    yield _a_worker_falls_silent(chain)
    yield _a_stop_takes_its_time(chain)
    for policy in chain.policies:
        yield _healthy_work(policy)
        yield _work_that_has_to_be_interrupted(policy)
        yield _a_long_wait(policy)
        yield _every_try_fails(policy)
        yield _a_message_held_by_work(policy, chain)
        yield _a_stop_just_after_the_start(policy, chain)


def _healthy_work(policy: Policy) -> Iterator[Rule]:
    moments = {"done": policy.expected_max_runtime, "interrupted": policy.time_limit}
    if first(moments) == "interrupted":
        yield Rule.RUNTIME_IN_LIMIT


def _work_that_has_to_be_interrupted(policy: Policy) -> Iterator[Rule]:
    ended = policy.time_limit + INTERRUPT_GRACE_S
    if first({"ended": ended, "closed": policy.running_stale_after}) == "closed":
        yield Rule.LIMIT_IN_STALE


def _a_long_wait(policy: Policy) -> Iterator[Rule]:
    moments = {"called stale": policy.queued_stale_after, "closed": policy.max_queue_wait}
    if first(moments) == "closed":
        yield Rule.STALE_IN_WAIT


def _every_try_fails(policy: Policy) -> Iterator[Rule]:
    now, retries = policy.time_limit + INTERRUPT_GRACE_S, 0
    while retries < policy.max_retries:
        # Dramatiq's own arithmetic, with the worst of its dice.
        with patch("dramatiq.common.uniform", lambda least, most: most):
            retries, wait_ms = compute_backoff(
                retries,
                factor=int(policy.min_backoff * 1000),
                max_backoff=min(int(policy.max_backoff * 1000), 7 * 24 * 3600 * 1000),
            )
        wait = wait_ms / 1000
        if first({"due": wait, "closed": policy.max_queue_wait}) == "closed":
            yield Rule.BACKOFF_IN_WAIT
        if wait < policy.min_backoff:
            yield Rule.BACKOFF_IN_WAIT
        now += wait + policy.time_limit + INTERRUPT_GRACE_S
    if retries and now > LONGEST_RETRIES_S:
        yield Rule.RETRIES_END


def _a_late_heartbeat(chain: Chain) -> Iterator[Rule]:
    beat = chain.heartbeat_interval
    # The first never arrives, the second a whole interval late.
    moments = {"renewed": 2 * beat + beat, "expired": chain.lease_ttl}
    if first(moments) == "expired":
        yield Rule.BEATS_IN_LEASE


def _a_worker_falls_silent(chain: Chain) -> Iterator[Rule]:
    if chain.broker_heartbeat_timeout is None:
        return
    moments = {"known": chain.lease_ttl, "delivered again": chain.broker_heartbeat_timeout}
    if first(moments) == "delivered again":
        yield Rule.LEASE_IN_BROKER


def _a_message_held_by_work(policy: Policy, chain: Chain) -> Iterator[Rule]:
    if chain.consumer_timeout is None:
        return
    acknowledged = policy.time_limit + CONSUMER_MARGIN_S
    moments = {"delivered again": chain.consumer_timeout, "acknowledged": acknowledged}
    if first(moments) == "delivered again":
        yield Rule.LIMIT_IN_CONSUMER_TIMEOUT


def _a_stop_just_after_the_start(policy: Policy, chain: Chain) -> Iterator[Rule]:
    moments = {
        "ended": policy.time_limit + DRAIN_MARGIN_S,
        "abandoned": chain.worker_shutdown_timeout,
    }
    if first(moments) == "abandoned":
        yield Rule.LIMIT_IN_DRAIN


def _a_stop_takes_its_time(chain: Chain) -> Iterator[Rule]:
    moments = {
        "gone": chain.worker_shutdown_timeout + EXIT_MARGIN_S,
        "killed": chain.stop_wait,
    }
    if first(moments) == "killed":
        yield Rule.DRAIN_IN_STOP_WAIT
