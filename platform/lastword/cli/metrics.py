"""`lastword metrics`: one exposition, for scripts."""

from __future__ import annotations

import click

from lastword.cli.opening import open_current
from lastword.metrics.collecting import LedgerCollector
from lastword.metrics.exposing import exposition


@click.command()
def metrics() -> None:
    """Print what Prometheus would scrape of the ledger now, in its text format."""
    config, ledger = open_current()
    click.echo(exposition([LedgerCollector(config, ledger)]), nl=False)
