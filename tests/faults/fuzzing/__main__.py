"""Fuzzes one target with atheris, which follows the branches that its bytes open.

Where atheris is not installed that is said, and nothing is fuzzed: it ships for few platforms, and
is no dependency of the project.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any

#: What is watched: ours, and what it hands the bytes on to.
WATCHED = (
    *("lastword", "lastword_middleware", "lastword_jobs", "cronsim"),
    *("dramatiq.message", "dramatiq.encoder", "json", "urllib.parse"),
)

#: The longest input, in bytes.
LONGEST = 16_384


def main() -> int:
    """Fuzz; ends the process with 77 at what must not happen, and prints the bytes."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.fuzzing", description=__doc__)
    parser.add_argument("target", help="message, filters, cron or odata")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--corpus", type=Path, help="where inputs are kept; else nowhere")
    parser.add_argument("--runs", type=int, default=-1, help="0: only what is in the corpus")
    asked = parser.parse_args()
    try:
        atheris: Any = importlib.import_module("atheris")
    except ImportError:
        print(f"atheris is not installed: {asked.target} was not fuzzed with it")
        return 0
    with atheris.instrument_imports(include=list(WATCHED)):
        targets = importlib.import_module("tests.faults.fuzzing.targets")
    with tempfile.TemporaryDirectory() as nowhere:
        corpus = asked.corpus or Path(nowhere)
        corpus.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(targets.SEEDS[asked.target]):
            (corpus / f"seed-{number}").write_bytes(seed)
        options = [
            f"-max_total_time={asked.seconds}",
            f"-max_len={LONGEST}",
            f"-runs={asked.runs}",
            f"-artifact_prefix={tempfile.gettempdir()}/",
            "-print_final_stats=1",
        ]
        atheris.Setup([sys.argv[0], *options, str(corpus)], targets.TARGETS[asked.target])
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
