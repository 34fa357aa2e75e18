"""A request as a page sees it: who asks, for which tenant, with which fields; and how to answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from lastword.access import Capability
from lastword.config import Config
from lastword.errors import LastwordError
from lastword.reading.frame import read_frame
from lastword.reading.tenants import TenantRow
from lastword.reading.viewers import Scope, Viewer
from lastword.service.audit import Actor, ActorKind
from lastword.storage.ledger import Ledger
from lastword.web.fields import Fields
from lastword.web.rendering import tag_of
from lastword.web.site import Site

#: Sweeps that may be missed before every page says so.
MISSED_SWEEPS = 3


class NotFound(LastwordError):
    """It is not there, or not for whoever asks: nobody can tell which."""

    def __init__(self) -> None:
        super().__init__("not found")


class Unauthenticated(LastwordError):
    """Nobody is signed in."""

    def __init__(self) -> None:
        super().__init__(
            "nobody is signed in",
            expected="a session, or a token as `Authorization: Bearer TOKEN`",
            mend="make a token with `lastword users token`",
        )


class Forbidden(LastwordError):
    """Whoever asks may see it, and may not do this with it."""

    def __init__(self, capability: Capability, target_kind: str, target_id: str | None) -> None:
        self.capability = capability
        self.target_kind = target_kind
        self.target_id = target_id
        super().__init__(f"this needs the capability {capability}")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request.

    Attributes:
        site: the web.
        request: as it came.
        viewer: who asks; None on pages that are open to everybody.
        tenant: the tenant that the path names, if it names one.
        needs: the capability that the page needs.
        query: the fields of the URL.
        form: the fields of the form that was sent.
        body: the body as it was sent, for the API.
    """

    site: Site
    request: Request
    viewer: Viewer | None = None
    tenant: TenantRow | None = None
    needs: Capability | None = None
    query: Fields = field(default_factory=Fields)
    form: Fields = field(default_factory=Fields)
    body: bytes = b""

    @property
    def config(self) -> Config:
        """The configuration."""
        return self.site.config

    @property
    def ledger(self) -> Ledger:
        """The ledger."""
        return self.site.ledger

    @property
    def path(self) -> Mapping[str, Any]:
        """What the path names."""
        return self.request.path_params

    @property
    def person(self) -> Viewer:
        """Who asks, on pages that only somebody who is signed in can open."""
        assert self.viewer is not None, "the page is open"
        return self.viewer

    @property
    def here(self) -> TenantRow:
        """The tenant, on pages of one."""
        assert self.tenant is not None, "the path names no tenant"
        return self.tenant

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """Where whoever asks has the capability that the page needs."""
        return self.person.scopes_with(self.needs or Capability.VIEW)

    @property
    def request_id(self) -> str:
        """By which the answer, the log and the audit log name this request."""
        return str(self.request.state.request_id)

    @property
    def actor(self) -> Actor:
        """Who asks, for the audit log."""
        person = self.person
        return Actor(ActorKind.PERSON, person.name, person.user_id, self.request_id)

    def require(
        self,
        capability: Capability,
        *,
        workspace_id: str | None,
        tenant_id: str | None,
        target_kind: str = "run",
        target_id: str | None = None,
    ) -> None:
        """Refuse to go on unless whoever asks has a capability there.

        Raises:
            Forbidden: they have not.
        """
        if not self.person.may(capability, workspace_id, tenant_id):
            raise Forbidden(capability, target_kind, target_id)

    def may(self, capability: str) -> bool:
        """Whether whoever asks has a capability on the tenant of the page; for showing a button."""
        here = self.here
        return self.person.may(Capability(capability), here.workspace_id, here.tenant_id)

    def page(self, template: str, *, status: int = 200, **context: Any) -> Response:
        """A whole page."""
        return HTMLResponse(self._rendered(template, **self._frame(), **context), status)

    def fragment(self, template: str, **context: Any) -> Response:
        """A part of a page that is asked for again and again: 304 if it is as it was."""
        text = self._rendered(template, **context)
        tag = tag_of(text, without=self.request.state.nonce)
        headers = {"HX-PTag": tag, "Cache-Control": "no-store"}
        if self.request.headers.get("hx-ptag") == tag:
            return Response(status_code=304, headers=headers)
        return HTMLResponse(text, headers=headers)

    def part(self, template: str, **context: Any) -> Response:
        """A part of a page that is asked for when somebody wants to see it."""
        return HTMLResponse(self._rendered(template, **context))

    def json(self, value: Any, *, status: int = 200) -> Response:
        """A JSON answer."""
        return JSONResponse(value, status)

    def go(self, path: str, **query: Any) -> Response:
        """After something was done: to the page that shows it."""
        text = urlencode({key: value for key, value in query.items() if value is not None})
        return RedirectResponse(f"{path}?{text}" if text else path, 303)

    def _rendered(self, template: str, **context: Any) -> str:
        return self.site.rendering.render(
            template,
            asked=self,
            viewer=self.viewer,
            tenant=self.tenant,
            nonce=self.request.state.nonce,
            **context,
        )

    def _frame(self) -> dict[str, Any]:
        if self.viewer is None:
            return {"unread": 0, "silent_s": None, "is_silent": False}
        scopes = self.viewer.scopes_with(Capability.VIEW)
        around = read_frame(self.ledger, self.viewer.user_id, scopes=scopes)
        bound_s = MISSED_SWEEPS * self.config.sweep_interval
        return {
            "unread": around.unread,
            "silent_s": around.silent_s,
            "is_silent": around.silent_s is None or around.silent_s > bound_s,
        }
