"""One question to the provider, its answer, alone or in a batch, and what that answer means."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import httpx

from lastword_jobs.graph.errors import (
    DeltaExpired,
    NotFound,
    PermissionDenied,
    RequestRefused,
)

Json = dict[str, Any]

#: What an error's code may look like; anything else is not repeated.
_CODE = re.compile(r"[A-Za-z0-9_.]{1,60}")


@dataclass(frozen=True, slots=True)
class Ask:
    """A question.

    Attributes:
        method: of HTTP.
        path: below the base URL, with its version; or an absolute link that the provider gave.
        body: what is sent along.
        once: whether doing it twice would be wrong: it is not repeated unless it was refused.
    """

    method: str
    path: str
    body: Json | None = None
    once: bool = False

    @property
    def writes(self) -> bool:
        """Whether it changes something."""
        return self.method != "GET"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. `body` is None where there is none, or none that can be read."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None

    @classmethod
    def of(cls, answer: httpx.Response) -> Reply:
        """What came over the wire."""
        try:
            body = _json(answer.content) if answer.content else {}
        except (ValueError, RecursionError):
            # Cut off on its way, or a gateway's page.
            body = None
        headers = {key.lower(): value for key, value in answer.headers.items()}
        return cls(answer.status_code, headers, body)

    @classmethod
    def of_batch(cls, item: Json) -> Reply:
        """What a batch holds as the answer to one of its questions."""
        headers = item.get("headers")
        named = headers if isinstance(headers, dict) else {}
        body = item.get("body", {})
        if isinstance(body, str):
            try:
                body = _json(body)
            except (ValueError, RecursionError):
                body = None
        status = item.get("status")
        return cls(
            status if isinstance(status, int) else 0,
            {str(key).lower(): str(value) for key, value in named.items()},
            body,
        )


class Meaning(StrEnum):
    """What an answer means for its question."""

    DONE = "done"
    #: Ask again after a while.
    AGAIN = "again"
    #: The token is not good any more.
    TOKEN = "token"  # noqa: S105 - a word, not a secret
    #: Nobody knows whether it was done.
    UNKNOWN = "unknown"


def meaning_of(ask: Ask, reply: Reply | None) -> Meaning:
    """What an answer means; None is no answer at all.

    Raises:
        PermissionDenied: 403.
        NotFound: 404.
        DeltaExpired: 410, or what says the same.
        RequestRefused: any other refusal, or an answer that is none.
    """
    if reply is None:
        return Meaning.UNKNOWN if ask.once else Meaning.AGAIN
    if reply.status == httpx.codes.UNAUTHORIZED:
        return Meaning.TOKEN
    if reply.status == httpx.codes.TOO_MANY_REQUESTS:
        return Meaning.AGAIN
    if 400 <= reply.status < 500:
        raise _refusal(reply)
    if not 200 <= reply.status < 300 or reply.body is None:
        return Meaning.UNKNOWN if ask.once else Meaning.AGAIN
    if not isinstance(reply.body, dict):
        raise RequestRefused("The provider's answer is no object.")
    return Meaning.DONE


def _json(content: bytes | str) -> Any:
    return json.loads(content, parse_constant=_finite, parse_float=_finite)


def _finite(text: str) -> float:
    # Python reads more than JSON has, and nothing here could keep it.
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _refusal(reply: Reply) -> RequestRefused | PermissionDenied:
    said = f"status {reply.status}{_told(reply)}"
    if reply.status == httpx.codes.FORBIDDEN:
        return PermissionDenied(f"The provider refused permission with {said}.")
    if reply.status == httpx.codes.GONE or _code(reply.body) == "syncStateNotFound":
        return DeltaExpired(f"The provider answered a delta query with {said}.")
    if reply.status == httpx.codes.NOT_FOUND:
        return NotFound(f"The provider has no such object: {said}.")
    return RequestRefused(f"The provider refused a request with {said}.")


def _told(reply: Reply) -> str:
    # The code and the provider's own id of the request; never its message, which repeats inputs.
    code, request_id = _code(reply.body), reply.headers.get("request-id", "")
    told = [code] if code else []
    if _CODE.fullmatch(request_id.replace("-", "")):
        told.append(f"request {request_id}")
    return f" ({', '.join(told)})" if told else ""


def _code(body: Any) -> str:
    # The innermost error says it most exactly.
    error = body.get("error") if isinstance(body, dict) else None
    code = ""
    for _ in range(10):
        if not isinstance(error, dict):
            break
        given = error.get("code")
        if isinstance(given, str) and _CODE.fullmatch(given):
            code = given
        error = error.get("innerError") or error.get("innererror")
    return code
