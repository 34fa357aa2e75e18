"""The query options, read strictly: what is not known here is refused, not overlooked."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lastword_jobs.graph_server.answers import Refusal, bad_request
from lastword_jobs.graph_server.resources import Part, Resource, Workload
from lastword_jobs.graph_server.tenants import Entity

_LITERAL = r"'((?:[^']|'')*)'"
_EQUALS = re.compile(rf"(\w+) eq {_LITERAL}")
_STARTS = re.compile(rf"startswith\((\w+),\s*{_LITERAL}\)")

#: What may stand in the brackets after `$expand=scheduledActionsForRule`.
_NESTED = "($expand=scheduledActionConfigurations)"


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition on one property."""

    property: str
    text: str
    is_prefix: bool

    def fits(self, entity: Entity) -> bool:
        """Whether an object fulfils it; like the service, it does not tell A from a."""
        value = str(entity.get(self.property, "")).casefold()
        text = self.text.casefold()
        return value.startswith(text) if self.is_prefix else value == text


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a listing or of one object."""

    select: frozenset[str] | None = None
    top: int | None = None
    skip: tuple[int, str] = (0, "")
    expand: frozenset[str] = frozenset()
    nested: bool = False
    filter: Filter | None = None
    count: bool = False


def options_of(
    query: Mapping[str, str],
    resource: Resource,
    *,
    allowed: frozenset[str],
    headers: Mapping[str, str],
) -> Options:
    """The options of a query.

    Args:
        query: the options as they came.
        resource: what they are about.
        allowed: the options that fit here.
        headers: the headers, in lower case.

    Raises:
        Refusal: an option is unknown, does not fit here or has a wrong value.
    """
    for option in query:
        if option not in allowed:
            raise bad_request(f"The query option '{option}' is not supported.")
    expand, nested = _expanded(query.get("$expand"), resource)
    return Options(
        select=_selected(query.get("$select"), resource),
        top=_top(query.get("$top"), resource),
        skip=_skip(query.get("$skiptoken")),
        expand=expand,
        nested=nested,
        filter=_filter(query.get("$filter"), resource),
        count=_count(query.get("$count"), resource, headers),
    )


def token_of(value: Any) -> str:
    """An opaque token that holds a value."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def value_of(token: str) -> Any:
    """The value in a token; None when it is no token of ours."""
    try:
        return json.loads(base64.urlsafe_b64decode(token.encode("ascii")))
    except (ValueError, binascii.Error, RecursionError):
        return None


def _selected(text: str | None, resource: Resource) -> frozenset[str] | None:
    if text is None:
        return None
    wanted = frozenset(name.strip() for name in text.split(","))
    for name in sorted(wanted - resource.properties):
        raise bad_request(f"Could not find a property named '{name}' on '{resource.name}'.")
    return wanted


def _top(text: str | None, resource: Resource) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal() or int(text[:9]) < 1:
        raise bad_request(f"Invalid value '{text}' for $top.")
    top = int(text[:9])
    if resource.workload is Workload.DIRECTORY and top > resource.most:
        raise bad_request(f"Invalid page size specified: '{top}'; at most {resource.most}.")
    return min(top, resource.most)


def _skip(token: str | None) -> tuple[int, str]:
    if token is None:
        return (0, "")
    match value_of(token):
        case [int(offset), str(last_id)] if offset > 0:
            return (offset, last_id)
    raise bad_request("The skip token is not valid.")


def _expanded(text: str | None, resource: Resource) -> tuple[frozenset[str], bool]:
    if text is None:
        return frozenset(), False
    nested = _NESTED in text
    names = frozenset(text.replace(f"{Part.RULES}{_NESTED}", Part.RULES).split(","))
    for name in sorted(names - resource.expandable):
        raise bad_request(f"Parsing OData Select and Expand failed: '{name}'.")
    return names, nested


def _filter(text: str | None, resource: Resource) -> Filter | None:
    if text is None:
        return None
    equals, starts = _EQUALS.fullmatch(text), _STARTS.fullmatch(text)
    found = equals or starts
    if found is None:
        raise bad_request("Invalid filter clause.")
    name, literal = found[1], found[2].replace("''", "'")
    if name not in {"id", resource.name_key} or (starts and name == "id"):
        raise bad_request(f"Filtering by '{name}' is not supported.")
    return Filter(name, literal, is_prefix=starts is not None)


def _count(text: str | None, resource: Resource, headers: Mapping[str, str]) -> bool:
    if text is None or text == "false":
        return False
    if text != "true":
        raise bad_request(f"Invalid value '{text}' for $count.")
    # The directory counts only for those who accept an index that lags; on every page anew.
    is_eventual = headers.get("consistencylevel", "").lower() == "eventual"
    if resource.workload is Workload.DIRECTORY and not is_eventual:
        raise Refusal(
            400, "Request_UnsupportedQuery", "$count needs the header ConsistencyLevel: eventual."
        )
    return True
