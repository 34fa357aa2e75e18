"""URLs and addresses as settings: how they are read, and how they are shown without passwords."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import SplitResult, urlsplit

import redis


def redacted(url: str) -> str:
    """`url` without its password and query, fit for logs and errors."""
    if url.startswith("sqlite:") or "://" not in url:
        # The name of a database may also be given in words: host=... password=...
        return "(unreadable URL)" if "password=" in url else url.partition("?")[0]
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "(unreadable URL)"
    if _password_is_cut(parts):
        return "(unreadable URL)"
    user = f"{parts.username}@" if parts.username else ""
    place = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{user}{place}{port}{parts.path}"


def text_value(value: object) -> str:
    """`value` if it is a text."""
    if not isinstance(value, str):
        raise TypeError("a text")
    if "\0" in value:
        raise ValueError("a text without NUL")
    return value


def url_reader(*schemes: str, also: tuple[str, ...] = ()) -> Callable[[object], str]:
    """What reads a URL of one of `schemes`, or one of the words in `also`."""
    expected = " or ".join([*(repr(word) for word in also if word), *(f"{s}://" for s in schemes)])

    def read(value: object) -> str:
        text = text_value(value)
        if text in also:
            return text
        try:
            parts = urlsplit(text)
            parts.port  # noqa: B018 - a bad port shows only when asked for
        except ValueError:
            raise ValueError(f"a URL of {expected}") from None
        # PostgreSQL may name the folder of its socket in the query instead of a host.
        place = parts.hostname or parts.query
        if parts.scheme in {"sqlite", "unix"}:
            place = parts.path.strip("/")
        prefix = "sqlite:///" if parts.scheme == "sqlite" else f"{parts.scheme}://"
        if parts.scheme not in schemes or not text.lower().startswith(prefix) or not place:
            raise ValueError(f"a URL of {expected}")
        if parts.scheme == "sqlite" and ":memory:" in parts.path:
            raise ValueError("a file: a ledger in memory ends with the command that made it")
        if parts.scheme in {"redis", "rediss", "unix"}:
            _require_redis(text)
        if parts.scheme != "sqlite" and _password_is_cut(parts):
            raise ValueError(f"a URL of {expected} with @, /, ? and # in its password as %40 ...")
        return text

    return read


def web_address(value: object) -> str:
    """`value` as the HOST:PORT of a listener."""
    host, _, port = text_value(value).rpartition(":")
    if not host or "/" in host or not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError("HOST:PORT")
    return text_value(value)


def _require_redis(url: str) -> None:
    # The client reads the query and the number of the database only when it connects.
    try:
        pool = redis.ConnectionPool.from_url(url)
        pool.make_connection()
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"a URL that the Redis client understands ({type(error).__name__} in its query or path)"
        ) from None
    name = urlsplit(url).path.strip("/")
    if not url.lower().startswith("unix:") and name and not name.isdigit():
        raise ValueError("a URL whose path is the number of a Redis database")


def _password_is_cut(parts: SplitResult) -> bool:
    # A password with a bare @, /, ? or # in it ends early, and its rest would be shown as a place.
    if "@" in parts.netloc or not parts.netloc:
        return parts.netloc.count("@") > 1
    return "@" in parts.path + parts.query + parts.fragment
