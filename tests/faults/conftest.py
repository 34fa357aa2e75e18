"""Workers in this process, and processes under a supervisor, to do harm to."""

from tests.fleets import fleet
from tests.workers import broker, scene, start_worker

__all__ = ["broker", "fleet", "scene", "start_worker"]
