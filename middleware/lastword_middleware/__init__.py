"""What runs inside a worker: the tracking of every run of a Dramatiq actor that names an operation.

import dramatiq, lastword_middleware
lastword_middleware.install(broker, database="postgresql://app@db/app", config="lastword.toml")

@dramatiq.actor(operation="report.build")
def build_report(account_id: int) -> None: ...
"""

from lastword.application import Application
from lastword_middleware.broker import worker_broker
from lastword_middleware.installing import install

__all__ = ["Application", "install", "worker_broker"]
