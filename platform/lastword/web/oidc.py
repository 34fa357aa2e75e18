"""Signing in through an identity provider: OpenID Connect with code, PKCE, state and nonce.

Authlib does the protocol. What belongs to one attempt is in a sealed cookie of the browser that
began it, so that no other browser can end it.
"""

from __future__ import annotations

import json
import secrets
import time
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import RedirectResponse, Response

from lastword.errors import LastwordError
from lastword.service.audit import Actor, ActorKind
from lastword.service.sign_in import user_of_identity
from lastword.web.asking import Asked, NotFound
from lastword.web.guarding import Entry
from lastword.web.pages.sign_in import local_path, signed_in
from lastword.web.signing import Signer

#: Seconds that somebody may take at the provider.
WITHIN_S = 600

#: Seconds to wait for the provider.
TIMEOUT_S = 10.0

_COOKIE = "lastword_oidc"
_CALLBACK = "/admin/sign-in/oidc/callback"
#: What an answer of any shape does where a token or a key is expected in it.
_NO_TOKEN = (LookupError, ValueError, TypeError, AttributeError, RecursionError)
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
_ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"]


def begin(asked: Asked) -> Response:
    """To the provider."""
    _require_on(asked)
    attempt: dict[str, Any] = {
        "state": secrets.token_urlsafe(24),
        "nonce": secrets.token_urlsafe(24),
        "verifier": secrets.token_urlsafe(48),
        "next": local_path(asked.query.text("next", longest=2000)),
        "until": int(time.time()) + WITHIN_S,
    }
    with _client(asked, attempt["state"]) as client:
        url, _ = client.create_authorization_url(
            _discovered(asked.config.oidc_issuer)["authorization_endpoint"],
            state=attempt["state"],
            nonce=attempt["nonce"],
            code_verifier=attempt["verifier"],
        )
    response = RedirectResponse(url, 303)
    response.set_cookie(
        _COOKIE,
        Signer.of(asked.config, "oidc").sign(json.dumps(attempt)),
        path=_CALLBACK,
        max_age=WITHIN_S,
        secure=asked.site.is_secure,
        httponly=True,
        samesite="lax",
    )
    return response


def callback(asked: Asked) -> Response:
    """Back from the provider."""
    _require_on(asked)
    attempt = _attempt(asked)
    state = asked.query.text("state") or ""
    if not secrets.compare_digest(attempt["state"].encode(), state.encode()):
        raise SignInFailed("the answer belongs to another attempt")
    code = asked.query.text("code", longest=4000)
    if code is None:
        raise SignInFailed("the provider did not let you in")
    claims = _claims(asked, attempt, code)
    issuer, subject = str(claims["iss"]), str(claims["sub"])
    name = str(claims.get("name") or claims.get("preferred_username") or subject)[:200]
    user_id = user_of_identity(
        asked.ledger,
        issuer=issuer,
        subject=subject,
        name=name if name.isprintable() else subject,
        actor=Actor(ActorKind.PERSON, name, None, asked.request_id),
    )
    if user_id is None:
        raise SignInFailed("you may not sign in here any more")
    response = signed_in(asked, user_id, "oidc", local_path(attempt["next"]))
    response.delete_cookie(_COOKIE, path=_CALLBACK)
    return response


class SignInFailed(LastwordError):
    """The provider's answer was not what it has to be."""

    def __init__(self, seen: str) -> None:
        super().__init__(f"Signing in failed: {seen}", mend="begin again at /admin/sign-in")


def _require_on(asked: Asked) -> None:
    if "oidc" not in asked.config.web_auth:
        raise NotFound


def _attempt(asked: Asked) -> dict[str, Any]:
    text = Signer.of(asked.config, "oidc").opened(asked.request.cookies.get(_COOKIE, ""))
    attempt: dict[str, Any] = json.loads(text) if text is not None else {}
    if not attempt or attempt["until"] < time.time():
        raise SignInFailed("it took too long, or was begun in another browser")
    return attempt


def _claims(asked: Asked, attempt: dict[str, Any], code: str) -> dict[str, Any]:
    import httpx
    from authlib.common.errors import AuthlibBaseError
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet

    config = asked.config
    found = _discovered(config.oidc_issuer)
    unbelievable: tuple[type[Exception], ...] = (
        AuthlibBaseError,
        JoseError,
        *_client_errors(),
        *_NO_TOKEN,
    )
    try:
        with _client(asked, attempt["state"]) as client:
            token = client.fetch_token(
                found["token_endpoint"], code=code, code_verifier=attempt["verifier"]
            )
        keys = KeySet.import_key_set(httpx.get(found["jwks_uri"], timeout=TIMEOUT_S).json())
        decoded = jwt.decode(token["id_token"], keys, algorithms=_ALGORITHMS)
        rules = jwt.JWTClaimsRegistry(
            leeway=30,
            iss={"essential": True, "value": found["issuer"]},
            aud={"essential": True, "value": config.oidc_client_id},
            sub={"essential": True},
            exp={"essential": True},
            nonce={"essential": True, "value": attempt["nonce"]},
        )
        rules.validate(decoded.claims)
    except unbelievable as error:
        raise SignInFailed("the provider's answer cannot be believed") from error
    return dict(decoded.claims)


def _client(asked: Asked, state: str) -> Any:
    from authlib.integrations.httpx_client import OAuth2Client

    config = asked.config
    return OAuth2Client(
        config.oidc_client_id,
        config.oidc_client_secret or None,
        scope="openid profile",
        redirect_uri=asked.site.origin + _CALLBACK,
        code_challenge_method="S256",
        state=state,
        timeout=TIMEOUT_S,
    )


def _client_errors() -> tuple[type[Exception], ...]:
    # Authlib speaks through httpx2 where that is installed, whose errors are not those of httpx.
    import httpx

    try:
        import httpx2 as spoken
    except ImportError:
        return (httpx.HTTPError, httpx.InvalidURL)
    return (httpx.HTTPError, httpx.InvalidURL, spoken.HTTPError, spoken.InvalidURL)


@lru_cache(maxsize=8)
def _discovered(issuer: str) -> dict[str, Any]:
    import httpx

    unreadable: tuple[type[Exception], ...] = (*_client_errors(), ValueError, RecursionError)
    try:
        answer = httpx.get(
            f"{issuer.rstrip('/')}/.well-known/openid-configuration", timeout=TIMEOUT_S
        )
        answer.raise_for_status()
        found = answer.json()
    except unreadable as error:
        raise SignInFailed("the identity provider does not answer") from error
    if not isinstance(found, dict) or found.get("issuer") != issuer:
        raise SignInFailed("the identity provider calls itself something else")
    if not all(_is_address(found.get(name)) for name in _ENDPOINTS):
        raise SignInFailed("the identity provider does not say where to go")
    return found


def _is_address(text: object) -> bool:
    try:
        return isinstance(text, str) and urlsplit(text).scheme in {"http", "https"}
    except ValueError:
        return False


ENTRIES = (
    Entry("/admin/sign-in/oidc", begin, is_open=True),
    Entry(_CALLBACK, callback, is_open=True),
)
