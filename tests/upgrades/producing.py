"""A producer of the release that is first on the path: starts runs until a file appears.

Each line that it writes is the id of a run that was accepted.
"""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path

from lastword import start
from tests import fleet

#: Seconds between two starts: more than the workers of a test need for one.
EVERY_S = 0.04


def produce(until: Path) -> None:
    """Send, send delayed and start in turn."""
    for number in itertools.count():
        if until.exists():
            return
        seconds = 0.005 + number / 1_000_000
        if number % 3 == 2:
            # Told apart by its inputs, so that no two runs are one.
            run_id: str = start("fleet.work", inputs={"seconds": seconds}).run_id
        else:
            delay = 300 if number % 3 else None
            message = fleet.work.send_with_options(kwargs={"seconds": seconds}, delay=delay)
            run_id = message.message_id
        print(run_id, flush=True)
        time.sleep(EVERY_S)


if __name__ == "__main__":
    produce(Path(sys.argv[1]))
