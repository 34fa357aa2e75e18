"""Measures: numbers that grow, written in the transaction of what they count.

Each transaction adds rows of its own, so no two wait for one row; `fold` adds them up. A reader
takes both tables in one statement, and sees each count once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lastword.storage.ledger import Ledger

#: Characters of one set of labels at most; what is longer is cut, and becomes `unknown` to readers.
LONGEST_LABELS = 300

#: Rows that are added up at a time.
MOST_FOLDED = 10_000

#: A measure: its name and its labels.
Measure = tuple[str, tuple[str, ...]]


def write_measures(ledger: Ledger, counted: Mapping[Measure, int]) -> None:
    """Add to measures. Called by the ledger when its outermost transaction ends."""
    columns: dict[str, Any] = {"name": "text", "labels": "text", "value": "integer"}
    rows = [
        {"name": name, "labels": _text(labels), "value": value}
        for (name, labels), value in counted.items()
        if value
    ]
    if rows:
        ledger.execute(
            "INSERT INTO lastword_measured (name, labels, value) "
            f"SELECT item_name, item_labels, item_value FROM {ledger.dialect.batch(columns)} "
            "AS item",
            json.dumps(rows),
        )


def read_measures(ledger: Ledger) -> dict[Measure, int]:
    """Every measure, as of one moment."""
    with ledger.session():
        rows = ledger.execute(
            "SELECT name, labels, SUM(value) AS value FROM ("
            "SELECT name, labels, value FROM lastword_measure UNION ALL "
            "SELECT name, labels, value FROM lastword_measured) AS every GROUP BY name, labels"
        )
    found: dict[Measure, int] = {}
    for row in rows:
        try:
            labels = tuple(str(label) for label in json.loads(row["labels"]))
        except ValueError:
            labels = ()
        found[row["name"], labels] = int(row["value"])
    return found


def fold(ledger: Ledger) -> int:
    """Add rows up into one for each measure; how many were. Only one process may do it at a time.

    What is written meanwhile is left for the next time.
    """
    with ledger.transaction():
        rows = ledger.execute(
            "DELETE FROM lastword_measured WHERE id IN (SELECT id FROM lastword_measured "
            f"ORDER BY id LIMIT {MOST_FOLDED}) RETURNING name, labels, value"
        )
        totals: dict[tuple[str, str], int] = {}
        for row in rows:
            key = (row["name"], row["labels"])
            totals[key] = totals.get(key, 0) + int(row["value"])
        columns: dict[str, Any] = {"name": "text", "labels": "text", "value": "integer"}
        if totals:
            ledger.execute(
                "INSERT INTO lastword_measure (name, labels, value) "
                "SELECT item_name, item_labels, item_value "
                f"FROM {ledger.dialect.batch(columns)} AS item WHERE TRUE "
                "ON CONFLICT (name, labels) DO UPDATE "
                "SET value = lastword_measure.value + excluded.value",
                json.dumps(
                    [
                        {"name": name, "labels": labels, "value": value}
                        for (name, labels), value in sorted(totals.items())
                    ]
                ),
            )
    return len(rows)


def _text(labels: tuple[str, ...]) -> str:
    return json.dumps(labels)[:LONGEST_LABELS]
