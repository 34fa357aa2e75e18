"""YAML files, document by document; what cannot be read is a finding and no crash."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lastword.deployment.units import Check, Read
from lastword.errors import LastwordError

#: A mapping of a document.
Table = Mapping[str, Any]


def yaml_documents(root: Path, read: Read) -> Iterator[tuple[Path, Table]]:
    """Every mapping that a YAML file below `root` holds, with its file.

    Raises:
        LastwordError: PyYAML is not installed.
    """
    files = sorted([*root.rglob("*.yaml"), *root.rglob("*.yml")])
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
        except UnicodeDecodeError:
            read.find(Check.READABLE, name, "it is not UTF-8", "save it as UTF-8")
            continue
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            place = f"{name}:{mark.line + 1}" if mark else name
            problem = getattr(error, "problem", None) or "it cannot be read"
            read.find(Check.READABLE, place, f"it is not YAML: {problem}", "mend it")
            continue
        yield from ((file, item) for item in documents if isinstance(item, Mapping))


def table(value: object) -> Table:
    """A mapping as it is; anything else as an empty one."""
    return value if isinstance(value, Mapping) else {}


def items(value: object) -> list[Any]:
    """A list as it is; anything else as an empty one."""
    return value if isinstance(value, list) else []


def texts(value: object) -> list[str]:
    """The members of a list as texts."""
    return [str(item) for item in items(value)]
