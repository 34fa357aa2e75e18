"""The page of the configuration: every setting, and every key of an operation's policy."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from docs.building.writing import entries, sections, table

from lastword.config import ENVIRONMENT_PREFIX, Config
from lastword.errors import ConfigError
from lastword.policy import Policy
from lastword.policy_tables import REQUIRED_KEYS, policy_from_table
from lastword.readers import READERS

_ABOUT = """# Configuration

The environment wins over the file that `LASTWORD_CONFIG` names, the file over the defaults. The
file is TOML; its table `[lastword]` has the keys below, the environment the variables. Unknown keys
are errors, all faults are told at once, and whether durations fit into each other is checked too:
see [the one table of numbers](../operations.md#the-one-table-of-numbers). Durations are in seconds,
sizes in bytes.

"""

_OPERATIONS = """
## Policies

A table `[operations."NAME"]` for each operation. `label`, `time_limit`, `queued_stale_after` and
`running_stale_after` have to be there; the others have a default, which for some follows from
these: shown for `time_limit = 60` and `queued_stale_after = running_stale_after = 120`.
`lastword operations list` shows every policy with what it comes to.

"""

_LEAST: dict[str, Any] = {
    "label": "A label",
    "time_limit": 60,
    "queued_stale_after": 120,
    "running_stale_after": 120,
}


def configuration_page() -> str:
    """Every setting and every key of a policy, with what they may hold."""
    said = dict(entries(sections(Config)[1]["Attributes:"]))
    defaults = {item.name: item.default for item in fields(Config)}
    rows = [
        (
            f"`{key}`<br>`{ENVIRONMENT_PREFIX}{key.upper()}`",
            said[key],
            _setting(key, defaults[key]),
        )
        for key in READERS
    ]
    keys = table(["key, variable", "meaning", "default"], rows)
    return f"{_ABOUT}{keys}\n{_OPERATIONS}{_policies()}"


#: Defaults that follow from the operations that are offered.
_DERIVED = {
    "worker_shutdown_timeout": "the longest `time_limit` and 10 s",
    "stop_wait": "`worker_shutdown_timeout` and 20 s",
}


def _setting(key: str, default: object) -> str:
    return _DERIVED.get(key) or _shown(default)


def _policies() -> str:
    said = dict(entries(sections(Policy)[1]["Attributes:"]))
    policy = policy_from_table("an.operation", _LEAST, origin="the reference")
    rows = []
    for item in fields(Policy):
        if item.name == "operation":
            continue
        default = getattr(policy, item.name)
        shown = "required" if item.name in REQUIRED_KEYS else _shown(default)
        rows.append((f"`{item.name}`", said[item.name], _expected(item.name), shown))
    return table(["key", "meaning", "holds", "default"], rows)


def _expected(key: str) -> str:
    # The words of the check itself: what it says of a value that nothing may be.
    try:
        policy_from_table("an.operation", {**_LEAST, key: None}, origin="the reference")
    except ConfigError as error:
        return error.faults[0].partition("; expected ")[2]
    raise AssertionError(f"{key} may be anything")


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float):
        return f"{value:g} s" if value < 1e5 else f"{value:.0f} s"
    if value is None or value == "" or value == ():
        return "none"
    if isinstance(value, tuple):
        return ", ".join(f"`{item}`" for item in value)
    return str(value) if isinstance(value, int) else f"`{value}`"
