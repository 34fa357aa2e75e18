"""Pages from templates. Whatever comes out of the ledger is text; nothing of it is ever markup."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined

from lastword.web import words
from lastword.web.assets import Assets

_HERE = Path(__file__).parent


class Rendering:
    """The templates of the web and of what is added to it.

    Args:
        folders: further folders of templates.
    """

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        self.assets = Assets(_HERE / "static")
        self._environment = Environment(
            loader=ChoiceLoader([FileSystemLoader([_HERE / "templates", *folders])]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(
            moment=readable_moment, duration=readable_duration, pretty=pretty, query=urlencode
        )
        self._environment.globals.update(words=words, asset=self.assets.url)

    def render(self, template: str, **context: Any) -> str:
        """The text of a template."""
        return self._environment.get_template(template).render(**context)


def tag_of(text: str, *, without: str) -> str:
    """What a rendered fragment is known by, so that one that has not changed is not sent again.

    Args:
        text: the fragment.
        without: what differs at every request: the nonce.
    """
    return hashlib.sha256(text.replace(without, "").encode()).hexdigest()[:20]


def readable_moment(iso: str | None) -> str:
    """A moment as it stands in a page, before the browser says how long ago it was."""
    if iso is None:
        return "-"
    return datetime.fromisoformat(iso).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def readable_duration(seconds: float | None) -> str:
    """A duration as people say it: `840 ms`, `4.2 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds is None:
        return "-"
    seconds = max(0.0, float(seconds))
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    whole = int(seconds)
    for size, name, lesser, lesser_name in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // lesser
            return f"{whole // size} {name}" + (f" {rest} {lesser_name}" if rest else "")
    return f"{whole} s"


def seconds_between(earlier: str | None, later: str | None) -> float | None:
    """Seconds from one ISO moment to another; None if one is missing."""
    if earlier is None or later is None:
        return None
    passed = datetime.fromisoformat(later) - datetime.fromisoformat(earlier)
    return passed.total_seconds()


def pretty(value: Any) -> str:
    """A JSON value on many lines."""
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)
