"""What this process was started with: the arguments of Dramatiq's command line, if it was."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Sequence
from pathlib import Path

from dramatiq.cli import make_argument_parser

from lastword.config import Config


def is_made_by_dramatiq() -> bool:
    """Whether this process was made to be a worker and for nothing else."""
    return multiprocessing.parent_process() is not None


def shutdown_timeout_s(config: Config, argv: Sequence[str] | None = None) -> float:
    """How long Dramatiq really waits for attempts when this process is told to stop, in seconds.

    `lastword worker` passes on what the configuration says; Dramatiq's own command knows only its
    arguments, and has a default of its own.
    """
    argv = sys.argv if argv is None else argv
    if not is_made_by_dramatiq() or not _is_dramatiqs_own(argv):
        return config.worker_shutdown_timeout
    arguments, _ = make_argument_parser().parse_known_args(list(argv[1:]))
    return float(arguments.worker_shutdown_timeout) / 1000


def _is_dramatiqs_own(argv: Sequence[str]) -> bool:
    program = Path(argv[0]) if argv else Path()
    return program.name == "dramatiq" or program.parts[-2:] == ("dramatiq", "__main__.py")
