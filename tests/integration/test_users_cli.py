"""`lastword users` on the way into the web: passwords, links and tokens at a command line."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from lastword.config import Config, load_config
from lastword.errors import ConfigError
from lastword.reading.audit import AuditFilter, list_audit
from lastword.reading.viewers import viewer_of_token
from lastword.service.members import add_user
from lastword.service.sessions import use_link
from lastword.service.sign_in import password_hash_of
from lastword.storage.ledger import Ledger
from lastword.web.passwords import is_password
from tests.processes import LASTWORD, environment, lastword


@pytest.fixture
def env(sqlite_ledger: Ledger, sqlite_url: str, tmp_path: Path) -> dict[str, str]:
    add_user(sqlite_ledger, user_id="ada", name="Ada")
    return environment(database_url=sqlite_url, data_dir=tmp_path)


def with_password(env: dict[str, str], password: str) -> subprocess.CompletedProcess[str]:
    command = [*LASTWORD, "users", "password", "ada"]
    return subprocess.run(
        command, env=env, input=f"{password}\n", capture_output=True, text=True, timeout=30
    )


def test_a_password_comes_in_on_the_standard_input_and_is_kept_hashed(
    env: dict[str, str], sqlite_ledger: Ledger
) -> None:
    done = with_password(env, "correct horse battery")
    assert (done.returncode, done.stdout.strip()) == (0, "ada has a new password")
    hashed = password_hash_of(sqlite_ledger, "ada")
    assert is_password(hashed, "correct horse battery")
    [entry] = list_audit(sqlite_ledger, AuditFilter(action="user.set_password"))
    assert entry["actor_kind"] == "command_line"
    short = with_password(env, "short")
    assert short.returncode == 2
    assert short.stderr.strip() == "lastword: the password has 5 characters; expected 12 to 200"


def test_a_link_and_a_token_are_printed_once_and_work(
    env: dict[str, str], sqlite_ledger: Ledger
) -> None:
    link = lastword("users", "link", "ada", env=env).stdout.strip()
    place, _, token = link.partition("?token=")
    assert place == "http://127.0.0.1:8000/admin/sign-in/link"
    assert use_link(sqlite_ledger, token) == "ada"
    made = lastword("users", "token", "ada", "--name", "ci", env=env)
    viewer = viewer_of_token(sqlite_ledger, made.stdout.strip())
    assert viewer is not None
    assert (viewer.user_id, viewer.limited_to) == ("ada", frozenset({"operations.view"}))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("link", "nobody"), "no user 'nobody' who may sign in"),
        (("oversee", "nobody", "yes"), "no user 'nobody'"),
        (("token", "ada", "--name", "x", "--scope", "all"), "scopes are ['all']; expected some of"),
        (("token", "ada", "--name", "x", "--days", "0"), "days is 0; expected 1 to 366"),
        (("token", "nobody", "--name", "x"), "no user 'nobody' who may sign in"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    env: dict[str, str], arguments: tuple[str, ...], said: str
) -> None:
    done = lastword("users", *arguments, env=env)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_web_that_strangers_would_reach_does_not_start(env: dict[str, str]) -> None:
    done = lastword("web", env={**env, "LASTWORD_WEB_ADDR": "0.0.0.0:8000"})
    assert done.returncode == 2
    assert "web_auth is empty; expected a way to sign in" in done.stderr
    assert done.stderr.strip().endswith("or let it listen on 127.0.0.1")


def test_settings_of_the_web_are_read_and_refused_by_name(config: Config) -> None:
    read = load_config(
        {
            "LASTWORD_WEB_AUTH": "password, oidc",
            "LASTWORD_PROXY_NETWORKS": "10.0.0.0/8,2001:db8::/32",
            "LASTWORD_WEB_URL": "https://lastword.example.org:8443",
        }
    )
    assert read.web_auth == ("password", "oidc")
    assert read.proxy_networks == ("10.0.0.0/8", "2001:db8::/32")
    for name, value, expected in (
        ("WEB_AUTH", "magic", "some of password, oidc, proxy"),
        ("PROXY_NETWORKS", "10.0.0.1/8", "networks such as 10.0.0.0/8"),
        ("WEB_URL", "https://a.example/path", "https://HOST"),
        ("WEB_URL", "ftp://a.example", "https://HOST"),
        ("PROXY_USER_HEADER", "X User", "the name of a header"),
        ("SESSION_IDLE", "0", "a number of seconds above 0"),
    ):
        with pytest.raises(ConfigError, match=expected):
            load_config({f"LASTWORD_{name}": value})
    assert replace(config, web_auth=()) == config
