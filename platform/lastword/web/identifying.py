"""Who asks: by the session's cookie, by an API token, or by the word of a trusted proxy."""

from __future__ import annotations

from ipaddress import ip_address

from starlette.requests import Request

from lastword.reading.viewers import Viewer, viewer_of_session, viewer_of_token, viewer_of_user
from lastword.web.site import Site

#: Characters of a token or a user's id that are looked at.
LONGEST = 200


def viewer_of(site: Site, request: Request, *, with_tokens: bool) -> Viewer | None:
    """The person who asks; None if nobody is known.

    Args:
        site: the web.
        request: the request.
        with_tokens: whether an API token counts here.
    """
    header = request.headers.get("authorization")
    if header is not None:
        # Whoever sends one wants to be judged by it, and by nothing else.
        kind, _, token = header.partition(" ")
        if not with_tokens or kind.lower() != "bearer" or not 0 < len(token) <= LONGEST:
            return None
        return viewer_of_token(site.ledger, token)
    if "proxy" in site.config.web_auth and is_trusted(site, request):
        user_id = request.headers.get(site.config.proxy_user_header, "")
        if 0 < len(user_id) <= LONGEST and user_id.isprintable():
            return viewer_of_user(site.ledger, user_id, method="proxy")
    cookie = request.cookies.get(site.cookie, "")
    if not 0 < len(cookie) <= LONGEST:
        return None
    return viewer_of_session(site.ledger, cookie, idle_s=site.config.session_idle)


def is_trusted(site: Site, request: Request) -> bool:
    """Whether the other end of the socket is a trusted proxy."""
    if request.client is None:
        return False
    try:
        peer = ip_address(request.client.host)
    except ValueError:
        return False
    return any(peer in network for network in site.proxies)
