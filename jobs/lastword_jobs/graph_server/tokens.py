"""The token endpoint: client credentials in, an opaque bearer token out, kept in memory."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

#: Roles an application has unless a test takes some away.
ALL_ROLES = frozenset({"DeviceManagementConfiguration.Read.All", "DeviceManagementRBAC.Read.All"})


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


@dataclass(slots=True)
class TokenIssuer:
    """Gives and checks tokens.

    Args:
        client_id: the one application that is registered.
        client_secret: its secret.
        lifetime_s: how long a token lives, in seconds.
        clock: seconds that only go up.
    """

    client_id: str
    client_secret: str
    lifetime_s: float = 3599.0
    roles: frozenset[str] = ALL_ROLES
    clock: Callable[[], float] = time.monotonic
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
        if form.get("grant_type") != "client_credentials":
            raise TokenRefused("unsupported_grant_type", "AADSTS70003: Unsupported grant type.")
        if not form.get("scope", "").endswith("/.default"):
            raise TokenRefused("invalid_scope", "AADSTS1002012: The scope is not valid.")
        if form.get("client_id") != self.client_id:
            raise TokenRefused("unauthorized_client", "AADSTS700016: Application not found.")
        given = form.get("client_secret", "")
        if not secrets.compare_digest(given.encode(), self.client_secret.encode()):
            raise TokenRefused("invalid_client", "AADSTS7000215: Invalid client secret provided.")
        token = secrets.token_urlsafe(32)
        self._grants[token] = Grant(
            tenant_id, self.client_id, self.roles, self.clock() + self.lifetime_s
        )
        return {
            "token_type": "Bearer",
            "expires_in": int(self.lifetime_s),
            "ext_expires_in": int(self.lifetime_s),
            "access_token": token,
        }

    def check(self, header: str | None) -> Grant | None:
        """The grant behind an Authorization header; None when it is missing, unknown or expired."""
        scheme, _, token = (header or "").partition(" ")
        grant = self._grants.get(token) if scheme.lower() == "bearer" else None
        return grant if grant and grant.expires_at > self.clock() else None

    def revoke_all(self) -> None:
        """Let every token expire now."""
        self._grants.clear()
