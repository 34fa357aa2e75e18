"""What a worker process asks of Python: to look for garbage when there may be some."""

from __future__ import annotations

import gc


def collect_less(threshold: int) -> None:
    """Look for cycles of garbage after so many new objects, and not among those of the start.

    Python looks after 700. A worker makes that many with every few messages, nearly all of which
    are gone by then without any look.

    Args:
        threshold: how many more objects were made than freed; 0 leaves Python as it is.
    """
    if threshold == 0:
        return
    # What was imported stays: nobody has to look at it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(threshold, 20, 20)
