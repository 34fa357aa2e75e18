"""Lives by the hundred, each call of everybody in an order that a seed draws; see `simulation`."""

from __future__ import annotations

import functools
import inspect
import logging
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lastword.service import RunService
from lastword.states import ARROWS
from tests.campaigns import IS_LONG, volume
from tests.faults.simulation import moves
from tests.faults.simulation.course import WAYS, Taken
from tests.faults.simulation.life import live, new_ledger, replay, require_sound
from tests.faults.simulation.moves import Bar, Boot, Cancel, Flush, Go, Kill, Move, Pass, Start
from tests.faults.simulation.shrinking import code_of, shrink
from tests.faults.test_every_verb import verbs_of
from tests.faults.test_mutations import MUTATIONS, ROOT, copy_of_the_package

#: Lives that are led here; `python -m tests.faults.simulation` leads as many as one likes.
LIVES = volume(160, long=10_000)

#: Beside the first: a retry is refused because its run was asked to stop, and that is looked up.
RARE_LIVES = (222,)

#: Guards that some life of the first few misses. Many others only matter where two things go wrong
#: at once, or stand behind another one.
NOTICED = (
    "the move: status in the arrow's origins",
    "where a message is: completed_at IS NULL",
    "what a live worker holds: known.listed_at > lastword_run.held_at + {BEGIN_WITHIN_MS}",
    "leases: one that has run out is none",
    "reserve: LEASE_IS_LIVE",
    "finish: HAS_NO_CHILDREN",
    "defer: _IN_TIME",
    "count off: completed_at IS NULL",
)

#: Those that it takes more lives to miss.
NOTICED_LATE = (
    "a verdict on a queued run: NOT_IN_HAND",
    "reserve: NOT_ASKED_TO_STOP",
    "reserve: MAY_HOLD",
    "gather: HAS_RETURNED",
    "cancel a queued run: NOT_IN_HAND",
)

SEEDS_TO_NOTICE = 400


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    # Thousands of lines a second that nobody reads.
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def simulate(*arguments: str, platform: Path, hash_seed: str) -> subprocess.CompletedProcess[str]:
    """`python -m tests.faults.simulation`, with this folder in the place of `platform`."""
    roots = [platform, *(ROOT / name for name in ("middleware", "jobs", "scheduler"))]
    return subprocess.run(
        [sys.executable, "-m", "tests.faults.simulation", *arguments],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, roots)),
            "PYTHONHASHSEED": hash_seed,
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@dataclass(frozen=True, slots=True)
class Led:
    """What many lives came to.

    Attributes:
        taken: how often each way of an arrow was taken.
        asked: by verb of the service, how often it was asked, and how often it did something.
    """

    calls: int
    taken: Counter[Taken]
    asked: Mapping[str, Counter[bool]]


def lead(seeds: Iterable[int]) -> Led:
    """Lead the lives of seeds.

    Raises:
        AssertionError: something does not hold; says which seed.
    """
    ledger, calls, taken = new_ledger(), 0, Counter[Taken]()
    asked: dict[str, Counter[bool]] = {name: Counter() for name in verbs_of(RunService)}
    with pytest.MonkeyPatch.context() as patch:
        for name, counts in asked.items():
            patch.setattr(RunService, name, counted(getattr(RunService, name), counts))
        for seed in seeds:
            lived = live(ledger, seed)
            if lived.failure is not None:
                lived.failure.add_note(f"python -m tests.faults.simulation --seed {seed}")
                raise lived.failure
            calls += lived.calls
            taken.update(lived.taken)
    return Led(calls, taken, asked)


def counted(verb: Callable[..., Any], counts: Counter[bool]) -> Callable[..., Any]:
    """The same verb. One that answers nothing counts as done whenever it is asked."""
    answers = inspect.signature(verb).return_annotation not in (None, "None")

    @functools.wraps(verb)
    def ask(*args: Any, **named: Any) -> Any:
        answer = verb(*args, **named)
        counts[bool(answer) or not answers] += 1
        return answer

    return ask


@pytest.fixture(scope="module")
def led() -> Led:
    logging.disable(logging.CRITICAL)
    return lead([*range(LIVES), *RARE_LIVES])


def test_whoever_comes_first_every_run_gets_one_honest_last_word(led: Led) -> None:
    assert led.calls > 100 * LIVES


def test_every_arrow_is_taken_from_everywhere_by_everybody_who_may(led: Led) -> None:
    never = WAYS - led.taken.keys()
    assert not never, "\n".join(sorted(map(str, never)))


def test_every_verb_of_the_service_is_asked_for_and_does_something(led: Led) -> None:
    assert [name for name, counts in led.asked.items() if not counts[True]] == []


def test_a_way_that_no_life_takes_and_a_verb_that_none_asks_for_are_missed() -> None:
    few = lead([])
    assert len(WAYS - few.taken.keys()) == len(WAYS) > len(ARROWS)
    assert [name for name, counts in few.asked.items() if not counts[True]]


def test_a_seed_is_the_same_life_in_every_process() -> None:
    told = {
        simulate("--seed", "7", platform=ROOT / "platform", hash_seed=hash_seed).stdout
        for hash_seed in ("1", "2")
    }
    assert len(told) == 1
    assert "seed 7 holds" in told.pop()


def test_a_seed_is_the_same_life_whatever_was_led_on_its_ledger_before() -> None:
    used = new_ledger()
    told = [live(used, seed).mark for seed in (6, 7, 8)]
    assert told == [live(new_ledger(), seed).mark for seed in (6, 7, 8)]


def test_moves_that_are_drawn_can_be_made_again_from_their_code() -> None:
    ledger = new_ledger()
    lived = live(ledger, 11)
    code = code_of(lived.moves, with_worker=lived.with_worker, name="seed_11")
    told = code[code.index("[") : code.rindex("]") + 1]
    again = replay(ledger, eval(told, vars(moves)), with_worker=lived.with_worker)
    assert again.mark == lived.mark


def fetched(operation: str) -> list[Move]:
    """Until a worker has a run of this operation in its hands, and no thread has begun with it."""
    return [
        Boot(),
        Start(operation=operation, does=("succeeds",)),
        Go("worker-1/heart"),
        Go("worker-1/heart"),
        Go("application-1"),
        Go("application-1"),
        Go("application-1"),
        Go("worker-1/consumer"),
        Go("worker-1/consumer"),
        Go("worker-1/consumer"),
    ]


def test_a_life_that_breaks_is_told_by_what_breaks_it() -> None:
    broken: list[Move] = [Boot(), Pass(1), Flush(), Go("a"), Pass(2), Go("b", "lost"), Boot()]
    fewest = shrink(broken, lambda left: Flush() in left and any(isinstance(m, Go) for m in left))
    assert fewest == [Flush(), Go("b")]


def test_a_run_is_left_to_the_worker_whose_claim_of_it_was_not_answered() -> None:
    # Found as seed 3440: the answer to its claim was lost, its heartbeats went on, and the
    # schedulers took it for abandoned.
    found: list[Move] = [
        *fetched("report.once"),
        Go("worker-1/thread-1"),
        Go("worker-1/writer"),
        Go("worker-1/writer", "lost"),
        Pass(4_001),
        Go("worker-1/heart"),
        Go("worker-1/heart"),
        Pass(4_001),
    ]
    require_sound(replay(new_ledger(), found, with_worker=True))


def test_a_run_that_may_not_be_repeated_is_begun_once_whatever_its_worker_had_written() -> None:
    found: list[Move] = [
        *fetched("report.once"),
        Go("worker-1/thread-1"),
        Go("worker-1/writer"),
        Go("worker-1/writer"),
        Go("worker-1/thread-1"),
        Kill("worker-1"),
    ]
    require_sound(replay(new_ledger(), found, with_worker=True))


def test_what_may_have_been_begun_unseen_is_not_called_blocked_before_any_effect() -> None:
    # Found as seed 69: its worker died before the start was written, and the next was told by the
    # gate that it may not be done any more.
    found: list[Move] = [
        *fetched("report.build"),
        Go("worker-1/thread-2"),
        Kill("worker-1", is_seen=False),
        Bar(1),
    ]
    require_sound(replay(new_ledger(), found, with_worker=True))


def test_a_request_to_stop_does_not_win_over_a_record_that_holds_the_end() -> None:
    # Found as seed 3000975: its worker died with the record written, and the run, queued again, was
    # ended as cancelled for the request that had come before.
    found: list[Move] = [
        Start("report.once", ("throws",), expires_s=1),
        Start("report.backup", ("records_and_retries",), records="partially_succeeded"),
        *(Boot(), Boot(), Go("worker-2/heart")),
        Start("report.backup", ("records_and_kills",), records="succeeded"),
        *(Go("scheduler-2"), Go("application-3"), Go("worker-2/heart")),
        *(Go("application-3"), Go("application-3")),
        *(Go("worker-2/consumer"), Go("worker-2/consumer"), Go("worker-2/consumer")),
        *(Go("worker-2/thread-1"), Go("worker-2/thread-1")),
        *(Cancel(3), Pass(4_000), Go("worker-2/thread-1")),
    ]
    require_sound(replay(new_ledger(), found, with_worker=True))


@pytest.mark.parametrize("name", [*NOTICED, *(NOTICED_LATE if IS_LONG else ())])
def test_a_guard_that_is_taken_away_is_noticed(name: str, tmp_path: Path) -> None:
    [mutation] = [item for item in MUTATIONS if item.name == name]
    copy_of_the_package(tmp_path, mutation.edits)
    done = simulate("--stop", "--seeds", str(SEEDS_TO_NOTICE), platform=tmp_path, hash_seed="0")
    assert [*tmp_path.rglob("*.imported")], "what was tried was not the copy"
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.startswith("seed "), done.stdout + done.stderr
