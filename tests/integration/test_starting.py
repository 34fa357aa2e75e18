"""`lastword start` as people use it: refused until the tenant is connected, then accepted once."""

from __future__ import annotations

import json

import redis

from tests.integration.test_cli import rows, said, settings, value
from tests.processes import lastword

__all__ = ["settings"]


def test_a_start_is_accepted_once_and_then_found_again(settings: dict[str, str]) -> None:
    said("tenants", "add", "contoso", env=settings)
    words = ("start", "policy.sync", "--tenant", "contoso", "--input", 'types=["a"]')
    refused = lastword(*words, "--json", env=settings)
    assert (refused.returncode, refused.stdout.split()[0]) == (1, "{")
    assert "may not be done; see `lastword runs show" in refused.stderr
    secret = {"LASTWORD_SECRET_KEY": "k" * 32, "CONNECTION_SECRET": "s"}
    said("tenants", "connect", "contoso", "--client-id", "app", env={**settings, **secret})
    first, second = value(*words, env=settings), value(*words, env=settings)
    assert (first["result"], second["result"]) == ("accepted", "deduped")
    assert first["run_id"] == second["run_id"]
    assert first["url"].endswith(first["run_id"])
    other = said("start", "policy.sync", "--tenant", "contoso", env=settings)
    assert other.startswith("accepted ")
    assert rows(settings) == 3
    with redis.Redis.from_url(settings["LASTWORD_BROKER_URL"]) as client:
        assert client.llen("dramatiq:default") == 2


def test_people_are_added_granted_and_revoked_and_judged_by_it(settings: dict[str, str]) -> None:
    said("tenants", "add", "contoso", env=settings)
    secret = {"LASTWORD_SECRET_KEY": "k" * 32, "CONNECTION_SECRET": "s"}
    said("tenants", "connect", "contoso", "--client-id", "app", env={**settings, **secret})
    words = ("start", "policy.sync", "--tenant", "contoso", "--initiator", "ada", "--json")

    def result() -> str:
        return str(json.loads(lastword(*words, env=settings).stdout)["result"])

    assert result() == "blocked"
    assert said("users", "add", "ada", "--name", "Ada", env=settings) == "added user ada\n"
    assert lastword("users", "add", "ada", env=settings).returncode == 1
    assert result() == "blocked"
    said("users", "grant", "ada", "viewer", env=settings)
    assert result() == "blocked"
    said("users", "grant", "ada", "operator", "--tenant", "contoso", env=settings)
    assert result() == "accepted"
    [row] = value("users", "list", env=settings)
    assert (row["role"], row["tenants"]) == ("operator", ["contoso"])
    said("users", "revoke", "ada", env=settings)
    assert result() == "blocked"
    for wrong in (
        ("users", "grant", "bob", "operator"),
        ("users", "grant", "ada", "operator", "--workspace", "none"),
        ("users", "grant", "ada", "operator", "--tenant", "none"),
        ("users", "revoke", "ada"),
        ("tenants", "set", "none", "writable"),
    ):
        done = lastword(*wrong, env=settings)
        assert done.returncode != 0
        assert (done.stdout, len(done.stderr.splitlines())) == ("", 1)
    reasons = {row["reason_code"] for row in value("runs", "list", env=settings)}
    assert reasons >= {"initiator_missing", "initiator_not_entitled", "missing_capability"}
