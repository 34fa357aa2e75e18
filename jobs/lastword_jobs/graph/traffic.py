"""What one piece of work costs in requests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Traffic:
    """Counts of one piece of work.

    Attributes:
        answered: questions that were answered as asked: a sign that something may have been done.
        pages: pages of listings.
        throttled: times the provider said to slow down.
        retried: times something was asked again.
    """

    answered: int = 0
    pages: int = 0
    throttled: int = 0
    retried: int = 0
