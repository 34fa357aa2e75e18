"""The table of a campaign: what became of the runs of each fault, printed and written down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.campaign.checker import Violation
from tests.faults.campaign.plan import FAULTS, Episode

BEGIN, END = "<!-- the campaign writes from here -->", "<!-- to here -->"

HEAD = (
    "| fault | what is done | episodes | runs | wrong truths | lost | duplicated effects | "
    "false verdicts | p50 | p99 | max | again |\n|" + " --- |" * 12
)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one episode.

    Attributes:
        times_s: from accepted to the last word, for each run that has one.
    """

    episode: Episode
    runs: int
    times_s: Sequence[float]
    violations: Sequence[Violation] = ()
    refused: int = 0


@dataclass(slots=True)
class Table:
    """Everything a campaign has seen so far."""

    results: list[Result] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        return not any(result.violations for result in self.results)

    def lines(self) -> list[str]:
        """The table as Markdown."""
        lines = [HEAD]
        for fault in FAULTS:
            results = [result for result in self.results if result.episode.fault == fault]
            if results:
                lines.append(_line(results))
            elif fault.name in self.left_out:
                lines.append(
                    f"| {fault.name} | {fault.what} | not run: {self.left_out[fault.name]} |"
                )
        return lines

    def write(self, file: Path) -> None:
        """Put the table between its marks in a document."""
        before, _, rest = file.read_text().partition(BEGIN)
        _, _, after = rest.partition(END)
        episodes = len(self.results)
        runs = sum(result.runs for result in self.results)
        seeds = sorted({result.episode.seed for result in self.results})
        told = (
            f"{episodes} episodes, {runs} runs, seeds {seeds[0]} to {seeds[-1]}. Times in seconds."
        )
        table = "\n".join(self.lines())
        file.write_text(f"{before}{BEGIN}\n\n{told}\n\n{table}\n\n{END}{after}")


def _line(results: Sequence[Result]) -> str:
    fault = results[0].episode.fault
    times = sorted(time for result in results for time in result.times_s)
    found = [violation for result in results for violation in result.violations]
    counts = [
        sum(1 for violation in found if violation.column == column)
        for column in ("wrong", "lost", "duplicated", "false")
    ]
    cells = [
        *(fault.name, fault.what, len(results), sum(result.runs for result in results), *counts),
        *(f"{share(times, part):.2f}" for part in (0.5, 0.99, 1.0)),
        f"`make faults ONLY={fault.name} SEED={results[0].episode.seed}`",
    ]
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def share(ordered: Sequence[float], part: float) -> float:
    """The value below which this part of others is; 0 of none."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]
