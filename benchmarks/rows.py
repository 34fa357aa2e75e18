"""Rows: what every measurement hands in, in one shape, and how a bound is stated and judged."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]

#: What every row has, in this order; more may follow.
KEYS = ("name", "unit", "value", "baseline", "ratio", "runs")


def row(name: str, unit: str, value: float | str, *, runs: int, **more: Any) -> Row:
    """What was measured with nothing beside it to compare it to.

    Args:
        name: what was measured, and where.
        unit: of the value.
        value: rounded to what is worth reading; "absent" if it could not be measured.
        runs: how many times it was measured.
        more: anything else that a reader should know.
    """
    shown = rounded(value) if isinstance(value, float) else value
    empty = {"baseline": None, "ratio": None}
    return {"name": name, "unit": unit, "value": shown, **empty, "runs": runs, **more}


def compared(name: str, unit: str, values: Sequence[float], baselines: Sequence[float]) -> Row:
    """The median of one thing beside the median of another, measured in turns in the same run."""
    value, baseline = statistics.median(values), statistics.median(baselines)
    both = {"baseline": rounded(baseline), "ratio": round(value / baseline, 3)}
    return {**row(name, unit, value, runs=len(values)), **both}


def at_least(found: Row, ratio: float) -> Row:
    """The same row, with the smallest ratio that is good enough."""
    return {**found, "bound": f"ratio >= {ratio:g}", "within": found["ratio"] >= ratio}


def at_most(found: Row, ratio: float) -> Row:
    """The same row, with the largest ratio that is good enough."""
    return {**found, "bound": f"ratio <= {ratio:g}", "within": found["ratio"] <= ratio}


def unjudged(found: Row) -> Row:
    """The same row; its bound is shown, but says nothing about so short a run."""
    return {key: value for key, value in found.items() if key != "within"}


def rounded(value: float) -> float:
    """A number of three significant digits, or all digits before the point."""
    if value == 0 or abs(value) >= 1000:
        return round(value)
    return float(f"{value:.3g}")
