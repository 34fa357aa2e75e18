"""Processes that are not to outlive the one that started them, however that one dies."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

# Run by an interpreter of its own that then becomes the command: a `preexec_fn` would run Python
# between fork and exec of a process with threads, where any lock may be held for ever.
# 1 is PR_SET_PDEATHSIG, 15 is SIGTERM. The parent may have died before the first line.
_TIE = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 15)
os.getppid() == int(sys.argv[1]) or sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


def tied(command: Sequence[str]) -> list[str]:
    """`command`, made to get SIGTERM when what starts it dies. Linux only; as it is elsewhere.

    To Linux, what starts a process is a thread: start it from one that lasts.
    """
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-I", "-S", "-c", _TIE, str(os.getpid()), *command]
