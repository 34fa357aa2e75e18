"""Where a path leads, who may go there, and which handler answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lastword_jobs.graph_server import assigning, delta, reading, writing
from lastword_jobs.graph_server.answers import Answer, Refusal, no_segment, not_allowed
from lastword_jobs.graph_server.calls import Errand, Target
from lastword_jobs.graph_server.catalogue import BY_PATH, DOCUMENTS
from lastword_jobs.graph_server.resources import Part, Workload
from lastword_jobs.graph_server.tokens import Grant

VERSIONS = frozenset({"v1.0", "beta"})

Handler = Callable[[Errand], Answer]

_FOR_COLLECTIONS: Mapping[str, Handler] = {"GET": reading.list_objects, "POST": writing.create}

_FOR_OBJECTS: Mapping[str, Handler] = {
    "GET": reading.get_object,
    "PATCH": writing.change,
    "PUT": writing.replace,
    "DELETE": writing.delete,
}

_FOR_PARTS: Mapping[Part, Mapping[str, Handler]] = {
    Part.ASSIGNMENTS: {"GET": reading.list_part},
    Part.SETTINGS: {"GET": reading.list_part},
    Part.RULES: {"GET": reading.list_rules},
    Part.PLAIN_TEXT: {"GET": reading.get_plain_text},
    Part.ASSIGN: {"POST": assigning.assign},
    Part.SCHEDULE_RULES: {"POST": writing.schedule_rules},
    Part.SET_ACTIONS: {"POST": writing.set_actions},
}

_DELTA = "groups/delta"


def target_of(version: str, path: str) -> Target:
    """Where a path leads.

    Raises:
        Refusal: nowhere, or not in this version.
    """
    segments = path.split("/")
    if version not in VERSIONS:
        raise no_segment(version)
    if path in DOCUMENTS:
        return Target(path)
    if path == _DELTA:
        return Target(path, BY_PATH["groups"], part="delta")
    for length in range(len(segments), 0, -1):
        resource = BY_PATH.get("/".join(segments[:length]))
        if resource is None:
            continue
        if version not in resource.versions:
            break
        rest = segments[length:]
        if not rest:
            return Target(resource.path, resource)
        entity_id, part, argument = rest[0], *_function(rest[1:])
        if not entity_id or (part and part not in set(resource.parts)):
            break
        template = f"{resource.path}/{{id}}" + (f"/{part}" if part else "")
        return Target(template, resource, entity_id, part, argument)
    raise no_segment(segments[-1] if len(segments) < 2 else "/".join(segments[1:2]))


def workload_of(target: Target) -> Workload:
    """Which service answers."""
    return target.resource.workload if target.resource else Workload.INTUNE


def require_role(method: str, target: Target, grant: Grant) -> None:
    """Refuse an application without a role for this.

    Raises:
        Refusal: it has none.
    """
    reads, writes = target.resource.permission if target.resource else DOCUMENTS[target.template]
    if grant.roles & (reads if method == "GET" else writes):
        return
    if workload_of(target) is not Workload.INTUNE:
        message = "Insufficient privileges to complete the operation."
        raise Refusal(403, "Authorization_RequestDenied", message)
    # A document in a string: that is how Intune words its errors.
    message = "Application is not authorized to perform this operation."
    text = f'{{\r\n  "_version": 3,\r\n  "Message": "{message}"\r\n}}'
    raise Refusal(403, "Forbidden", text)


def handler_of(method: str, target: Target) -> Handler:
    """The handler for a method.

    Raises:
        Refusal: the method does not fit there.
    """
    if target.resource is None:
        handlers: Mapping[str, Handler] = {"GET": reading.get_document}
    elif target.part == "delta":
        handlers = {"GET": delta.list_changes}
    elif target.part:
        handlers = _FOR_PARTS[Part(target.part)]
    else:
        methods = target.resource.methods
        table = _FOR_OBJECTS if target.entity_id else _FOR_COLLECTIONS
        handlers = {name: handler for name, handler in table.items() if name in methods}
    handler = handlers.get(method)
    if handler is None:
        raise not_allowed(method)
    return handler


def _function(rest: list[str]) -> tuple[str, str]:
    # A function's argument stands in brackets: getX(reference='...').
    if not rest:
        return "", ""
    part, _, argument = "/".join(rest).partition("(")
    return part, argument.removesuffix(")")
