"""`lastword operations`: the matrix of lifecycle policies."""

from __future__ import annotations

import click

from lastword.cli.output import json_option, print_rows
from lastword.config import load_config

_COLUMNS = {
    "operation": "operation",
    "label": "label",
    "expected_max_runtime": "expected s",
    "time_limit": "limit s",
    "queued_stale_after": "queued stale s",
    "running_stale_after": "running stale s",
    "max_queue_wait": "max wait s",
    "max_retries": "retries",
    "max_deliveries": "deliveries",
    "on_worker_lost": "worker lost",
    "on_message_lost": "message lost",
    "reconcilers": "reconcilers",
}


@click.group()
def operations() -> None:
    """Show operations."""


@operations.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """Every operation with its policy, derived values included."""
    config = load_config()
    rows = [policy.document() for _, policy in sorted(config.policies.items())]
    print_rows(rows, _COLUMNS, as_json=as_json, empty="no operation is configured")
