"""The one service that writes what is true of a run. Everything else holds evidence and asks it."""

from lastword.service.runs import RunService
from lastword.service.workers import WorkerService

__all__ = ["RunService", "WorkerService"]
