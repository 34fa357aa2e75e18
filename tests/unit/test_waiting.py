"""How long the Graph adapter waits: what Retry-After says, and the bounds of its own back-off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastword_jobs.graph.exchanges import Reply
from lastword_jobs.graph.traffic import Traffic
from lastword_jobs.graph.waiting import (
    FIRST_BACKOFF_S,
    LONGEST_BACKOFF_S,
    Patience,
    backoff_s,
    retry_after_s,
)

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("17", 17.0),
        ("2.128", 2.128),
        (" 5 ", 5.0),
        ("86400", 86_400.0),
    ],
)
def test_seconds_are_read_with_and_without_decimals(header: str, seconds: float) -> None:
    assert retry_after_s(header, now=NOW) == seconds


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 13:00:30 +0100", 30.0),
        ("Sunday, 01-Mar-26 12:00:30 GMT", 30.0),
        ("Sun Mar  1 12:00:30 2026", 30.0),
        ("Sun, 01 Mar 2026 11:59:00 GMT", 0.0),
    ],
)
def test_a_date_is_the_time_until_then_and_never_negative(header: str, seconds: float) -> None:
    assert retry_after_s(header, now=NOW) == seconds


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "   ",
        "soon",
        "-1",
        "-0.5",
        "nan",
        "inf",
        "-inf",
        "1e999",
        "2,128",
        "5 seconds",
        "Sun, 99 Mar 2026 12:00:30 GMT",
        "Sun, 01 Mar 99999999 12:00:30 GMT",
        "Sun, 01 Mar 99999999999999999999 12:00:30 GMT",
        "Sun, 01 Mar 2026 12:00:30 +999999",
    ],
)
def test_what_is_missing_negative_or_rubbish_says_nothing(header: str | None) -> None:
    assert retry_after_s(header, now=NOW) is None


@given(st.text())
def test_no_header_whatever_it_holds_breaks_the_reading(header: str) -> None:
    seconds = retry_after_s(header, now=NOW)
    assert seconds is None or 0 <= seconds < float("inf")


@given(st.integers(min_value=0, max_value=50))
def test_a_back_off_stays_below_a_bound_that_doubles_up_to_a_limit(tries: int) -> None:
    bound = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2**tries)
    assert 0 <= backoff_s(tries) <= bound


def test_back_offs_are_spread_over_the_whole_range_below_their_bound() -> None:
    waits = [backoff_s(10) for _ in range(1000)]
    assert min(waits) < LONGEST_BACKOFF_S / 4
    assert max(waits) > LONGEST_BACKOFF_S * 3 / 4


def test_a_date_is_waited_for_by_the_providers_clock_whatever_ours_says() -> None:
    waits: list[float] = []
    theirs = datetime(2031, 5, 1, 12, tzinfo=UTC)
    until = format_datetime(theirs + timedelta(seconds=7), usegmt=True)
    headers = {"date": format_datetime(theirs, usegmt=True), "retry-after": until}
    Patience(waits.append, Traffic()).wait(Reply(429, headers))
    assert waits == [7.0]
