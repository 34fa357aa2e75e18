"""What the person at the demo sees: live progress, then the table of runs and their truths."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table

from lastword.storage.ledger import Row
from lastword_jobs.demo.scenario import Watched

_COLOURS = {
    "succeeded": "green",
    "partially_succeeded": "yellow",
    "failed": "red",
    "blocked": "red",
    "running": "cyan",
    "queued": "dim",
}


class Screen:
    """Shows runs as they move: redrawn on a terminal, a line for each change elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._told: dict[str, str] = {}

    def __enter__(self) -> Screen:
        """Begin to show."""
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=8, transient=True)
            self._live.start()
        return self

    def __exit__(self, *details: object) -> None:
        """Stop redrawing."""
        if self._live is not None:
            self._live.stop()

    def tell(self, words: str) -> None:
        """Say what is being done."""
        self._console.print(f"[bold]>[/bold] {words}", highlight=False)

    def show(self, watched: Sequence[Watched], rows: dict[str, Row]) -> None:
        """Show how the runs stand now."""
        if self._live is not None:
            self._live.update(_progress_table(watched, rows))
            return
        for item in watched:
            row = rows[item.run_id]
            stand = f"{row['status']}, attempt {row['attempt']}"
            if row["status"] == "completed":
                stand = f"completed: {row['outcome']}"
            if self._told.get(item.run_id) != stand:
                self._told[item.run_id] = stand
                self._console.print(f"  {item.operation:33} {item.tenant:10} {stand}")


def final_table(watched: Sequence[Watched], rows: dict[str, Row]) -> Table:
    """Every run with its truth; where it is narrow, words go on in the next line, whole."""
    table = Table(title="What became of every run", title_justify="left", pad_edge=False)
    for heading in ("operation", "tenant", "what was done to it", "status", "outcome", "reason"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "operation")
    table.add_column("attempts", justify="right")
    table.add_column("time to truth", justify="right")
    table.add_column("right?")
    for item in watched:
        row = rows[item.run_id]
        since_ms = item.since_ms or row["created_at"]
        took = "-"
        if row["completed_at"] is not None:
            took = f"{(row['completed_at'] - since_ms) / 1000:.2f} s"
        table.add_row(
            item.operation,
            item.tenant,
            item.harm,
            row["status"],
            _coloured(row["outcome"]),
            row["reason"] or "-",
            str(row["attempt"]),
            took,
            "[green]yes[/green]" if is_right(item, row) else "[bold red]NO[/bold red]",
        )
    return table


def is_right(item: Watched, row: Row) -> bool:
    """Whether a run reached the truth it had to reach."""
    return (row["status"], row["outcome"], row["reason"]) == (
        "completed",
        item.outcome,
        item.reason,
    )


def _progress_table(watched: Sequence[Watched], rows: dict[str, Row]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("operation", "tenant", "stands at", "attempt", "so far"):
        table.add_column(heading)
    for item in watched:
        row = rows[item.run_id]
        stand = row["outcome"] if row["status"] == "completed" else row["status"]
        counts = row["summary_counts"]
        so_far = f"{counts.get('processed', 0)}/{counts.get('total', 0)}" if counts else ""
        if counts.get("items"):
            so_far += f", {counts['items']} objects"
        table.add_row(item.operation, item.tenant, _coloured(stand), str(row["attempt"]), so_far)
    return table


def _coloured(word: str) -> str:
    colour = _COLOURS.get(word)
    return f"[{colour}]{word}[/{colour}]" if colour else word
