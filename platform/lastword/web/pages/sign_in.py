"""Signing in and out: by password, by a one-time link, or by an identity provider."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.responses import RedirectResponse, Response

from lastword.service.audit import Actor, ActorKind
from lastword.service.sessions import end_session, open_session, use_link
from lastword.service.sign_in import (
    failures_of,
    forget_failures,
    note_failure,
    password_hash_of,
)
from lastword.web.asking import Asked
from lastword.web.guarding import Entry
from lastword.web.identifying import viewer_of
from lastword.web.passwords import is_password

#: Failed sign-ins within a quarter of an hour after which a name, or an address, has to wait.
MOST_FAILURES_OF_A_NAME = 5
MOST_FAILURES_OF_AN_ADDRESS = 50

#: Seconds after which it may be tried again.
RETRY_AFTER_S = 900

HOME = "/admin/operations"


def sign_in_page(asked: Asked) -> Response:
    """The ways to sign in."""
    return _page(asked)


def sign_in(asked: Asked) -> Response:
    """Sign in with a password."""
    if "password" not in asked.config.web_auth:
        return _page(asked, status=403, problem="Signing in with a password is switched off here.")
    name = asked.form.required("user", longest=64)
    password = asked.form.required("password", longest=200)
    ledger, actor = asked.ledger, Actor(ActorKind.PERSON, name, name, asked.request_id)
    by_name, by_address = f"user:{name}", f"address:{_address(asked)}"
    too_many = (
        failures_of(ledger, by_name) >= MOST_FAILURES_OF_A_NAME
        or failures_of(ledger, by_address) >= MOST_FAILURES_OF_AN_ADDRESS
    )
    if too_many:
        response = _page(asked, status=429, problem="Too many attempts. Wait a quarter of an hour.")
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
        return response
    if not is_password(password_hash_of(ledger, name), password):
        note_failure(ledger, [by_name, by_address], name=name, actor=actor)
        return _page(asked, status=401, problem="The name or the password is wrong.")
    forget_failures(ledger, by_name)
    return signed_in(asked, name, "password", local_path(asked.form.text("next", longest=2000)))


def link_page(asked: Asked) -> Response:
    """What a one-time link opens: a button, so that whoever only previews it uses nothing up."""
    return asked.page("link.html", token=asked.query.text("token", longest=200) or "")


def use(asked: Asked) -> Response:
    """Sign in with a one-time link."""
    user_id = use_link(asked.ledger, asked.form.required("token", longest=200))
    if user_id is None:
        return _page(asked, status=403, problem="The link was used before, or is too old.")
    return signed_in(asked, user_id, "link", HOME)


def sign_out(asked: Asked) -> Response:
    """End the session."""
    person = asked.person
    if person.session_id is not None:
        end_session(asked.ledger, person.session_id, user_id=person.user_id, actor=asked.actor)
    response = RedirectResponse("/admin/sign-in", 303)
    response.delete_cookie(asked.site.cookie, path="/", secure=asked.site.is_secure, httponly=True)
    return response


def signed_in(asked: Asked, user_id: str, method: str, path: str) -> Response:
    """A new session for a person who has shown who they are; an old one of this browser ends."""
    before = viewer_of(asked.site, asked.request, with_tokens=False)
    actor = Actor(ActorKind.PERSON, user_id, user_id, asked.request_id)
    if before is not None and before.session_id is not None:
        end_session(asked.ledger, before.session_id, user_id=before.user_id, actor=actor)
    token = open_session(
        asked.ledger,
        user_id=user_id,
        method=method,
        lifetime_s=asked.config.session_lifetime,
        actor=actor,
    )
    response = RedirectResponse(path, 303)
    response.set_cookie(
        asked.site.cookie,
        token,
        path="/",
        secure=asked.site.is_secure,
        httponly=True,
        samesite="lax",
    )
    return response


def local_path(text: str | None) -> str:
    """Where to go after signing in: a path of ours, whatever was asked for."""
    if text is None or not text.startswith("/admin") or "\\" in text:
        return HOME
    parts = urlsplit(text)
    if parts.scheme or parts.netloc or not text.isprintable():
        return HOME
    return text


def _page(asked: Asked, *, status: int = 200, problem: str | None = None) -> Response:
    fields = asked.form if asked.form.pairs else asked.query
    return asked.page(
        "sign_in.html",
        status=status,
        problem=problem,
        ways=asked.config.web_auth,
        next=local_path(fields.text("next", longest=2000)),
    )


def _address(asked: Asked) -> str:
    return asked.request.client.host if asked.request.client else "unknown"


ENTRIES = (
    Entry("/admin/sign-in", sign_in_page, is_open=True),
    Entry("/admin/sign-in", sign_in, method="POST", is_open=True),
    Entry("/admin/sign-in/link", link_page, is_open=True),
    Entry("/admin/sign-in/link", use, method="POST", is_open=True),
    Entry("/admin/sign-out", sign_out, method="POST", needs=None),
)
