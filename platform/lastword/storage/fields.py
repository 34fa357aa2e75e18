"""Kinds of columns that Peewee does not bring along."""

from __future__ import annotations

import json
from typing import Any

from peewee import TextField


class JsonText(TextField):
    """JSON kept as text: the same on both databases, and readable without their JSON types."""

    def db_value(self, value: Any) -> Any:
        """The text to store."""
        if value is None:
            return None
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        # Half of a surrogate pair comes out of JSON, and no database takes it.
        return text.encode(errors="replace").decode()

    def python_value(self, value: Any) -> Any:
        """The value that was stored."""
        return None if value is None else json.loads(value)
