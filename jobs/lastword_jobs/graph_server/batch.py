"""JSON batching: up to 20 requests in one, each answered, throttled and refused by itself."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from lastword_jobs.graph_server.answers import Answer, Refusal, bad_request
from lastword_jobs.graph_server.calls import Call

#: Requests in a batch at most.
MAX_REQUESTS = 20

#: The path that takes batches.
BATCH_PATH = "$batch"

_METHODS = ("GET", "POST", "PATCH", "PUT", "DELETE")
_KEYS = frozenset({"id", "method", "url", "headers", "body", "dependsOn"})

#: Answers one request of a batch.
Ask = Callable[[Call], Awaitable[Answer]]


async def answer_batch(call: Call, ask: Ask, *, number: int) -> Answer:
    """POST /$batch: 200, whatever becomes of the requests in it.

    Args:
        call: the batch.
        ask: answers one request.
        number: what the journal calls this batch.

    Raises:
        Refusal: the batch itself makes no sense.
    """
    requests = _requests(call)
    answers: dict[str, Answer] = {}
    for request in requests:
        needed = [answers[name].status for name in request.get("dependsOn", ())]
        if any(status >= 400 for status in needed):
            answers[request["id"]] = _refused(
                Refusal(424, "FailedDependency", "A request this one depends on has failed.")
            )
            continue
        try:
            inner = _inner(call, request, number)
        except Refusal as refusal:
            answers[request["id"]] = _refused(refusal)
            continue
        answers[request["id"]] = await ask(inner)
    # The order of the answers is free. The last first, so that nobody comes to rely on another.
    responses = [_response(name, answer) for name, answer in reversed(answers.items())]
    return Answer(200, {"responses": responses})


def _requests(call: Call) -> list[dict[str, Any]]:
    document = call.document()
    requests = document.get("requests")
    if not isinstance(requests, list) or not requests:
        raise bad_request("Invalid batch payload format: 'requests' must hold requests.")
    if len(requests) > MAX_REQUESTS:
        raise bad_request(f"Number of batch requests cannot exceed {MAX_REQUESTS}.")
    seen: set[str] = set()
    for request in requests:
        _require_sound(request, seen)
        seen.add(request["id"])
    return requests


def _require_sound(request: Any, earlier: set[str]) -> None:
    if not isinstance(request, dict) or set(request) - _KEYS:
        raise bad_request("Invalid batch payload format: a request has unknown properties.")
    name = request.get("id")
    if not isinstance(name, str) or not name:
        raise bad_request("Every request of a batch needs an id, which is a string.")
    if name in earlier:
        raise bad_request(f"The request id '{name}' is there twice.")
    if request.get("method") not in _METHODS or not isinstance(request.get("url"), str):
        raise bad_request(f"The request '{name}' needs a method and a url.")
    needed = request.get("dependsOn", [])
    if not isinstance(needed, list) or not all(isinstance(item, str) for item in needed):
        raise bad_request(f"dependsOn of the request '{name}' must be a list of ids.")
    # An order without circles is one in which everything needed has come before.
    if not set(needed) <= earlier:
        raise bad_request(f"The request '{name}' depends on one that does not come before it.")


def _inner(call: Call, request: Mapping[str, Any], number: int) -> Call:
    try:
        parts = urlsplit(request["url"])
    except ValueError:
        raise bad_request("A url in a batch is none.") from None
    path = unquote(parts.path).lstrip("/")
    if parts.scheme or parts.netloc:
        raise bad_request("A url in a batch is relative to the version.")
    if path == BATCH_PATH:
        raise bad_request("A batch cannot hold a batch.")
    headers = request.get("headers", {})
    if not isinstance(headers, dict):
        raise bad_request("The headers of a request in a batch must be an object.")
    lower = {str(key).lower(): str(value) for key, value in headers.items()}
    if "body" in request and "content-type" not in lower:
        raise bad_request("A request with a body needs a Content-Type header.")
    own = {"authorization", "client-request-id"}
    outer = {key: value for key, value in call.headers.items() if key in own}
    return Call(
        method=request["method"],
        version=call.version,
        path=path,
        options=parse_qsl(parts.query, keep_blank_values=True),
        headers={**lower, **outer},
        content=json.dumps(request["body"]).encode() if "body" in request else b"",
        base_url=call.base_url,
        batch=number,
    )


def _response(name: str, answer: Answer) -> dict[str, Any]:
    response: dict[str, Any] = {"id": name, "status": answer.status}
    response["headers"] = {"Content-Type": "application/json", **answer.headers}
    if answer.body is not None:
        response["body"] = answer.body
    return response


def _refused(refusal: Refusal) -> Answer:
    error = {"code": refusal.code, "message": refusal.message}
    return Answer(refusal.status, {"error": error}, refusal.headers)
