"""The targets of the fuzzer hold for what it begins with, and it says so where it is not there."""

from __future__ import annotations

import sys

import pytest

from tests.faults.fuzzing.__main__ import main
from tests.faults.fuzzing.targets import SEEDS, TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_takes_what_it_begins_with_and_whatever_is_left_of_it(name: str) -> None:
    assert len(SEEDS[name]) > 0
    for seed in SEEDS[name]:
        for end in range(len(seed) + 1):
            TARGETS[name](seed[:end])
            TARGETS[name](seed[:end] + b"\xff" + seed[end + 1 :])


def test_a_machine_without_the_fuzzer_says_that_nothing_was_fuzzed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "atheris", None)
    monkeypatch.setattr(sys, "argv", ["fuzzing", "cron"])
    assert main() == 0
    assert capsys.readouterr().out == "atheris is not installed: cron was not fuzzed with it\n"
