"""Durations as each platform writes them, in seconds."""

from __future__ import annotations

import re

#: systemd.time(7); a number without a unit is seconds.
_SYSTEMD = {
    **dict.fromkeys(("usec", "us", "µs"), 1e-6),
    **dict.fromkeys(("msec", "ms"), 1e-3),
    **dict.fromkeys(("seconds", "second", "sec", "s", ""), 1.0),
    **dict.fromkeys(("minutes", "minute", "min", "m"), 60.0),
    **dict.fromkeys(("hours", "hour", "hr", "h"), 3600.0),
    **dict.fromkeys(("days", "day", "d"), 86400.0),
    **dict.fromkeys(("weeks", "week", "w"), 604800.0),
    **dict.fromkeys(("months", "month", "M"), 2629800.0),
    **dict.fromkeys(("years", "year", "y"), 31557600.0),
}

#: The Compose specification; a number needs its unit.
_COMPOSE = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}

_PART = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-zµ]*)")


def systemd_s(text: str) -> float:
    """A time span of systemd; `infinity` is one, and so is 0, which switches a timeout off.

    Raises:
        ValueError: it is none.
    """
    if text.strip() == "infinity":
        return float("inf")
    seconds = _sum(text, _SYSTEMD, "a time span such as 45min or 2740")
    return seconds or float("inf")


def compose_s(value: object) -> float:
    """A duration of a Compose file, such as `1m30s`.

    Raises:
        ValueError: it is none.
    """
    expected = "a duration with its units, such as 45m40s"
    if not isinstance(value, str):
        raise ValueError(expected)
    return _sum(value, _COMPOSE, expected)


def whole_s(value: object) -> float:
    """A whole number of seconds, as supervisor and Kubernetes have it.

    Raises:
        ValueError: it is none.
    """
    expected = "a whole number of seconds, 0 or more, without a unit"
    # Hexadecimal numbers of YAML may be longer than Python prints them.
    if isinstance(value, bool) or (isinstance(value, int) and value >= 2**63):
        raise ValueError(expected)
    text = str(value).strip()
    if not re.fullmatch(r"\d+", text, re.ASCII):
        raise ValueError(expected)
    return float(text)


def _sum(text: str, units: dict[str, float], expected: str) -> float:
    seconds, place = 0.0, 0
    while place < len(text.rstrip()):
        part = _PART.match(text, place)
        if part is None or part.group(2) not in units:
            raise ValueError(expected)
        seconds += float(part.group(1)) * units[part.group(2)]
        place = part.end()
    if place == 0:
        raise ValueError(expected)
    return seconds
