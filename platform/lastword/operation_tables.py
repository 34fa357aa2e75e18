"""The policies of all operations: one's own tables over those of installed packages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from lastword.errors import ConfigError
from lastword.policy import Policy
from lastword.policy_tables import policy_from_table
from lastword.toml_document import TomlDocument

#: The entry point group whose members name a file of operation policies.
OPERATIONS_GROUP = "lastword.operations"


def read_table(document: TomlDocument, section: str, *, faults: list[str]) -> dict[str, Any]:
    """One table of the file, empty if it has none; what is no table is a fault."""
    table = document.content.get(section, {})
    if isinstance(table, dict):
        return table
    # Its kind, not its value: there may be a secret in it.
    kind = type(table).__name__
    faults.append(f"{document.place(section)}: [{section}] is of type {kind}; expected a table")
    return {}


def shipped_tables() -> dict[str, tuple[TomlDocument, dict[str, Any]]]:
    """The tables of installed packages, each with the document it is in."""
    shipped = {}
    for entry in entry_points(group=OPERATIONS_GROUP):
        document = TomlDocument.read(Path(entry.load()))
        for name, table in document.content.get("operations", {}).items():
            shipped[name] = (replace(document, origin=Path(document.origin).name), table)
    return shipped


def read_policies(
    shipped: Mapping[str, tuple[TomlDocument, dict[str, Any]]],
    document: TomlDocument,
    *,
    faults: list[str],
) -> dict[str, Policy]:
    """The policy of every operation; each fault names the line it was found in."""
    tables = dict(shipped)
    for name, table in read_table(document, "operations", faults=faults).items():
        if not isinstance(table, dict):
            place = document.place("operations", name)
            faults.append(f'{place}: operations."{name}" is {table!r}; expected a table')
            continue
        tables[name] = (document, {**(tables[name][1] if name in tables else {}), **table})
    policies: dict[str, Policy] = {}
    for name, (written, table) in tables.items():

        def origin(key: str, written: TomlDocument = written, name: str = name) -> str:
            at_key = written.content["operations"][name]
            return written.place("operations", name, *([key] if key in at_key else []))

        try:
            policies[name] = policy_from_table(name, table, origin=origin)
        except ConfigError as error:
            faults.extend(error.faults)
    return policies
