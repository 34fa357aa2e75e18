"""Connections: credentials are sealed, found again, or refused with a reason."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from dramatiq.rate_limits.backends import StubBackend

from lastword.config import Config
from lastword.errors import ConfigError, InvalidInputs
from lastword.legitimacy import Asked
from lastword.reasons import Blocked, Reason
from lastword.storage.ledger import Ledger
from lastword_jobs.graph.errors import AuthenticationFailed, ConnectionInvalid
from lastword_jobs.graph.waiting import MAX_TRIES
from lastword_jobs.provider.connections import connect_tenant, credentials_of, require_connection
from lastword_jobs.provider.reaching import Provider as Reached
from lastword_jobs.provider.sealing import Sealer
from tests.provider import CLIENT_ID, SECRET, TENANT
from tests.stage import SECRET_KEY, Stage

SEALED = Config(secret_key=SECRET_KEY)


def connect(ledger: Ledger, secret: str = SECRET) -> None:
    connect_tenant(ledger, Sealer.of(SEALED), tenant_id=TENANT, client_id=CLIENT_ID, secret=secret)


@pytest.fixture
def reached(stage: Stage) -> Reached:
    url = stage.provider.url
    config = replace(SEALED, graph_url=url, graph_token_url=url)
    return Reached(
        config, stage.ledger, StubBackend(), stage.provider.waits.append, stage.provider.http
    )


def test_a_secret_is_kept_sealed_and_opened_again(stage: Stage) -> None:
    connect(stage.ledger)
    [row] = stage.rows("connection")
    assert SECRET not in str(row)
    found = credentials_of(stage.ledger, SEALED, TENANT)
    assert (found.client_id, found.client_secret) == (CLIENT_ID, SECRET)
    assert SECRET not in repr(found)
    connect(stage.ledger, "another")
    assert credentials_of(stage.ledger, SEALED, TENANT).client_secret == "another"


def test_a_new_key_opens_what_the_old_one_sealed_and_seals_anew(stage: Stage) -> None:
    connect(stage.ledger)
    turned = replace(SEALED, secret_key=f"{'f' * 40} {SECRET_KEY}")
    assert credentials_of(stage.ledger, turned, TENANT).client_secret == SECRET
    only_new = replace(SEALED, secret_key="f" * 40)
    with pytest.raises(ConnectionInvalid, match="cannot be opened"):
        credentials_of(stage.ledger, only_new, TENANT)


@pytest.mark.parametrize("key", ["", "short", f"{'x' * 40} short"])
def test_a_key_that_is_none_is_refused_without_being_repeated(key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Sealer.of(Config(secret_key=key))
    assert "openssl rand" in caught.value.mend
    assert "short" not in str(caught.value).replace("too short", "")


@pytest.mark.parametrize("secret", ["", "two\nlines"])
def test_a_secret_that_is_none_is_refused_without_being_repeated(stage: Stage, secret: str) -> None:
    with pytest.raises(InvalidInputs) as caught:
        connect(stage.ledger, secret)
    assert "lines" not in str(caught.value)
    assert stage.rows("connection") == []


def test_a_tenant_that_nobody_connected_blocks_at_the_start(stage: Stage) -> None:
    asked = Asked("policy.sync", "default", TENANT)
    denied = require_connection(stage.ledger, SEALED, asked)
    assert denied is not None
    assert denied.reason is Reason.PROVIDER_CONNECTION_INVALID
    assert "tenants connect" in denied.next_steps[0]["label"]
    configured = replace(SEALED, graph_client_id="app")
    assert require_connection(stage.ledger, configured, asked) is None
    connect(stage.ledger)
    assert require_connection(stage.ledger, SEALED, asked) is None


def test_a_run_works_with_the_tenants_own_application(stage: Stage, reached: Reached) -> None:
    connect(stage.ledger)
    client = reached.client(stage.run())
    assert len(list(client.pages("beta/deviceManagement/roleScopeTags"))) == 1


def test_a_connection_that_is_gone_is_no_refusal_once_something_was_done(
    stage: Stage, reached: Reached
) -> None:
    run = stage.run()
    with pytest.raises(Blocked):
        reached.client(run)
    with pytest.raises(ConnectionInvalid):
        reached.client(stage.again(run))


def test_a_secret_that_expires_in_mid_run_ends_it_with_its_reason_and_keeps_what_there_is(
    stage: Stage,
) -> None:
    stage.provider.fault(route="*/deviceConfigurations", skip=0, expire_tokens=True)
    run = stage.run()
    stage.sync(run).policies(["settingsCatalog"])
    stage.provider.graph.tokens.expired_secrets.add(CLIENT_ID)
    with pytest.raises(AuthenticationFailed) as caught:
        stage.sync(stage.again(run)).policies(["settingsCatalog", "deviceConfiguration"])
    assert caught.value.reason is Reason.AUTHENTICATION_FAILED
    assert len(stage.seen()) == 90


def test_a_tenant_that_the_provider_removes_in_mid_run_ends_it_honestly(stage: Stage) -> None:
    run = stage.run()
    stage.sync(run).policies(["settingsCatalog"])
    stage.provider.lab("seed", tenant=TENANT, size=None)
    with pytest.raises(AuthenticationFailed):
        stage.sync(stage.again(run)).policies(["settingsCatalog", "deviceConfiguration"])
    assert len(stage.seen()) == 90


def test_no_secret_and_no_token_is_in_a_log_or_an_error(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    issued = stage.provider.ask_token().json()["access_token"]
    stage.provider.fault(route="*/deviceConfigurations", times=MAX_TRIES, drop=True)
    stage.provider.fault(
        route="*/configurationPolicies",
        status=400,
        body={"error": {"code": SECRET, "message": SECRET}},
    )
    run = stage.policies("settingsCatalog", "roleScopeTag")
    told = f"{caplog.text} {run.failures} {run.context}"
    try:
        stage.policies("deviceConfiguration")
    except Exception as error:  # noqa: BLE001 - its words are the matter
        told += f"{error!r} {error.__cause__!r}"
    assert run.failures
    assert SECRET not in told
    assert issued not in told
    assert "Bearer" not in told
