"""The timing chain: which durations have to fit into which, and where they do not.

A queue, its workers, whatever stops them, and the reconcilers each have limits of their own. Where
one ends before the other, work is killed that is allowed to go on, or delivered twice. Nothing here
reads a clock or a file; `chain_of` takes what a configuration says, the middleware what is real.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from lastword.config import Config
from lastword.errors import UnsafeTiming
from lastword.logs import log_notice
from lastword.timing_rules import CONSUMER_MARGIN_S as CONSUMER_MARGIN_S
from lastword.timing_rules import RULES_OF_A_POLICY, RULES_OF_A_PROCESS
from lastword.timing_rules import Chain as Chain
from lastword.timing_rules import Rule as Rule
from lastword.timing_rules import Violation as Violation


def chain_of(config: Config) -> Chain:
    """The chain as a configuration says it, over every operation that it offers."""
    is_rabbitmq = config.broker_url.startswith("amqp")
    return Chain(
        policies=tuple(policy for policy in config.policies.values() if policy.enabled),
        heartbeat_interval=config.heartbeat_interval,
        lease_ttl=config.lease_ttl,
        broker_heartbeat_timeout=None,
        consumer_timeout=config.rabbitmq_consumer_timeout if is_rabbitmq else None,
        worker_shutdown_timeout=config.worker_shutdown_timeout,
        stop_wait=config.stop_wait,
    )


def violations(chain: Chain) -> list[Violation]:
    """Every violation, in the order of the rules."""
    found = [violation for rule in RULES_OF_A_PROCESS for violation in rule(chain)]
    for policy in chain.policies:
        found += [violation for rule in RULES_OF_A_POLICY for violation in rule(policy)]
    return sorted(found, key=lambda violation: violation.rule.number)


def require_safe(found: Sequence[Violation], *, allowed: bool) -> None:
    """Refuse to go on with a chain that does not hold, or say loudly that it was allowed.

    Raises:
        UnsafeTiming: with every violation.
    """
    if found and not allowed:
        raise UnsafeTiming(
            [violation.sentence for violation in found],
            mend="or start it as it is with --allow-unsafe-timing",
        )
    for violation in found:
        log_notice(logging.ERROR, "unsafe_timing_allowed", violation=violation.sentence)
