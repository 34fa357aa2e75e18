"""Access tokens by client credentials: fetched once, shared by the threads of a process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from lastword_jobs.graph.errors import AuthenticationFailed, Unreachable

#: Seconds before its end at which a token is renewed.
RENEW_BEFORE_S = 60.0


#: What an answer of any shape does where a token is expected in it.
_NOT_A_TOKEN = (ValueError, KeyError, TypeError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True)
class Credentials:
    """An application registered with the provider."""

    client_id: str
    client_secret: str = field(repr=False)


@dataclass(slots=True)
class TokenCache:
    """The current token of each tenant.

    Args:
        http: the client to ask with.
        token_url: base URL of the token endpoint.
        scope_url: base URL of the API the token is for.
        credentials: who asks, by tenant.
        clock: seconds that only go up.
    """

    http: httpx.Client
    token_url: str
    scope_url: str
    credentials: Callable[[str], Credentials]
    clock: Callable[[], float] = time.monotonic
    _tokens: dict[str, tuple[str, float]] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def token(self, tenant_id: str) -> str:
        """A token for a tenant that is good for a while.

        Raises:
            AuthenticationFailed: the provider refused the credentials.
            RunFailure: there are none.
            Unreachable: it did not answer.
        """
        with self._lock:
            token, good_until = self._tokens.get(tenant_id, ("", 0.0))
            if self.clock() < good_until:
                return token
            token, lifetime_s = self._fetch(tenant_id)
            self._tokens[tenant_id] = (token, self.clock() + lifetime_s - RENEW_BEFORE_S)
            return token

    def forget(self, tenant_id: str, token: str) -> None:
        """The provider refused this token; the next call fetches another."""
        with self._lock:
            if self._tokens.get(tenant_id, ("", 0.0))[0] == token:
                del self._tokens[tenant_id]

    def _fetch(self, tenant_id: str) -> tuple[str, float]:
        credentials = self.credentials(tenant_id)
        try:
            answer = self.http.post(
                f"{self.token_url}/{tenant_id}/oauth2/v2.0/token",
                data={
                    "grant_type": "client_credentials",
                    "client_id": credentials.client_id,
                    "client_secret": credentials.client_secret,
                    "scope": f"{self.scope_url}/.default",
                },
            )
        except httpx.HTTPError as error:
            raise Unreachable("The token endpoint did not answer.") from error
        if answer.status_code in (400, 401):
            raise AuthenticationFailed("The provider refused the application's credentials.")
        try:
            body = answer.raise_for_status().json()
            return _token_in(str(body["access_token"])), float(body["expires_in"])
        except (httpx.HTTPStatusError, *_NOT_A_TOKEN) as error:
            raise Unreachable("The token endpoint gave no token.") from error


def _token_in(text: str) -> str:
    # It goes into a header.
    if not text or not text.isascii() or not text.isprintable():
        raise ValueError("a token that no header can hold")
    return text
