"""What belongs to whoever is signed in: sessions, tokens, and the tenants they may see."""

from __future__ import annotations

from starlette.responses import Response

from lastword.access import Capability
from lastword.identity import LONGEST_ID
from lastword.reading.sessions import list_sessions
from lastword.reading.tenants import list_tenants_in
from lastword.service.api_tokens import LONGEST_DAYS, list_tokens, new_token, revoke_token
from lastword.service.sessions import end_session
from lastword.web.asking import Asked, NotFound
from lastword.web.guarding import Entry
from lastword.web.notices import tenant_page

#: Tenants that the index shows at most.
MOST_TENANTS = 500


def account(asked: Asked) -> Response:
    """The page of the account."""
    asked.query.only(set())
    return _page(asked)


def add_token(asked: Asked) -> Response:
    """A new token, shown on the page that answers and never again."""
    asked.form.only({"name", "days", "scope"})
    token = new_token(
        asked.ledger,
        user_id=asked.person.user_id,
        name=asked.form.required("name", longest=100),
        scopes=asked.form.many("scope"),
        days=asked.form.number("days", 1, LONGEST_DAYS) or 30,
        actor=asked.actor,
    )
    return _page(asked, token=token)


def end_token(asked: Asked) -> Response:
    """Revoke a token of one's own."""
    asked.form.only({"token"})
    token_id = asked.form.required("token", longest=LONGEST_ID)
    person = asked.person
    if not revoke_token(asked.ledger, token_id, user_id=person.user_id, actor=asked.actor):
        raise NotFound
    return asked.go("/admin/account")


def end_one(asked: Asked) -> Response:
    """End a session of one's own."""
    asked.form.only({"session"})
    session_id = asked.form.required("session", longest=LONGEST_ID)
    person = asked.person
    if not end_session(asked.ledger, session_id, user_id=person.user_id, actor=asked.actor):
        raise NotFound
    return asked.go("/admin/account")


def tenants(asked: Asked) -> Response:
    """The tenants that whoever asks may see."""
    asked.query.only(set())
    found = list_tenants_in(asked.ledger, asked.scopes, limit=MOST_TENANTS)
    return asked.page("tenants.html", tenants=found)


def tenant_home(asked: Asked) -> Response:
    """What can be done with one tenant."""
    return tenant_page(asked, "tenant.html", links=asked.site.links)


def _page(asked: Asked, token: str | None = None) -> Response:
    person = asked.person
    return asked.page(
        "account.html",
        sessions=list_sessions(asked.ledger, person.user_id),
        tokens=list_tokens(asked.ledger, person.user_id),
        new_token=token,
        capabilities=list(Capability),
    )


ENTRIES = (
    Entry("/admin/account", account, needs=None),
    Entry("/admin/account/tokens", add_token, method="POST", needs=None),
    Entry("/admin/account/tokens/revoke", end_token, method="POST", needs=None),
    Entry("/admin/account/sessions/end", end_one, method="POST", needs=None),
    Entry("/admin/t", tenants),
    Entry("/admin/t/{tenant}", tenant_home),
)
