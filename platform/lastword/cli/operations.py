"""`lastword operations`: the matrix of lifecycle policies, and what each comes to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from lastword.cli.output import json_option, print_rows
from lastword.config import Config, load_config
from lastword.policy import Policy
from lastword.timing import chain_of, violations

_COLUMNS = {
    "operation": "operation",
    "offered": "offered",
    "attempt": "expected/limit/stale s",
    "waiting": "stale/most wait s",
    "retries": "retries (within s)",
    "losses": "worker lost",
    "on_message_lost": "message lost",
    "terminal_truth_paths": "last word from",
    "truth_within": "within s",
    "breaks": "breaks",
}


@click.group()
def operations() -> None:
    """Show operations."""


@operations.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """Every operation with its policy, derived values included, and who can end its runs.

    Durations are in seconds. "within" is how long a run can take at most, with every wait, retry
    and lost worker that its policy allows.
    """
    config = load_config()
    rows = [_row(config, policy) for _, policy in sorted(config.policies.items())]
    if not as_json:
        rows = [{**row, **_shortened(row)} for row in rows]
    print_rows(rows, _COLUMNS, as_json=as_json, empty="no operation is configured")


def _row(config: Config, policy: Policy) -> dict[str, Any]:
    chain = replace(chain_of(config), policies=(policy,))
    about = f'operation "{policy.operation}"'
    broken = [item.rule for item in violations(chain) if item.subject == about]
    return {
        **policy.document(),
        "version": policy.version,
        "terminal_truth_paths": list(policy.terminal_truth_paths),
        "longest_backoff": policy.longest_backoff,
        "retries_within": policy.retries_within,
        "truth_within": policy.truth_within,
        "breaks": broken if policy.enabled else [],
    }


def _shortened(row: dict[str, Any]) -> dict[str, Any]:
    expected, limit = row["expected_max_runtime"], row["time_limit"]
    return {
        "offered": "yes" if row["enabled"] else "no",
        "attempt": f"{expected:g}/{limit:g}/{row['running_stale_after']:g}",
        "waiting": f"{row['queued_stale_after']:g}/{row['max_queue_wait']:g}",
        "retries": f"{row['max_retries']} ({row['retries_within']:g})",
        "losses": f"{row['on_worker_lost']} ({row['max_deliveries']} deliveries)",
        "truth_within": f"{row['truth_within']:g}",
    }
