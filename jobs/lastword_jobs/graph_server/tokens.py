"""The token endpoint: client credentials in, an opaque bearer token out, kept in memory."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from lastword_jobs.graph_server.catalogue import ALL_ROLES


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token allows."""

    tenant_id: str
    client_id: str
    roles: frozenset[str]
    expires_at: float


class TokenRefused(Exception):
    """The protocol's own answer to a request that gets no token."""

    def __init__(self, code: str, description: str) -> None:
        self.code = code
        self.description = description
        super().__init__(code)

    def document(self, *, timestamp: str) -> dict[str, Any]:
        """The body of the answer."""
        number = self.description.partition(":")[0].removeprefix("AADSTS")
        return {
            "error": self.code,
            "error_description": self.description,
            "error_codes": [int(number)],
            "timestamp": timestamp,
        }


@dataclass(slots=True)
class TokenIssuer:
    """Gives and checks tokens.

    Args:
        client_id: the application that is registered.
        client_secret: its secret.
        lifetime_s: how long a token lives, in seconds.
        roles: what a token allows.
        clock: seconds that only go up.
        others: further applications, their secrets by their ids.
        expired_secrets: applications whose secret is right and too old.
    """

    client_id: str
    client_secret: str
    lifetime_s: float = 3599.0
    roles: frozenset[str] = ALL_ROLES
    clock: Callable[[], float] = time.monotonic
    others: dict[str, str] = field(default_factory=dict)
    expired_secrets: set[str] = field(default_factory=set)
    _grants: dict[str, Grant] = field(default_factory=dict)

    def issue(
        self, tenant_id: str, form: Mapping[str, str], *, tenants: Collection[str]
    ) -> dict[str, Any]:
        """The answer of `POST /{tenant}/oauth2/v2.0/token`.

        Raises:
            TokenRefused: the protocol says no.
        """
        if tenant_id not in tenants:
            raise TokenRefused("invalid_request", f"AADSTS90002: Tenant '{tenant_id}' not found.")
        client_id = self._client(form)
        token = secrets.token_urlsafe(32)
        self._grants[token] = Grant(
            tenant_id, client_id, self.roles, self.clock() + self.lifetime_s
        )
        return {
            "token_type": "Bearer",
            "expires_in": int(self.lifetime_s),
            "ext_expires_in": int(self.lifetime_s),
            "access_token": token,
        }

    def _client(self, form: Mapping[str, str]) -> str:
        for name in ("grant_type", "client_id", "scope"):
            if not form.get(name):
                text = f"AADSTS900144: The request body must contain the parameter '{name}'."
                raise TokenRefused("invalid_request", text)
        if form["grant_type"] != "client_credentials":
            raise TokenRefused("unsupported_grant_type", "AADSTS70003: Unsupported grant type.")
        if not form["scope"].endswith("/.default"):
            raise TokenRefused("invalid_scope", "AADSTS1002012: The scope is not valid.")
        client_id = form["client_id"]
        secret = {**self.others, self.client_id: self.client_secret}.get(client_id)
        if secret is None:
            raise TokenRefused("unauthorized_client", "AADSTS700016: Application not found.")
        given = form.get("client_secret", "")
        if not given:
            text = "AADSTS7000218: The request body must contain a 'client_secret'."
            raise TokenRefused("invalid_client", text)
        if not secrets.compare_digest(given.encode(), secret.encode()):
            raise TokenRefused("invalid_client", "AADSTS7000215: Invalid client secret provided.")
        if client_id in self.expired_secrets:
            text = "AADSTS7000222: The provided client secret keys are expired."
            raise TokenRefused("invalid_client", text)
        return client_id

    def check(self, header: str | None) -> Grant | None:
        """The grant behind an Authorization header; None when it is missing, unknown or expired."""
        scheme, _, token = (header or "").partition(" ")
        grant = self._grants.get(token) if scheme.lower() == "bearer" else None
        return grant if grant and grant.expires_at > self.clock() else None

    def revoke(self, tenant_id: str) -> None:
        """Let every token of a tenant expire now."""
        for token, grant in list(self._grants.items()):
            if grant.tenant_id == tenant_id:
                del self._grants[token]

    def revoke_all(self) -> None:
        """Let every token expire now."""
        self._grants.clear()
