"""How much the campaigns do: those tests that kill, empty and try many times over."""

from __future__ import annotations

import os

#: `long`: as much as was ever found to be of use, in many minutes; else enough for every change.
IS_LONG = os.environ.get("CAMPAIGN") == "long"


def volume(short: int, *, long: int) -> int:
    """How many runs, lives or strikes a campaign has."""
    return long if IS_LONG else short
