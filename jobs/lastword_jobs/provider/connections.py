"""Provider connections: with which application a tenant is reached. Its secret is sealed."""

from __future__ import annotations

from peewee import SQL, BigIntegerField, CharField, Model, TextField

from lastword.config import Config
from lastword.errors import ConfigError, InvalidInputs
from lastword.legitimacy import Asked
from lastword.service.audit import SYSTEM, Actor
from lastword.service.requests import Denial
from lastword.service.tenants import audit_on_tenant
from lastword.storage.ledger import Ledger
from lastword_jobs.graph.errors import ConnectionInvalid
from lastword_jobs.graph.tokens import Credentials
from lastword_jobs.provider.sealing import Sealer, Unsealable

#: Characters of an application's id at most.
LONGEST_ID = 200


class Connection(Model):
    """The application with which one tenant is reached."""

    tenant_id = CharField(max_length=64, primary_key=True)
    client_id = CharField(max_length=LONGEST_ID)
    sealed_secret = TextField()
    changed_at = BigIntegerField()

    class Meta:
        """Where it is stored."""

        table_name = "lastword_jobs_connection"


def connect_tenant(
    ledger: Ledger,
    sealer: Sealer,
    *,
    tenant_id: str,
    client_id: str,
    secret: str,
    actor: Actor = SYSTEM,
) -> None:
    """Reach a tenant with this application from now on.

    Raises:
        InvalidInputs: the id or the secret is none.
    """
    if not 0 < len(client_id) <= LONGEST_ID or not client_id.isprintable():
        raise InvalidInputs("the client id has no or too many characters", expected="1 to 200")
    if not secret or not secret.isprintable():
        # What was seen is a secret, or half of one.
        raise InvalidInputs("the secret is empty or holds what cannot be printed")
    values = {
        "client_id": client_id,
        "sealed_secret": sealer.seal(secret),
        "changed_at": SQL(ledger.dialect.now_ms),
    }
    with ledger.transaction():
        Connection.insert(tenant_id=tenant_id, **values).on_conflict(
            conflict_target=[Connection.tenant_id], update=values
        ).execute(ledger.database)
        told = {"client_id": client_id}
        audit_on_tenant(
            ledger, actor, "tenant.connect", "tenant", tenant_id, tenant_id=tenant_id, after=told
        )


def is_connected(ledger: Ledger, tenant_id: str) -> bool:
    """Whether a tenant has an application of its own."""
    query = Connection.select().where(Connection.tenant_id == tenant_id)
    with ledger.session():
        return bool(query.exists(ledger.database))


def credentials_of(ledger: Ledger, config: Config, tenant_id: str) -> Credentials:
    """The application that reaches a tenant: its own, else the configured one.

    Raises:
        ConnectionInvalid: there is none, or its secret cannot be opened.
    """
    with ledger.session():
        query = Connection.select().where(Connection.tenant_id == tenant_id)
        found = query.first(ledger.database)
    if found is None:
        if not config.graph_client_id:
            raise ConnectionInvalid(_NONE)
        return Credentials(config.graph_client_id, config.graph_client_secret)
    try:
        return Credentials(found.client_id, Sealer.of(config).open(found.sealed_secret))
    except (ConfigError, Unsealable) as error:
        raise ConnectionInvalid(_UNOPENED) from error


def require_connection(ledger: Ledger, config: Config, asked: Asked) -> Denial | None:
    """The preflight of every operation that asks the provider.

    Whoever starts a run need not hold the key: whether the secret can be opened, and whether there
    is a configured application, is judged where the work is done.
    """
    assert asked.tenant_id is not None, "such an operation needs a tenant"
    if asked.run_id is None and is_connected(ledger, asked.tenant_id):
        return None
    try:
        credentials_of(ledger, config, asked.tenant_id)
    except ConnectionInvalid as denied:
        step = {"label": f"Connect it with `lastword tenants connect {asked.tenant_id}`"}
        return Denial(denied.reason, denied.message, (step,))
    return None


_NONE = "Nobody has said with which application the tenant is reached."
_UNOPENED = "The secret of the tenant's application cannot be opened with the configured key."
