"""Configuration: defaults, file, environment; every fault at once; no secret ever shown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastword.config import Config, load_config, redacted
from lastword.errors import ConfigError, UnknownOperation

SECRET = "s3cret-w0rd"

KEYS = [
    *("data_dir", "database_url", "broker_url", "broker_namespace", "web_addr", "metrics_addr"),
    *("secret_key", "graph_url", "graph_token_url", "graph_client_id", "graph_client_secret"),
    *("log_format", "heartbeat_interval", "lease_ttl", "sweep_interval", "message_grace"),
    *("worker_shutdown_timeout", "stop_wait", "max_payload_bytes", "sweep_deadline"),
    *("slot_grace", "retention", "rabbitmq_consumer_timeout", "allow_unsafe_timing"),
    *("health_file", "revision", "shipped_operations", "tracing", "gc_threshold"),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "lastword.toml"


def faults(environ: Mapping[str, str], file: Path | None = None) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load_config(environ, file=file)
    assert str(caught.value) == caught.value.sentence
    assert "\n" not in caught.value.sentence
    return caught.value.faults


def test_the_defaults_are_a_whole_embedded_system() -> None:
    config = load_config({})
    assert config.broker_url == "embedded"
    assert config.ledger_url == f"sqlite:///{Path('.lastword/lastword.db').absolute()}"
    assert {"inventory_sync", "policy.sync"} <= set(config.policies)
    assert (config.worker_shutdown_timeout, config.stop_wait) == (2710, 2730)
    defaults = Config(policies=config.policies, worker_shutdown_timeout=2710, stop_wait=2730)
    assert config == defaults


def test_the_environment_wins_over_the_file_and_the_file_over_the_defaults(file: Path) -> None:
    file.write_text(
        '[lastword]\nlog_format = "json"\nlease_ttl = 30\nsweep_interval = 7\ndata_dir = "here"\n'
    )
    config = load_config({"LASTWORD_CONFIG": str(file), "LASTWORD_LEASE_TTL": "20", "HOME": "/"})
    assert (config.log_format, config.sweep_interval, config.data_dir) == ("json", 7, Path("here"))
    assert config.lease_ttl == 20
    assert config.heartbeat_interval == Config().heartbeat_interval


def test_every_fault_is_reported_at_once_with_what_was_seen_and_expected(file: Path) -> None:
    file.write_text(
        '[lastword]\nlease_ttl = true\ncolour = "red"\nlog_format = "xml"\n'
        '[operations."report.build"]\nlabel = "Build report"\n[graph]\nurl = "x"\n'
    )
    found = faults({"LASTWORD_WEB_ADDR": "8000", "LASTWORD_STOP_WAITT": "1"}, file)
    assert f"{file}:7: unknown section 'graph'; expected 'lastword', 'operations'" in found
    assert f"{file}:2, [lastword] lease_ttl is True; expected a number of seconds above 0" in found
    assert f"{file}:4, [lastword] log_format is 'xml'; expected 'console' or 'json'" in found
    assert "LASTWORD_WEB_ADDR is '8000'; expected HOST:PORT" in found
    text = "; ".join(found)
    assert f"{file}:3, [lastword] colour: unknown key; expected one of data_dir, " in text
    assert "LASTWORD_STOP_WAITT: unknown key; expected one of data_dir, " in text
    assert f'{file}:5, [operations."report.build"]: time_limit is missing' in text
    assert len(found) == 9


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("HEARTBEAT_INTERVAL", text) for text in ("0", "-1", "nan", "inf", "soon", "")),
        *(("MAX_PAYLOAD_BYTES", text) for text in ("0", "1.5", "many", "9" * 5000)),
        *(("WEB_ADDR", text) for text in ("", ":8000", "host", "host:65536", "h:²", "http://h:1")),
        *(("DATABASE_URL", text) for text in ("mysql://h/db", "sqlite:", "sqlite:x.db")),
        *(("DATABASE_URL", text) for text in ("sqlite:///", "postgresql://", "/var/db")),
        ("DATABASE_URL", "sqlite:///:memory:"),
        *(
            ("BROKER_URL", f"redis://h/{text}")
            for text in ("abc", "0?foo=bar", "?socket_timeout=x")
        ),
        *(("BROKER_URL", text) for text in ("", "redis", "redis://", "http://h", "redis://h:port")),
        *(("GRAPH_URL", text) for text in ("graph.microsoft.com", "ftp://h", "http://[::1")),
        ("DATA_DIR", ""),
        ("LOG_FORMAT", "JSON"),
    ],
)
def test_a_value_that_cannot_be_is_named_with_what_is_expected(name: str, text: str) -> None:
    [fault] = faults({f"LASTWORD_{name}": text})
    assert fault.startswith(f"LASTWORD_{name} is ")
    assert "; expected " in fault
    assert "invalid literal" not in fault


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("database_url", "sqlite:////var/lib/lastword.db"),
        ("database_url", "postgresql://app@db:5432/app?sslmode=require"),
        ("database_url", "postgres://app:pw@db/app"),
        ("database_url", "postgresql:///app?host=/run/postgresql"),
        ("database_url", "postgresql://app:@/app?host=/run/postgresql"),
        ("broker_url", "redis://:pw@redis:6379/0"),
        ("broker_url", "rediss://redis"),
        ("broker_url", "unix:///run/redis.sock"),
        ("broker_url", "amqp://guest:guest@rabbit:5672/"),
        ("broker_url", "redis://[::1]:6379"),
        ("graph_url", "http://127.0.0.1:8080"),
    ],
)
def test_a_url_of_a_known_scheme_is_taken_as_it_is(name: str, url: str) -> None:
    assert getattr(load_config({f"LASTWORD_{name.upper()}": url}), name) == url


def test_a_file_that_cannot_be_read_is_one_clear_error(tmp_path: Path) -> None:
    for file in (tmp_path / "missing.toml", tmp_path):
        with pytest.raises(ConfigError, match=r"cannot be read: .*; set LASTWORD_CONFIG to a read"):
            load_config({"LASTWORD_CONFIG": str(file)})


@pytest.mark.parametrize("content", [b"[lastword", b"a = ", b"\xff\xfe", b'x = 1\nx = "y"'])
def test_a_file_that_is_not_toml_is_one_clear_error(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    [fault] = faults({}, file)
    assert fault.startswith(f"configuration file {file} is not TOML: ")


@pytest.mark.parametrize(
    "content",
    [
        f"lastword = '{SECRET}'",
        f"operations = '{SECRET}'",
        f"[[lastword]]\nsecret_key = '{SECRET}'",
        "[operations]\n'policy.sync' = 5",
        f"[lastword]\nlease_ttl = {'9' * 400}",
        "[lastword]\ndata_dir = 5\ngraph_client_id = []",
    ],
)
def test_a_file_of_the_wrong_shape_is_a_fault_and_no_crash(file: Path, content: str) -> None:
    file.write_text(content)
    assert SECRET not in "; ".join(faults({}, file))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"postgresql://app:{SECRET}@db:5432/app?password={SECRET}", "postgresql://app@db:5432/app"),
        (f"postgresql:///app?host=/run&password={SECRET}", "postgresql:///app"),
        (f"redis://:{SECRET}@[::1]:6379/0", "redis://[::1]:6379/0"),
        (f"unix://user:{SECRET}@/run/redis.sock?db=1&password={SECRET}", "unix://user@/run/redis.sock"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        (f"redis://user:12/{SECRET}@redis:6379", "(unreadable URL)"),
        (f"redis://user:a@{SECRET}@redis:6379", "(unreadable URL)"),
        (f"redis://user:{SECRET}@redis:port", "(unreadable URL)"),
        (f"host=db password={SECRET}", "(unreadable URL)"),
        ("sqlite:////var/lib/a@b.db", "sqlite:////var/lib/a@b.db"),
        ("/var/lib/lastword.db", "/var/lib/lastword.db"),
    ],
)  # fmt: skip
def test_a_redacted_url_has_no_password(url: str, shown: str) -> None:
    assert redacted(url) == shown


def test_no_secret_is_in_the_repr_of_a_configuration() -> None:
    environ = {
        "LASTWORD_SECRET_KEY": SECRET,
        "LASTWORD_GRAPH_CLIENT_SECRET": SECRET,
        "LASTWORD_GRAPH_URL": f"https://user:{SECRET}@graph",
        "LASTWORD_DATABASE_URL": f"postgresql://app:{SECRET}@db/app",
        "LASTWORD_BROKER_URL": f"redis://:{SECRET}@redis:6379/0",
    }
    config = load_config(environ)
    assert config.secret_key == SECRET
    assert SECRET not in repr(config)


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://app:{SECRET}@db/app",
        f"postgresql://app:{SECRET}@db:port/app",
        f"postgresql://app:a@{SECRET}@db/app",
        f"postgresql://app:12/{SECRET}@db/app",
    ],
)
def test_no_secret_is_in_an_error(file: Path, url: str) -> None:
    file.write_text(f"[lastword]\nsecret_key = 5\ngraph_client_secret = ['{SECRET}']\n")
    found = "; ".join(faults({"LASTWORD_DATABASE_URL": url, f"LASTWORD_X{SECRET}": SECRET}, file))
    assert "LASTWORD_DATABASE_URL is (hidden); expected a URL of sqlite://" in found
    assert SECRET not in found.replace(f"LASTWORD_X{SECRET}", "")


def test_a_fault_of_a_policy_names_the_line_of_its_key(file: Path) -> None:
    file.write_text(
        '# ours\n[operations]\n\n[operations."policy.sync"]\nreconcilers = [\n  "generic",\n'
        ' "adapter",\n]\nmax_retries = -1\n\n[operations."report.build"]\n'
        'label = "Build"\ntime_limit = "1 min"\nqueued_stale_after = 60\ncolour = """\nred\n"""\n'
    )
    expected = "expected a number of seconds above 0, at most 1e+09"
    ours = '[operations."report.build"]'
    found = faults({}, file)
    assert found[:2] == (
        f'{file}:9, [operations."policy.sync"]: max_retries is -1; '
        "expected a whole number, 0 to 2147483647",
        f"{file}:11, {ours}: running_stale_after is missing; {expected}",
    )
    assert found[2] == f"{file}:13, {ours}: time_limit is '1 min'; {expected}"
    assert found[3].startswith(f"{file}:15, {ours}: unknown key 'colour'; expected one of label, ")


def test_shipped_operations_can_be_left_out(file: Path) -> None:
    assert load_config({"LASTWORD_SHIPPED_OPERATIONS": "false"}).policies == {}
    file.write_text("[lastword]\nshipped_operations = false\n")
    assert load_config({}, file=file).policies == {}
    assert len(load_config({"LASTWORD_SHIPPED_OPERATIONS": "yes"}, file=file).policies) == 12
    [fault] = faults({"LASTWORD_SHIPPED_OPERATIONS": "some"})
    assert fault == "LASTWORD_SHIPPED_OPERATIONS is 'some'; expected true or false"


def test_a_table_of_a_shipped_operation_changes_only_what_it_says(file: Path) -> None:
    file.write_text('[operations."policy.sync"]\nmax_retries = 9\n')
    shipped, changed = load_config({}), load_config({}, file=file)
    before = shipped.policies["policy.sync"].document()
    assert changed.policies["policy.sync"].document() == {**before, "max_retries": 9}
    assert changed.policies["inventory_sync"] == shipped.policies["inventory_sync"]


def test_a_table_of_ones_own_operation_stands_beside_the_shipped_ones(file: Path) -> None:
    file.write_text(
        '[operations."report.build"]\nlabel = "Build report"\ntime_limit = 60\n'
        "queued_stale_after = 120\nrunning_stale_after = 120\n"
    )
    config = load_config({}, file=file)
    assert set(config.policies) == {*load_config({}).policies, "report.build"}
    assert config.policy("report.build").time_limit == 60


def test_an_unknown_operation_names_the_known_ones_and_the_mend() -> None:
    with pytest.raises(UnknownOperation) as caught:
        load_config({}).policy("policy.snyc")
    assert "'policy.snyc' has no policy" in caught.value.seen
    assert "inventory_sync, policy.sync" in caught.value.expected
    assert 'add a table [operations."policy.snyc"]' in caught.value.mend


texts = st.one_of(
    st.text(max_size=30),
    st.floats().map(str),
    st.integers().map(str),
    st.sampled_from(["embedded", "json", "redis://h", "sqlite:///x", "h:1", "1", "9"]),
    st.from_regex(r"[a-z]{0,8}:/{0,3}[\[\]@:/?#%a-z0-9]{0,20}", fullmatch=True),
)


@given(
    st.dictionaries(
        st.one_of(st.sampled_from(KEYS), st.text(max_size=8).filter(lambda key: key != "CONFIG")),
        texts,
        max_size=6,
    )
)
def test_any_environment_gives_a_configuration_or_a_config_error(values: dict[str, str]) -> None:
    environ = {f"LASTWORD_{key.upper()}": text for key, text in values.items()}
    environ.pop("LASTWORD_CONFIG", None)
    try:
        config = load_config(environ)
    except ConfigError:
        return
    assert config.ledger_url
    assert repr(config)


@given(texts)
def test_any_text_can_be_redacted(text: str) -> None:
    assert isinstance(redacted(text), str)
