"""How much the campaigns do: those tests that kill, empty and try many times over."""

from __future__ import annotations

import os

#: `long`: as much as finds what is rare; else enough for every change.
IS_LONG = os.environ.get("CAMPAIGN") == "long"


def volume(short: int, *, long: int) -> int:
    """How many runs, lives or strikes a campaign has."""
    return long if IS_LONG else short
