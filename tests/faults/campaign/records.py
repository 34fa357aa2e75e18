"""Reads what there is to judge with a driver alone: the tables, and the journal of the jobs."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

TABLES = ("run", "event", "attempt", "worker", "notification")


def read_tables(url: str) -> dict[str, list[dict[str, Any]]]:
    """All rows of the ledger at a URL, in one snapshot."""
    if url.startswith("sqlite:///"):
        return _of_sqlite(Path(url.removeprefix("sqlite:///")))
    with psycopg.connect(url, row_factory=dict_row) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        return {
            table: connection.execute(f"SELECT * FROM lastword_{table}".encode()).fetchall()
            for table in TABLES
        }


def _of_sqlite(file: Path) -> dict[str, list[dict[str, Any]]]:
    connection = sqlite3.connect(file, timeout=10)
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("BEGIN")
        return {
            table: [dict(row) for row in connection.execute(f"SELECT * FROM lastword_{table}")]
            for table in TABLES
        }
    finally:
        connection.close()


def read_journal(file: Path) -> list[Sequence[str]]:
    """The whole lines of a journal; one that a death cut short was not yet on the disk."""
    text = file.read_text() if file.exists() else ""
    lines = [line.split() for line in text.splitlines()]
    return [line for line in lines if len(line) == 5]
