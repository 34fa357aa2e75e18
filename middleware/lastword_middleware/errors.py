"""The errors that Dramatiq lets a middleware raise; every other exception of a hook it swallows."""

from __future__ import annotations

from dramatiq.middleware import MiddlewareError, SkipMessage

from lastword.errors import LastwordError


class TrackingError(MiddlewareError, LastwordError):
    """A hook of Lastword refuses to let Dramatiq go on. The cause says why."""

    @classmethod
    def because(cls, error: Exception) -> TrackingError:
        """This error, with the words of `error`."""
        if isinstance(error, LastwordError):
            return cls(error.seen, expected=error.expected, mend=error.mend)
        return cls(f"{type(error).__name__}: {error}")


class ActorRefused(TrackingError):
    """An actor names an operation without a policy, or contradicts its policy."""


class SendRefused(TrackingError):
    """A message of a covered operation was not sent, and no run was accepted for it."""


class ClaimFailed(TrackingError):
    """A delivery could not be judged; the actor does not run."""


class HoldMessage(TrackingError):
    """A message may not be acknowledged yet: the ledger does not hold what it means."""


class DeliveryRefused(SkipMessage):
    """This delivery may not start its run; what it means is in the ledger already."""
