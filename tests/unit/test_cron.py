"""Slots of cron expressions, also where the clocks change."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice

import pytest

from lastword.cron import read_cron
from lastword.errors import InvalidInputs


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def slots(expression: str, timezone: str, after: str, count: int) -> list[str]:
    found = islice(read_cron(expression, timezone).after(ms(after)), count)
    return [datetime.fromtimestamp(slot / 1000, tz=UTC).strftime("%m-%d %H:%M") for slot in found]


def test_a_fixed_hour_that_the_clocks_jump_over_comes_once_right_after_the_gap() -> None:
    # 02:30 does not exist in Berlin on 29 March: 02:00 becomes 03:00, which is 01:00 in UTC.
    assert slots("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", 2) == [
        "03-29 01:00",
        "03-30 00:30",
    ]


def test_a_fixed_hour_that_the_clocks_repeat_comes_once() -> None:
    assert slots("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", 2) == [
        "10-25 00:30",
        "10-26 01:30",
    ]


def test_every_half_hour_follows_real_time_through_the_repeated_hour() -> None:
    assert slots("*/30 * * * *", "Europe/Berlin", "2026-10-24T23:59", 4) == [
        "10-25 00:00",
        "10-25 00:30",
        "10-25 01:00",
        "10-25 01:30",
    ]


def test_a_slot_is_not_after_itself() -> None:
    cron = read_cron("0 * * * *", "UTC")
    assert cron.next_after(ms("2026-01-01T05:00")) == ms("2026-01-01T06:00")
    assert cron.next_after(ms("2026-01-01T05:00") - 1) == ms("2026-01-01T05:00")


@pytest.mark.parametrize(
    "expression",
    ["", "* * * *", "* * * * * *", "61 * * * *", "@daily", "a b c d e", "0 0 30 2 *", "\0 * * * *"],
)
def test_what_is_no_expression_is_refused_with_an_example(expression: str) -> None:
    with pytest.raises(InvalidInputs, match=r"five fields.*for example"):
        read_cron(expression, "UTC")


@pytest.mark.parametrize("timezone", ["", "Mars/Olympus", "../../etc/passwd", "\0", "UTC+1"])
def test_a_time_zone_that_is_none_is_refused(timezone: str) -> None:
    with pytest.raises(InvalidInputs, match="Europe/Berlin"):
        read_cron("* * * * *", timezone)
