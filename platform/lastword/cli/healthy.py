"""`lastword healthy`: the probe of a process that keeps a health file."""

from __future__ import annotations

from pathlib import Path

import click

from lastword.pulse import FRESH_S, require_well


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--within",
    "within_s",
    type=click.FloatRange(min=0, min_open=True),
    default=FRESH_S,
    show_default=True,
    metavar="SECONDS",
    help="How old it may be.",
)
def healthy(file: Path, within_s: float) -> None:
    """Exit with 0 if the process that keeps FILE (LASTWORD_HEALTH_FILE) says that it is well."""
    click.echo(require_well(file, within_s=within_s))
