"""What each key of the configuration may hold, and how its text is read."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path

from lastword.urls import text_value, url_reader, web_address

#: The name of a host.
_NAME = r"[A-Za-z0-9][A-Za-z0-9.\-]*"

#: The longest duration, in seconds, that is a plan and not a slip: thirty years.
LONGEST_S = 1e9

#: The broker URL that means: the Redis that `lastword up` or `lastword demo` owns.
EMBEDDED = "embedded"


def seconds_value(value: object) -> float:
    """`value` as a duration in seconds, whether it is a number or the text of one."""
    try:
        seconds = float(value) if isinstance(value, str | int | float) else -1.0
    except (ValueError, OverflowError):
        seconds = -1.0
    if isinstance(value, bool) or not 0 < seconds < float("inf"):
        raise ValueError("a number of seconds above 0")
    if seconds > LONGEST_S:
        raise ValueError(f"at most {LONGEST_S:g} seconds")
    return seconds


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if not isinstance(value, str) or value.lower() not in known:
        raise ValueError("true or false")
    return known[value.lower()]


def _words(*known: str) -> Callable[[object], tuple[str, ...]]:
    def read(value: object) -> tuple[str, ...]:
        words = _listed(value)
        if set(words) - set(known):
            raise ValueError(f"some of {', '.join(known)}, with commas between them")
        return words

    return read


def _networks(value: object) -> tuple[str, ...]:
    try:
        return tuple(str(ip_network(text)) for text in _listed(value))
    except ValueError:
        raise ValueError("networks such as 10.0.0.0/8, with commas between them") from None


def _listed(value: object) -> tuple[str, ...]:
    texts = value.split(",") if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise TypeError("texts with commas between them")
    return tuple(text.strip() for text in texts if text.strip())


def _origin(value: object) -> str:
    text = text_value(value)
    if text and not re.fullmatch(rf"https?://({_NAME}|\[[0-9a-f:]+\])(:[0-9]{{1,5}})?", text):
        raise ValueError("https://HOST or https://HOST:PORT")
    return text


def _header(value: object) -> str:
    if not re.fullmatch("[A-Za-z0-9-]{1,60}", text_value(value)):
        raise ValueError("the name of a header, such as X-Forwarded-User")
    return text_value(value)


def _bytes(value: object) -> int:
    try:
        size = int(value) if isinstance(value, str | int) else -1
    except ValueError:
        size = -1
    if isinstance(value, bool) or size < 1:
        raise ValueError("a whole number of bytes above 0")
    return size


def _threshold(value: object) -> int:
    try:
        number = int(value) if isinstance(value, str | int) else -1
    except ValueError:
        number = -1
    if isinstance(value, bool) or not 0 <= number < 2**31:
        raise ValueError("a whole number from 0, and below 2147483648")
    return number


def _log_format(value: object) -> str:
    if value not in ("console", "json"):
        raise ValueError("'console' or 'json'")
    return str(value)


def _path(value: object) -> Path:
    if not text_value(value):
        raise ValueError("a path")
    return Path(text_value(value))


#: Every key with what reads its value; a reader raises ValueError with what it expected.
READERS: dict[str, Callable[[object], object]] = {
    "data_dir": _path,
    "database_url": url_reader("sqlite", "postgresql", "postgres", also=("",)),
    "broker_url": url_reader("redis", "rediss", "unix", "amqp", also=(EMBEDDED,)),
    "broker_namespace": text_value,
    "web_addr": web_address,
    "web_url": _origin,
    "web_auth": _words("password", "oidc", "proxy"),
    "proxy_user_header": _header,
    "proxy_networks": _networks,
    "oidc_issuer": url_reader("http", "https", also=("",)),
    "oidc_client_id": text_value,
    "oidc_client_secret": text_value,
    "session_idle": seconds_value,
    "session_lifetime": seconds_value,
    "metrics_addr": web_address,
    "metrics_token": text_value,
    "secret_key": text_value,
    "graph_url": url_reader("http", "https"),
    "graph_token_url": url_reader("http", "https"),
    "graph_client_id": text_value,
    "graph_client_secret": text_value,
    "log_format": _log_format,
    "heartbeat_interval": seconds_value,
    "lease_ttl": seconds_value,
    "sweep_interval": seconds_value,
    "sweep_deadline": seconds_value,
    "message_grace": seconds_value,
    "slot_grace": seconds_value,
    "retention": seconds_value,
    "worker_shutdown_timeout": seconds_value,
    "stop_wait": seconds_value,
    "rabbitmq_consumer_timeout": seconds_value,
    "max_payload_bytes": _bytes,
    "gc_threshold": _threshold,
    "one_cpu": _flag,
    "allow_unsafe_timing": _flag,
    "health_file": text_value,
    "revision": text_value,
    "shipped_operations": _flag,
    "tracing": _flag,
}
