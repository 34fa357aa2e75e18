"""What the server says: an answer as plain values, and a refusal in Graph's own words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

JSON_TYPE = "application/json; odata.metadata=minimal; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer before it is put on the wire.

    Attributes:
        status: the HTTP status.
        body: text is sent as it is, None as nothing, anything else as JSON.
        headers: headers besides the content type.
    """

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        """The body as bytes."""
        if self.body is None:
            return b""
        text = self.body if isinstance(self.body, str) else json.dumps(self.body)
        return text.encode()

    def with_headers(self, headers: Mapping[str, str]) -> Answer:
        """The same answer with further headers; its own win."""
        return Answer(self.status, self.body, {**headers, **self.headers})


class Refusal(Exception):
    """What Graph answers instead of doing what was asked.

    Args:
        status: the HTTP status.
        code: `error.code`.
        message: `error.message`.
        headers: headers of the answer.
    """

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})
        super().__init__(f"{status} {code}: {message}")

    def answer(self, *, request_id: str, client_request_id: str | None, date: str) -> Answer:
        """The refusal as Graph words it."""
        inner = {
            "date": date,
            "request-id": request_id,
            "client-request-id": client_request_id or request_id,
        }
        error = {"code": self.code, "message": self.message, "innerError": inner}
        return Answer(self.status, {"error": error}, self.headers)


def bad_request(message: str) -> Refusal:
    """400: what was asked makes no sense to the service."""
    return Refusal(400, "BadRequest", message)


def no_segment(segment: str) -> Refusal:
    """400: this version has nothing of that name."""
    return bad_request(f"Resource not found for the segment '{segment}'.")


def not_found() -> Refusal:
    """404: no object with this id."""
    return Refusal(404, "ResourceNotFound", "Resource does not exist.")


def not_allowed(method: str) -> Refusal:
    """405: the route exists, not with this method."""
    return Refusal(
        405,
        "Request_BadRequest",
        f"Specified HTTP method '{method}' is not allowed for the request target.",
    )


def expired() -> Refusal:
    """401: no token, an unknown one, or one that has expired."""
    return Refusal(
        401,
        "InvalidAuthenticationToken",
        "Lifetime validation failed, the token is expired.",
        {
            "WWW-Authenticate": "Bearer authorization_uri="
            '"https://login.microsoftonline.com/common/oauth2/authorize"'
        },
    )
