"""The files of deploy/, and what is found when each is broken in each way."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastword.checks import Finding
from lastword.config import Config, load_config
from lastword.deployment.reading import read_deployment
from lastword.deployment.spans import compose_s, systemd_s, whole_s
from lastword.deployment.units import Check, process_of
from lastword.timing import chain_of, violations
from tests.unit.deployment_breaks import BREAKS, IMAGE, POD, PROGRAMS, SERVICES, SETTINGS, WORKER

SHIPPED = Path("deploy")


@pytest.fixture
def config() -> Config:
    return load_config({})


@pytest.fixture
def deploy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHIPPED, tmp_path / "deploy"))


def found(directory: Path, config: Config) -> list[Finding]:
    return read_deployment(directory, config).findings


def spoil(directory: Path, file: str, old: str, new: str) -> None:
    path = directory / file
    text = path.read_text()
    assert old in text, f"{file} no longer says {old!r}"
    path.write_text(text.replace(old, new))


def test_what_ships_holds_the_chain(config: Config) -> None:
    read = read_deployment(SHIPPED, config)
    assert read.findings == []
    platforms = [unit.place.split("/")[0] for unit in read.units]
    for platform in ("systemd", "supervisor", "compose", "kubernetes"):
        assert platforms.count(platform) == 3
    workers = [unit for unit in read.units if unit.role == "worker"]
    assert [unit.granted_s for unit in workers] == [2740] * 4


def test_what_ships_holds_the_chain_with_all_twelve_operations_offered(config: Config) -> None:
    policies = {name: replace(item, enabled=True) for name, item in config.policies.items()}
    everything = replace(config, policies=policies, worker_shutdown_timeout=2710, stop_wait=2730)
    assert max(policy.time_limit for policy in policies.values()) == 2700
    assert violations(chain_of(everything)) == []
    assert found(SHIPPED, everything) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "check", "words"),
    BREAKS,
    ids=[f"{file}: {new.strip()[:40] or '-'}" for file, _, new, _, _ in BREAKS],
)
def test_a_file_that_is_broken_is_found_by_what_it_breaks(
    deploy: Path, config: Config, file: str, old: str, new: str, check: str, words: str
) -> None:
    spoil(deploy, file, old, new)
    findings = found(deploy, config)
    own = [item for item in findings if item.rule == check]
    assert own, [item.sentence for item in findings]
    assert words in own[0].sentence
    assert file.split("/")[-1] in own[0].said or file in {"systemd/lastword.env", SETTINGS}
    assert own[0].mend
    # Nothing else is wrong, but for what follows from it.
    follows = {"readable": {"drain-in-stop-wait", "stop-wait-granted", "readable", "stages"}}
    allowed = {check, "stop-wait-granted", "init", *follows.get(check, set())}
    if file == IMAGE:
        allowed |= {"no-source", "not-root"}
    assert {item.rule for item in findings} <= allowed


def test_every_check_is_broken_here() -> None:
    shown = {check for _, _, _, check, _ in BREAKS} | {Check.INIT, Check.EXEC_FORM}
    assert shown == set(Check)


@pytest.mark.parametrize(
    ("entrypoint", "checks"),
    [
        ('ENTRYPOINT ["lastword"]', {Check.INIT}),
        ("ENTRYPOINT tini -- lastword", {Check.INIT, Check.EXEC_FORM}),
        ("", {Check.INIT}),
    ],
)
def test_an_image_whose_process_1_reaps_nobody_is_found_and_so_is_each_service_of_it(
    deploy: Path, config: Config, entrypoint: str, checks: set[str]
) -> None:
    spoil(deploy, IMAGE, 'ENTRYPOINT ["/usr/bin/tini", "--", "lastword"]', entrypoint)
    findings = found(deploy, config)
    assert {item.rule for item in findings} == checks
    services = [item for item in findings if "service " in item.said]
    assert len(services) == 3
    spoil(deploy, SERVICES, "  restart: always\n  environment: &env", "  init: true\n"
          "  restart: always\n  environment: &env")  # fmt: skip
    assert [item for item in found(deploy, config) if "service " in item.said] == []


def test_all_that_is_wrong_is_found_at_once(deploy: Path, config: Config) -> None:
    spoil(deploy, WORKER, "TimeoutStopSec=2740\n", "")
    spoil(deploy, PROGRAMS, "stopasgroup = false", "stopasgroup = true")
    spoil(deploy, POD, "runAsNonRoot: true", "runAsNonRoot: false")
    rules = [item.rule for item in found(deploy, config)]
    assert sorted(rules) == [
        *("drain-in-stop-wait", "main-process-alone", "not-root", "stop-wait-granted")
    ]


def test_a_drop_in_of_systemd_counts(deploy: Path, config: Config) -> None:
    folder = deploy / "systemd/lastword-worker@.service.d"
    folder.mkdir()
    (folder / "ours.conf").write_text("[Service]\nTimeoutStopSec=60\n")
    assert {item.rule for item in found(deploy, config)} == {
        *("drain-in-stop-wait", "stop-wait-granted")
    }


def test_a_folder_without_any_of_our_processes_is_a_finding(tmp_path: Path, config: Config) -> None:
    for text in ("", "[Service]\nExecStart=/usr/bin/redis-server\n"):
        (tmp_path / "other.service").write_text(text)
        [finding] = found(tmp_path, config)
        assert "has no unit, program, service or workload that starts" in finding.said


@pytest.mark.parametrize("name", ["a.service", "a.conf", "a.yaml", "Dockerfile"])
@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe\x00", b"\x00" * 10, b"[", b"{", b"a: [", b"- 1\n- 2", b"services: 5",
     b"services:\n  worker: 5", b"kind: Deployment", b"kind: Deployment\nspec: [1]",
     b"kind: Pod\nspec: {containers: [{args: worker}, 5, {args: [worker]}]}",
     b"services: {w: {command: 'worker \"'}}",
     b"services: {w: {command: [worker], environment: [5], deploy: [1], env_file: 7}}",
     b"[program:x]\ncommand=lastword worker\nstopwaitsecs=",
     b"[Service]\nExecStart=lastword worker '",
     b"FROM x\nCOPY\nENTRYPOINT [1", b"!!python/object/apply:os.system ['true']"],
)  # fmt: skip
def test_rubbish_is_a_finding_and_no_crash(
    tmp_path: Path, config: Config, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    findings = found(tmp_path, config)
    assert findings
    assert all("\n" not in item.sentence for item in findings)


@pytest.mark.parametrize(
    ("command", "role"),
    [
        ("/opt/lastword/bin/lastword worker --queues a", "worker"),
        ("tini -- lastword scheduler", "scheduler"),
        ("python -m lastword.cli web", "web"),
        ("worker", "worker"),
        ("--log worker", None),
        ("celery worker", None),
        ("lastword migrate", None),
        ("", None),
    ],
)
def test_a_process_of_ours_is_known_by_its_command(command: str, role: str | None) -> None:
    process = process_of(command.split())
    assert (process[0] if process else None) == role


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2740", 2740), ("45min 40s", 2740), ("45min40s", 2740), ("1h", 3600), ("1.5 min", 90),
     ("500ms", 0.5), ("2 weeks", 1209600), ("infinity", float("inf")), ("0", float("inf"))],
)  # fmt: skip
def test_time_spans_of_systemd_are_read(text: str, seconds: float) -> None:
    assert systemd_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "soon", "-5", "5 parsecs", "1,5", "5s x", "s"])
def test_what_is_no_time_span_of_systemd_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a time span such as"):
        systemd_s(text)


@pytest.mark.parametrize("value", [2740, "2740", "", "45", None, True, "5 d", "-5s", ["5s"]])
def test_what_is_no_duration_of_compose_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="a duration with its units"):
        compose_s(value)


@pytest.mark.parametrize("value", ["-1", "1.5", "5s", "", True, None, "²"])
def test_what_is_no_whole_number_of_seconds_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="a whole number of seconds"):
        whole_s(value)


@given(st.integers(0, 99), st.integers(0, 99), st.integers(1, 99))
def test_a_duration_is_the_sum_of_its_parts(hours: int, minutes: int, seconds: int) -> None:
    total = 3600 * hours + 60 * minutes + seconds
    assert compose_s(f"{hours}h{minutes}m{seconds}s") == total
    assert systemd_s(f"{hours}h {minutes}min {seconds}") == total
