"""Answers that say no: one page and one JSON form for each, with what was seen and the mend."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from lastword.errors import LastwordError, LedgerUnavailable, SchemaError, StartRefused, Unavailable
from lastword.web.asking import Asked, Forbidden, NotFound, Unauthenticated
from lastword.web.fields import BadInput


def refuse(asked: Asked, is_api: bool, error: LastwordError | None) -> Response:
    """The answer to a request that is refused or broke.

    Args:
        asked: the request.
        is_api: whether a program asks.
        error: why; None if something broke that nobody foresaw.
    """
    status = status_of(error)
    sentence = sentence_of(error)
    if is_api:
        code = status.name.lower()
        body = {"error": {"code": code, "message": sentence, "request_id": asked.request_id}}
        response = asked.json(body, status=status)
    else:
        response = _page(asked, status, sentence)
    if status is HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _page(asked: Asked, status: HTTPStatus, sentence: str) -> Response:
    shown: dict[str, Any] = {"status": status, "code": status, "sentence": sentence}
    bare = replace(asked, viewer=None)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        # What stands around a page is read from the ledger, and would break as well.
        return bare.page("refusal.html", **shown)
    try:
        return asked.page("refusal.html", **shown)
    except LastwordError:
        return bare.page("refusal.html", **shown)


def status_of(error: LastwordError | None) -> HTTPStatus:
    """The status that an error is answered with."""
    if error is None:
        return HTTPStatus.INTERNAL_SERVER_ERROR
    for kind, status in (
        (Unauthenticated, HTTPStatus.UNAUTHORIZED),
        (NotFound, HTTPStatus.NOT_FOUND),
        (Forbidden, HTTPStatus.FORBIDDEN),
        (BadInput, HTTPStatus.UNPROCESSABLE_ENTITY),
        (StartRefused, HTTPStatus.UNPROCESSABLE_ENTITY),
        (Unavailable, HTTPStatus.SERVICE_UNAVAILABLE),
        (SchemaError, HTTPStatus.SERVICE_UNAVAILABLE),
    ):
        if isinstance(error, kind):
            return status
    return HTTPStatus.CONFLICT


def sentence_of(error: LastwordError | None) -> str:
    """What people read of it: never what a database says of itself."""
    if error is None:
        return "Something broke that nobody foresaw. Its request is named in the log."
    if isinstance(error, LedgerUnavailable):
        return "The ledger does not answer. Nothing is lost; try again in a moment."
    if isinstance(error, SchemaError):
        return "The ledger is of another version than this web. Run `lastword migrate`."
    return error.sentence
