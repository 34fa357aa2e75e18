"""How many messages are taken at once, by a clock that the test turns."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest
import redis
from dramatiq.broker import MessageProxy

from lastword_middleware.fetching import Ahead
from lastword_middleware.prefetching import GROWTH, MOST, PORTIONS, WINDOW_S, Hands

#: The longest time between two looks, in seconds.
LOOK_S = WINDOW_S


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def hands_of(clock: Clock, **fields: object) -> Hands:
    hands = Hands(least=16, is_fixed=False, clock=clock, **fields)  # type: ignore[arg-type]
    assert hands.room == 16
    return hands


def settle(hands: Hands, clock: Clock, *, per_second: float, for_s: float = LOOK_S) -> int:
    """Settle work at this rate for a while; what is wanted then."""
    refs = [f"{clock.now}-{n}" for n in range(round(per_second * for_s))]
    hands.refs.update(refs)
    clock.now += for_s
    hands.settle(refs)
    return hands.room + len(hands.refs)


def test_as_many_are_taken_as_are_settled_in_a_window() -> None:
    clock = Clock()
    hands = hands_of(clock)
    sizes = [settle(hands, clock, per_second=1_000) for _ in range(5)]
    assert sizes == [16 * GROWTH, 16 * GROWTH**2, *[1_000 * WINDOW_S] * 3]


def test_more_are_taken_as_soon_as_those_are_settled_that_were() -> None:
    clock = Clock()
    hands = hands_of(clock)
    sizes = [settle(hands, clock, per_second=4_096, for_s=1 / 256) for _ in range(6)]
    # 16 with each of these: at once the first time, then after four, and not yet after 16.
    assert sizes == [64, 64, 64, 64, 256, 256]


def test_a_commit_that_takes_long_is_no_reason_to_take_fewer() -> None:
    clock = Clock()
    hands = hands_of(clock)
    for _ in range(5):
        settle(hands, clock, per_second=4_096)
    assert settle(hands, clock, per_second=0, for_s=0.4) == 2_048
    assert settle(hands, clock, per_second=0, for_s=0.1) == 16


def test_no_more_than_the_most_and_no_less_than_dramatiq_would() -> None:
    clock = Clock()
    hands = hands_of(clock)
    assert [settle(hands, clock, per_second=100_000) for _ in range(9)][-1] == MOST
    assert settle(hands, clock, per_second=0) == 16


def test_what_is_here_already_leaves_less_room() -> None:
    clock = Clock()
    hands = hands_of(clock)
    hands.refs.update(f"{n}" for n in range(10))
    assert hands.room == 6
    hands.drop(["3", "unknown"])
    assert hands.room == 7
    assert hands.freed.is_set()


def test_no_more_is_handed_out_than_dramatiq_would_take() -> None:
    hands = hands_of(Clock())
    hands.waiting.update(f"{n}" for n in range(15))
    assert hands.may_be_handed_out
    hands.waiting.add("15")
    assert not hands.may_be_handed_out
    for n in range(7):
        hands.begin(f"{n}")
    assert not hands.begun.is_set()
    hands.begin("7")
    assert hands.begun.is_set()
    assert hands.may_be_handed_out


def test_what_is_given_back_does_not_count_as_done() -> None:
    clock = Clock()
    hands = hands_of(clock)
    assert settle(hands, clock, per_second=1_000) == 64
    hands.refs.update(f"{n}" for n in range(64))
    hands.drop([f"{n}" for n in range(64)])
    clock.now += LOOK_S
    assert hands.room == 16


def test_a_window_is_filled_with_several_fetches() -> None:
    clock = Clock()
    hands = hands_of(clock)
    assert hands.next_fetch == 16
    for _ in range(3):
        settle(hands, clock, per_second=800)
    assert (hands.room, hands.next_fetch) == (400, 400 // PORTIONS)
    hands.refs.update(f"{n}" for n in range(395))
    assert hands.next_fetch == 5
    fixed = Hands(least=400, is_fixed=True, clock=clock)
    assert fixed.next_fetch == 400


def test_a_number_that_somebody_has_set_is_kept() -> None:
    clock = Clock()
    hands = Hands(least=4, is_fixed=True, clock=clock)
    assert settle(hands, clock, per_second=5_000) == 4
    hands.waiting.update(f"{n}" for n in range(100))
    assert hands.may_be_handed_out


def test_a_fetch_goes_on_beside_and_is_taken_once_and_its_thread_is_left() -> None:
    gate = threading.Event()
    left: list[str] = []
    message = MessageProxy(None)  # type: ignore[arg-type]

    def fetch() -> list[MessageProxy]:
        assert gate.wait(10)
        return [message]

    ahead = Ahead(fetch, leave=lambda: left.append(threading.current_thread().name))
    assert not ahead.is_under_way
    ahead.begin()
    assert ahead.is_under_way
    assert not ahead.is_done
    gate.set()
    assert ahead.taken() == [message]
    assert not ahead.is_under_way
    ahead.begin()
    assert ahead.close() == [message]
    assert ahead.close() == []
    assert left == ["lastword-fetch_0"]
    assert "lastword-fetch_0" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("error", [redis.ConnectionError("away"), ValueError("no answer")])
def test_what_a_fetch_broke_with_is_raised_where_it_is_taken_and_not_on_closing(
    error: Exception,
) -> None:
    def fetch() -> list[MessageProxy]:
        raise error

    ahead = Ahead(fetch, leave=lambda: None)
    ahead.begin()
    with pytest.raises(type(error), match=str(error)):
        ahead.taken()
    ahead.begin()
    assert ahead.close() == []
