"""The errors of Lastword: one tree, each with what was seen, what was expected and the mend.

LastwordError
|- ConfigError            a configuration file, variable or policy is wrong (all faults at once)
|  `- UnsafeTiming        durations do not fit into each other
|- SchemaError            the ledger's schema is not the one this version works with
|- Contended              the same rows changed too often under a verb; nothing was written
|- Unavailable
|  |- LedgerUnavailable   the database does not answer
|  `- BrokerUnavailable   the broker does not answer
`- StartRefused           a run was not accepted, and nothing was written
   |- UnknownOperation
   |- OperationNotOffered
   |- UnknownTenant
   |- InvalidInputs
   `- PayloadTooLarge
"""

from __future__ import annotations

from collections.abc import Sequence


class LastwordError(Exception):
    """Something a person has to mend.

    Args:
        seen: what was found, with the value.
        expected: what would have been right.
        mend: what to do about it.
    """

    def __init__(self, seen: str, *, expected: str = "", mend: str = "") -> None:
        self.seen = seen
        self.expected = expected
        self.mend = mend
        super().__init__(self.sentence)

    @property
    def sentence(self) -> str:
        """The error as one line: seen; expected; mend."""
        parts = [self.seen]
        if self.expected:
            parts.append(f"expected {self.expected}")
        if self.mend:
            parts.append(self.mend)
        return "; ".join(parts)


class ConfigError(LastwordError):
    """Every fault found in a configuration, gathered before the first is reported."""

    def __init__(self, faults: Sequence[str], *, mend: str = "") -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(self.faults), mend=mend)


class UnsafeTiming(ConfigError):
    """The timing chain does not hold: work would be killed that is allowed to go on."""


class SchemaError(LastwordError):
    """The ledger's schema is older, newer or absent."""


class Contended(LastwordError):
    """A verb met runs that changed each time it looked, and gave up. Nothing was written."""


class Unavailable(LastwordError):
    """A server that Lastword needs does not answer. Carries its address without a password."""

    def __init__(self, seen: str, *, address: str, expected: str = "", mend: str = "") -> None:
        self.address = address
        super().__init__(seen, expected=expected, mend=mend)


class LedgerUnavailable(Unavailable):
    """The database did not answer, or answered that it cannot serve now."""


class BrokerUnavailable(Unavailable):
    """The broker did not answer."""


class UnknownRun(LastwordError):
    """There is no such run, or not for whoever asks."""


class StartRefused(LastwordError):
    """A run was not accepted. Nothing was written."""


class UnknownOperation(StartRefused):
    """No policy, or no actor, has this operation's name."""


class OperationNotOffered(StartRefused):
    """This deployment has switched the operation off."""


class UnknownTenant(StartRefused):
    """No tenant has this id."""


class InvalidInputs(StartRefused):
    """The inputs are not JSON, or do not fit the operation's parameters."""


class PayloadTooLarge(StartRefused):
    """The message is larger than `max_payload_bytes`."""
