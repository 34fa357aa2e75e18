"""An attempt leaves the interpreter as it was: what watches it later gets on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.processes import environment

#: After an attempt; a trace of the interpreter stood still on the second call.
WATCHED = """
import cProfile, dramatiq
from dramatiq.brokers.stub import StubBroker
from lastword.config import Config
from lastword.testing import bench
from lastword_middleware import install
from tests.support import POLICIES

broker = StubBroker()
install(broker, config=Config(database_url="sqlite:///app.db", policies=POLICIES))

@dramatiq.actor(broker=broker, operation="report.build")
def build():
    pass

def called():
    return 1

with bench(original=broker) as opened:
    build.send()
    opened.work()
profile = cProfile.Profile()
profile.enable()
print("got on", sum(called() for _ in range(1000)))
"""


def test_a_profiler_gets_on_after_an_attempt(tmp_path: Path) -> None:
    env = {**environment(), "PYTHONPATH": ":".join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", WATCHED],
        cwd=tmp_path,
        env={**env, "PYTHONPATH": f"{Path.cwd()}:{env['PYTHONPATH']}"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert "got on 1000" in done.stdout, done.stdout + done.stderr
