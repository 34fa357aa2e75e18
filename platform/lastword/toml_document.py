"""A TOML file that knows where its keys stand, so that an error can name the line."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lastword.errors import ConfigError


@dataclass(frozen=True, slots=True)
class TomlDocument:
    """A TOML file, as parsed and as written.

    Attributes:
        origin: what errors call it.
        text: as it was read.
        content: as parsed.
    """

    origin: str
    text: str
    content: dict[str, Any]

    @classmethod
    def read(cls, file: Path) -> TomlDocument:
        """Read a file.

        Raises:
            ConfigError: it cannot be read, or is not TOML.
        """
        try:
            text = file.read_text(encoding="utf-8")
            content = tomllib.loads(text)
            _require_shown(content)
            return cls(str(file), text, content)
        except OSError as error:
            raise ConfigError(
                [f"configuration file {file} cannot be read: {error.strerror}"],
                mend="set LASTWORD_CONFIG to a readable TOML file, or unset it",
            ) from error
        except (ValueError, RecursionError) as error:
            # Not all of it is the parser's own: numbers of thousands of digits, lists in lists.
            raise ConfigError([f"configuration file {file} is not TOML: {error}"]) from error

    def place(self, *path: str) -> str:
        """Where the table or key at `path` stands, as `FILE:LINE`."""
        return f"{self.origin}:{line_of(self.text, path)}"


def line_of(text: str, path: Sequence[str]) -> int:
    """The line, from 1, on which the table or key at `path` begins; 1 if it is not there.

    The standard parser tells no positions: the first beginning of the text that parses and has the
    key ends with it. So this costs one parse a line, and is for errors.
    """
    lines = text.splitlines()
    complete = 0
    for count in range(1, len(lines) + 1):
        try:
            document = tomllib.loads("\n".join(lines[:count]))
        except tomllib.TOMLDecodeError:
            # In the middle of a value of several lines.
            continue
        if _has(document, path):
            return complete + 1
        complete = count
    return 1


def _require_shown(value: Any) -> None:
    # TOML promises 64 bits. Python reads more, and cannot always print it again.
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("a whole number in it has more than 64 bits")
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in inner:
        _require_shown(item)


def _has(document: Mapping[str, Any], path: Sequence[str]) -> bool:
    inner: Any = document
    for key in path:
        if not isinstance(inner, Mapping) or key not in inner:
            return False
        inner = inner[key]
    return True
