"""YAML files, document by document; what cannot be read is a finding and no crash."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lastword.deployment.units import Check, Read
from lastword.errors import LastwordError

#: What the parser lets through of a value that it cannot make: a day that no month has, a tag that
#: does not fit, lists in lists in lists.
_LEFT_TO_PYTHON = (ValueError, TypeError, AttributeError, LookupError, RecursionError)

#: A mapping of a document.
Table = Mapping[str, Any]


def yaml_documents(root: Path, read: Read) -> Iterator[tuple[Path, Table]]:
    """Every mapping that a YAML file below `root` holds, with its file.

    Raises:
        LastwordError: PyYAML is not installed.
    """
    files = files_below(root, "*.yaml", "*.yml")
    if not files:
        return
    try:
        import yaml
    except ImportError as error:
        raise LastwordError(
            f"{files[0]} is YAML, and PyYAML is not installed",
            mend="run `pip install 'lastword[deploy]'`",
        ) from error
    for file in files:
        name = str(file.relative_to(root))
        try:
            documents = list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
            # A hexadecimal number may be too long to be shown in a finding.
            str(documents)
        except UnicodeDecodeError:
            read.find(Check.READABLE, name, "it is not UTF-8", "save it as UTF-8")
            continue
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            place = f"{name}:{mark.line + 1}" if mark else name
            problem = getattr(error, "problem", None) or "it cannot be read"
            read.find(Check.READABLE, place, f"it is not YAML: {problem}", "mend it")
            continue
        except _LEFT_TO_PYTHON as error:
            read.find(Check.READABLE, name, f"it cannot be read: {error}", "mend it")
            continue
        yield from ((file, item) for item in documents if isinstance(item, Mapping))


def files_below(root: Path, *patterns: str) -> list[Path]:
    """Every file below `root` whose name fits one of some patterns."""
    found = {file for pattern in patterns for file in root.rglob(pattern)}
    return sorted(file for file in found if file.is_file())


def is_file(file: Path) -> bool:
    """Whether there is such a file; a name that no file can have is none."""
    try:
        return file.is_file()
    except (OSError, ValueError):
        return False


def table(value: object) -> Table:
    """A mapping as it is; anything else as an empty one."""
    return value if isinstance(value, Mapping) else {}


def items(value: object) -> list[Any]:
    """A list as it is; anything else as an empty one."""
    return value if isinstance(value, list) else []


def texts(value: object) -> list[str]:
    """The members of a list as texts."""
    return [str(item) for item in items(value)]
