"""How commands print: a table for people, or one JSON value and nothing else for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

#: Keys whose values stay on one line.
_WHOLE = frozenset({"id", "run", "status", "outcome", "tenant_id", "operation"})

#: Columns of a table when stdout is not a terminal and says nothing of its width.
WIDTH_OF_A_PIPE = 160

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")


def print_json(value: object) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def print_rows(
    rows: Sequence[Mapping[str, Any]],
    columns: Mapping[str, str],
    *,
    as_json: bool,
    empty: str,
) -> None:
    """Print rows as a JSON array or as a table.

    Args:
        rows: what to print.
        columns: key of a row to the heading of its column.
        as_json: print the whole rows as JSON.
        empty: what to say to a person when there are none.
    """
    if as_json:
        print_json(list(rows))
        return
    if not rows:
        click.echo(empty)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for key, heading in columns.items():
        # An id that is cut in two can be neither copied nor searched for.
        table.add_column(heading, overflow="fold", no_wrap=key in _WHOLE)
    for row in rows:
        # As Text: what stands in square brackets is a name, not a style.
        table.add_row(*(Text(_text(row.get(key))) for key in columns))
    new_console().print(table)


def new_console() -> Console:
    """A console on stdout, wide enough for a table when nobody says how wide it is."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH_OF_A_PIPE)
    return console


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, Mapping):
        return " ".join(f"{key}={item}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(str(item) for item in value) or "-"
    return str(value)
