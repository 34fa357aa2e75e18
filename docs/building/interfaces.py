"""The pages of the Python and the HTTP interface."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from docs.building.writing import described, table

import lastword
import lastword.testing
import lastword_middleware
from lastword.web.openapi import document

_PYTHON = """# Python

What applications import. Everything else may change without notice.

"""

_HTTP = """# HTTP

The monitoring web's JSON interface. Whoever asks shows a token (`lastword users token`) as
`Authorization: Bearer TOKEN`. The OpenAPI document, of which this page is made, is at
`/api/openapi.json`.

"""


#: Methods that the worker calls, and no actor.
_INNER = ("take_unsaved", "keep_unsaved")


def python_page() -> str:
    """Every public name of the packages that applications import."""
    parts = []
    for module in (lastword, lastword_middleware, lastword.testing):
        parts.append(f"## {module.__name__}")
        names = [name for name in sorted(module.__all__) if not name.startswith("__")]
        parts += [_of(module.__name__, name, getattr(module, name)) for name in names]
    return _PYTHON + "\n\n".join(parts)


def _of(module: str, name: str, thing: Any) -> str:
    if inspect.isclass(thing) and issubclass(thing, enum.Enum):
        said = f"{inspect.getdoc(thing)}\n\nThe codes are [listed](reasons.md)."
        return f"### {name}\n\n{said}"
    blocks = [f"### {name}", described(thing)]
    if not inspect.isclass(thing) or issubclass(thing, Exception):
        blocks.insert(1, f"```text\n{module}.{name}{_signature(thing)}\n```")
    if inspect.isclass(thing):
        for key, member in sorted(vars(thing).items()):
            if not key.startswith("_") and key not in _INNER and inspect.isfunction(member):
                blocks += [f"#### {name}.{key}", f"`{key}{_signature(member)}`", described(member)]
    return "\n\n".join(blocks)


@dataclass(frozen=True, slots=True)
class _Words:
    """An annotation that is text, and shown without quotes."""

    text: str

    def __repr__(self) -> str:
        return self.text


def _signature(thing: Any) -> str:
    signature = inspect.signature(thing)
    shown = [
        item.replace(annotation=_Words(item.annotation), default=_default(item.default))
        for item in signature.parameters.values()
        if not item.name.startswith("_") and item.name != "self"
    ]
    returned = _Words(signature.return_annotation)
    return str(signature.replace(parameters=shown, return_annotation=returned))


def _default(value: object) -> object:
    # How a value of our own is made says nothing to whoever leaves it out.
    ours = type(value).__module__.startswith("lastword")
    return _Words("...") if ours and not isinstance(value, str) else value


def http_page() -> str:
    """Every route of the OpenAPI document."""
    content = document({})
    parts = [
        part
        for path, routes in content["paths"].items()
        for method, route in routes.items()
        for part in _route(method, path, route)
    ]
    parts.append("## Bodies")
    for name, schema in content["components"]["schemas"].items():
        parts.append(f"### {name}\n\n{_properties(schema)}")
    return _HTTP + "\n\n".join(parts)


def _route(method: str, path: str, route: dict[str, Any]) -> Iterator[str]:
    yield f"## {method.upper()} {path}\n\n{route['summary']}."
    if "parameters" in route:
        rows = [_parameter(item) for item in route["parameters"]]
        yield table(["parameter", "in", "holds"], rows)
    if "requestBody" in route:
        schema = route["requestBody"]["content"]["application/json"]["schema"]
        yield "The body is JSON:\n\n" + _properties(schema)
    answers = route["responses"].items()
    rows = [(code, answer["description"], _schema(answer)) for code, answer in answers]
    yield table(["answer", "when", "body"], rows)


def _parameter(item: dict[str, Any]) -> tuple[str, str, str]:
    return f"`{item['name']}`", item["in"], _holds(item["schema"])


def _properties(schema: dict[str, Any]) -> str:
    if "allOf" in schema:
        return " and ".join(_holds(part) for part in schema["allOf"])
    required = schema.get("required", [])
    rows = [
        (f"`{name}`", _holds(inner), "yes" if name in required else "no")
        for name, inner in schema.get("properties", {}).items()
    ]
    return table(["field", "holds", "always there"], rows)


def _schema(answer: dict[str, Any]) -> str:
    schema = answer["content"]["application/json"]["schema"]
    return _holds(schema)


def _holds(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return f"`{schema['$ref'].rpartition('/')[2]}`"
    if "anyOf" in schema:
        return " or ".join(_holds(part) for part in schema["anyOf"])
    if "enum" in schema:
        return " ".join(f"`{value}`" for value in schema["enum"] if value is not None)
    kinds = schema.get("type", "anything")
    kind = kinds if isinstance(kinds, str) else " or ".join(kinds)
    if kind == "array":
        return f"list of {_holds(schema['items'])}"
    return f"{kind}, {schema['format']}" if "format" in schema else str(kind)
