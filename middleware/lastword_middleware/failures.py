"""From an exception to a reason code: what the queue's failure of an attempt means."""

from __future__ import annotations

import traceback
from typing import Any

from dramatiq.middleware import TimeLimitExceeded

from lastword.reasons import SENTENCES, Reason, RunFailure

Throws = type[BaseException] | tuple[type[BaseException], ...] | None


def cause_of(exception: BaseException) -> Reason:
    """Why this attempt failed, as far as the exception itself says."""
    if isinstance(exception, RunFailure):
        return exception.reason
    if _is_time_limit(exception):
        return Reason.TIME_LIMIT_EXCEEDED
    return Reason.UNKNOWN_ERROR


def final_reason(exception: BaseException, throws: Throws) -> Reason:
    """Why the queue gave up: no further try would help, or none was left."""
    if throws and isinstance(exception, throws):
        told = isinstance(exception, RunFailure)
        return cause_of(exception) if told else Reason.NOT_RETRYABLE
    if _is_time_limit(exception):
        return Reason.TIME_LIMIT_EXCEEDED
    return Reason.RETRIES_EXHAUSTED


def failure_entry(exception: BaseException) -> dict[str, Any]:
    """The operator-safe line for a run's failures: a code and a sentence, no exception text."""
    cause = cause_of(exception)
    message = exception.message if isinstance(exception, RunFailure) else SENTENCES[cause]
    return {"code": cause, "message": message}


def diagnostics_of(exception: BaseException) -> str:
    """The exception in its own words, for the diagnostics section only."""
    return "".join(traceback.format_exception(exception, limit=30))


def _is_time_limit(exception: BaseException) -> bool:
    # An async actor's time limit arrives as a RuntimeError with the interrupt as its cause.
    return isinstance(exception, TimeLimitExceeded) or isinstance(
        exception.__cause__, TimeLimitExceeded
    )
