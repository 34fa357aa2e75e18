"""The rules of the timing chain, one function each: which durations have to fit into which.

See `lastword.timing` for what they are asked of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from lastword.config import DRAIN_MARGIN_S, EXIT_MARGIN_S
from lastword.policy import INTERRUPT_GRACE_S, LONGEST_BACKOFF_S, LONGEST_RETRIES_S, Policy

#: Heartbeats that have to fit into a lease, so that one which is late or lost ends nothing.
BEATS_IN_LEASE = 3

#: Seconds that a message may take beyond its time limit until it is acknowledged.
CONSUMER_MARGIN_S = 60.0


class Rule(StrEnum):
    """The rules, in the order of the chain."""

    RUNTIME_IN_LIMIT = "runtime-in-limit"
    LIMIT_IN_STALE = "limit-in-stale"
    BEATS_IN_LEASE = "beats-in-lease"
    LEASE_IN_BROKER = "lease-in-broker"
    LIMIT_IN_CONSUMER_TIMEOUT = "limit-in-consumer-timeout"
    LIMIT_IN_DRAIN = "limit-in-drain"
    DRAIN_IN_STOP_WAIT = "drain-in-stop-wait"
    STALE_IN_WAIT = "stale-in-wait"
    BACKOFF_IN_WAIT = "backoff-in-wait"
    RETRIES_END = "retries-end"
    MIDDLEWARE_IN_ORDER = "middleware-in-order"

    @property
    def number(self) -> int:
        """The number by which documents call it; two have two halves."""
        return _NUMBERS[self]


_NUMBERS = dict(zip(Rule, (1, 2, 3, 3, 4, 5, 6, 7, 7, 8, 9), strict=True))


@dataclass(frozen=True, slots=True)
class Violation:
    """One place where the chain does not hold.

    Attributes:
        rule: which rule.
        subject: whose numbers they are: an operation, a process, a file.
        values: the numbers by name, in seconds.
        said: what is wrong, in words.
        mend: what to change.
    """

    rule: Rule
    subject: str
    said: str
    mend: str
    values: Mapping[str, float] = field(default_factory=dict)

    @property
    def seen(self) -> str:
        """What is wrong as one line: rule, whose, words and values."""
        shown = ", ".join(f"{name} = {value:g}" for name, value in self.values.items())
        return (
            f"timing rule {self.rule.number} ({self.rule}), {self.subject}: {self.said}"
            f"{f' ({shown})' if shown else ''}"
        )

    @property
    def sentence(self) -> str:
        """The violation as one line, with the mend."""
        return f"{self.seen}; {self.mend}"


@dataclass(frozen=True, slots=True)
class Chain:
    """The durations that have to fit, in seconds.

    Attributes:
        policies: the operations that count here.
        heartbeat_interval: how often a lease is renewed.
        lease_ttl: how long a lease lives without renewal.
        broker_heartbeat_timeout: after how long the broker gives the messages of a silent worker
            to others; None if it does not, or if nobody has looked at it.
        consumer_timeout: after how long the broker takes a message back that is worked on; None if
            it never does.
        worker_shutdown_timeout: how long a stopping worker waits for attempts.
        stop_wait: how long whatever stops it waits for the worker.
    """

    policies: tuple[Policy, ...]
    heartbeat_interval: float
    lease_ttl: float
    broker_heartbeat_timeout: float | None
    consumer_timeout: float | None
    worker_shutdown_timeout: float
    stop_wait: float


def _runtime_in_limit(policy: Policy) -> Iterator[Violation]:
    if policy.expected_max_runtime > policy.time_limit:
        yield _of(
            policy,
            Rule.RUNTIME_IN_LIMIT,
            "expected_max_runtime",
            "time_limit",
            said="healthy work would be interrupted",
            mend="raise time_limit to at least expected_max_runtime",
        )


def _limit_in_stale(policy: Policy) -> Iterator[Violation]:
    if policy.time_limit + INTERRUPT_GRACE_S > policy.running_stale_after:
        yield _of(
            policy,
            Rule.LIMIT_IN_STALE,
            "time_limit",
            "running_stale_after",
            said="a reconciler would end runs that are still allowed to work",
            mend=f"raise running_stale_after to at least time_limit + {INTERRUPT_GRACE_S:g}",
        )


def _stale_in_wait(policy: Policy) -> Iterator[Violation]:
    if policy.queued_stale_after > policy.max_queue_wait:
        yield _of(
            policy,
            Rule.STALE_IN_WAIT,
            "queued_stale_after",
            "max_queue_wait",
            said="a run would be ended for waiting before it is ever called stale",
            mend="raise max_queue_wait to at least queued_stale_after",
        )


def _backoff_in_wait(policy: Policy) -> Iterator[Violation]:
    # No wait is longer than Dramatiq's own bound, whatever it is told.
    if policy.max_retries and policy.min_backoff > min(policy.max_backoff, LONGEST_BACKOFF_S):
        yield _of(
            policy,
            Rule.BACKOFF_IN_WAIT,
            "min_backoff",
            "max_backoff",
            said="the first wait before a retry is longer than the longest",
            mend="raise max_backoff to at least min_backoff, which is at most "
            f"{LONGEST_BACKOFF_S:g} s",
        )
    if policy.longest_backoff > policy.max_queue_wait:
        yield _of(
            policy,
            Rule.BACKOFF_IN_WAIT,
            "longest_backoff",
            "max_queue_wait",
            said="a retry would wait longer than a run may wait at all",
            mend="lower max_backoff, or raise max_queue_wait to at least as much",
        )


def _retries_end(policy: Policy) -> Iterator[Violation]:
    # Without retries it is as long as its own limit, which is for its author to say.
    if policy.max_retries and policy.retries_within > LONGEST_RETRIES_S:
        yield Violation(
            Rule.RETRIES_END,
            f'operation "{policy.operation}"',
            f"its retries could take longer than {LONGEST_RETRIES_S:g} s",
            "lower max_retries, max_backoff or time_limit",
            {
                "max_retries": policy.max_retries,
                "max_backoff": policy.max_backoff,
                "time_limit": policy.time_limit,
                "retries_within": policy.retries_within,
            },
        )


def _beats_in_lease(chain: Chain) -> Iterator[Violation]:
    if BEATS_IN_LEASE * chain.heartbeat_interval > chain.lease_ttl:
        yield Violation(
            Rule.BEATS_IN_LEASE,
            "workers",
            "one late heartbeat would end healthy leases",
            f"raise lease_ttl to at least {BEATS_IN_LEASE} x heartbeat_interval, or beat faster",
            {"heartbeat_interval": chain.heartbeat_interval, "lease_ttl": chain.lease_ttl},
        )


def _lease_in_broker(chain: Chain) -> Iterator[Violation]:
    timeout = chain.broker_heartbeat_timeout
    if timeout is not None and chain.lease_ttl > timeout:
        yield Violation(
            Rule.LEASE_IN_BROKER,
            "workers",
            "the broker would deliver the messages of a worker again that the ledger calls alive",
            "lower lease_ttl, or raise the broker's heartbeat_timeout to at least lease_ttl",
            {"lease_ttl": chain.lease_ttl, "heartbeat_timeout": timeout},
        )


def _limit_in_consumer_timeout(chain: Chain) -> Iterator[Violation]:
    if chain.consumer_timeout is None:
        return
    for policy in chain.policies:
        if policy.time_limit + CONSUMER_MARGIN_S >= chain.consumer_timeout:
            yield Violation(
                Rule.LIMIT_IN_CONSUMER_TIMEOUT,
                f'operation "{policy.operation}"',
                "RabbitMQ would deliver a message again while it is worked on",
                f"raise consumer_timeout in RabbitMQ and rabbitmq_consumer_timeout here above "
                f"time_limit + {CONSUMER_MARGIN_S:g}, or lower the limit",
                {
                    "time_limit": policy.time_limit,
                    "rabbitmq_consumer_timeout": chain.consumer_timeout,
                },
            )


def _limit_in_drain(chain: Chain) -> Iterator[Violation]:
    for policy in chain.policies:
        if policy.time_limit + DRAIN_MARGIN_S > chain.worker_shutdown_timeout:
            yield Violation(
                Rule.LIMIT_IN_DRAIN,
                f'operation "{policy.operation}"',
                "a worker that is told to stop would abandon work that is allowed to go on",
                f"raise worker_shutdown_timeout to at least time_limit + {DRAIN_MARGIN_S:g}, "
                "and stop_wait with it; or lower the limit",
                {
                    "time_limit": policy.time_limit,
                    "worker_shutdown_timeout": chain.worker_shutdown_timeout,
                },
            )


def _drain_in_stop_wait(chain: Chain) -> Iterator[Violation]:
    if chain.worker_shutdown_timeout + EXIT_MARGIN_S > chain.stop_wait:
        yield Violation(
            Rule.DRAIN_IN_STOP_WAIT,
            "workers",
            "workers would be killed while they finish their work or write its end",
            f"raise stop_wait to at least worker_shutdown_timeout + {EXIT_MARGIN_S:g}, here and "
            "in whatever stops the workers",
            {
                "worker_shutdown_timeout": chain.worker_shutdown_timeout,
                "stop_wait": chain.stop_wait,
            },
        )


def _of(policy: Policy, rule: Rule, *names: str, said: str, mend: str) -> Violation:
    values = {name: float(getattr(policy, name)) for name in names}
    return Violation(rule, f'operation "{policy.operation}"', said, mend, values)


#: Each looks at one policy.
RULES_OF_A_POLICY: tuple[Callable[[Policy], Iterator[Violation]], ...] = (
    _runtime_in_limit,
    _limit_in_stale,
    _stale_in_wait,
    _backoff_in_wait,
    _retries_end,
)

#: Each looks at one process, and the policies that count in it.
RULES_OF_A_PROCESS: tuple[Callable[[Chain], Iterator[Violation]], ...] = (
    _beats_in_lease,
    _lease_in_broker,
    _limit_in_consumer_timeout,
    _limit_in_drain,
    _drain_in_stop_wait,
)
