"""Lastword: every accepted run of a Dramatiq job reaches exactly one honest terminal truth."""

from importlib.metadata import version

from lastword.current import CurrentRun, current_run
from lastword.fan_out import start_children
from lastword.reasons import Blocked, Deferral, PermanentFailure, Reason, TransientFailure
from lastword.schedules import add_schedule
from lastword.starting import Started, start, start_many

__version__ = version("lastword")

__all__ = [
    "Blocked",
    "CurrentRun",
    "Deferral",
    "PermanentFailure",
    "Reason",
    "Started",
    "TransientFailure",
    "__version__",
    "add_schedule",
    "current_run",
    "start",
    "start_children",
    "start_many",
]
