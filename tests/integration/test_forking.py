"""Commands in new interpreters: each way to end, and that the forks of other tests end the same."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.processes import environment, lastword, lastword_anew

UNSAFE = {"stop_wait": 600, "lease_ttl": 5}


@pytest.mark.parametrize(
    ("code", "arguments", "settings"),
    [
        (0, ("operations", "list", "--json"), {}),
        (0, ("runs", "--help"), {}),
        (2, (), {}),
        (2, ("nonsense",), {}),
        (2, ("start", "policy.sync", "--tenant", "\udcff"), {}),
        (2, ("runs", "list"), {"lease_ttl": "soon"}),
        (2, ("web",), UNSAFE),
        (2, ("start", "policy.snyc"), {}),
        (1, ("runs", "list"), {"data_dir": "nowhere"}),
        (1, ("migrate",), {"data_dir": "a-file/data"}),
        (1, ("check",), {"broker_url": "redis://127.0.0.1:1"}),
    ],
)
def test_a_command_ends_the_same_way_in_a_new_interpreter_and_in_a_fork(
    tmp_path: Path,
    migrated_sqlite: Path,
    redis_url: str,
    code: int,
    arguments: tuple[str, ...],
    settings: dict[str, object],
) -> None:
    (tmp_path / ".lastword").mkdir()
    shutil.copy(migrated_sqlite, tmp_path / ".lastword" / "lastword.db")
    (tmp_path / "a-file").touch()
    env = environment(**{"broker_url": redis_url, **settings})
    anew = lastword_anew(*arguments, env=env, cwd=tmp_path)
    forked = lastword(*arguments, env=env, cwd=tmp_path)
    assert anew.returncode == code, anew.stderr
    assert anew.stdout + anew.stderr
    assert (forked.returncode, forked.stdout, forked.stderr) == (code, anew.stdout, anew.stderr)


def test_a_fork_that_takes_too_long_is_killed_and_the_next_one_is_not_kept_waiting(
    tmp_path: Path,
) -> None:
    serving = ("graph-server", "--url-file", str(tmp_path / "url"))
    with pytest.raises(subprocess.TimeoutExpired):
        lastword(*serving, env=environment(), cwd=tmp_path, within_s=0.5)
    assert lastword("--version", env=environment(), cwd=tmp_path).returncode == 0


def test_a_fork_finds_the_modules_of_its_folder_and_its_path_as_an_interpreter_does(
    tmp_path: Path,
) -> None:
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"app_{folder}.py").write_text(f"raise ValueError('from {folder}')\n")
    env = {**environment(), "PYTHONPATH": str(tmp_path / "there")}
    for run in (lastword, lastword_anew):
        for folder in ("here", "there"):
            done = run("check", "--app", f"app_{folder}", env=env, cwd=tmp_path / "here")
            assert f"from {folder}" in done.stdout + done.stderr
