"""What each key of the configuration may hold, and how its text is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lastword.urls import text_value, url_reader, web_address

#: The broker URL that means: the Redis that `lastword up` or `lastword demo` owns.
EMBEDDED = "embedded"


def _seconds(value: object) -> float:
    try:
        seconds = float(value) if isinstance(value, str | int | float) else -1.0
    except (ValueError, OverflowError):
        seconds = -1.0
    if isinstance(value, bool) or not 0 < seconds < float("inf"):
        raise ValueError("a number of seconds above 0")
    return seconds


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if not isinstance(value, str) or value.lower() not in known:
        raise ValueError("true or false")
    return known[value.lower()]


def _bytes(value: object) -> int:
    try:
        size = int(value) if isinstance(value, str | int) else -1
    except ValueError:
        size = -1
    if isinstance(value, bool) or size < 1:
        raise ValueError("a whole number of bytes above 0")
    return size


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
    "metrics_addr": web_address,
    "secret_key": text_value,
    "graph_url": url_reader("http", "https"),
    "graph_token_url": url_reader("http", "https"),
    "graph_client_id": text_value,
    "graph_client_secret": text_value,
    "log_format": _log_format,
    "heartbeat_interval": _seconds,
    "lease_ttl": _seconds,
    "sweep_interval": _seconds,
    "sweep_deadline": _seconds,
    "message_grace": _seconds,
    "slot_grace": _seconds,
    "retention": _seconds,
    "worker_shutdown_timeout": _seconds,
    "stop_wait": _seconds,
    "rabbitmq_consumer_timeout": _seconds,
    "max_payload_bytes": _bytes,
    "allow_unsafe_timing": _flag,
    "health_file": text_value,
    "revision": text_value,
    "shipped_operations": _flag,
}
