"""Which tests go to which process: each to whoever is free, but for files that stay whole.

A file as a whole would be too much: the longest come last, beside a process with nothing to do.
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

#: What is long in the making and shared by the tests of these files, which one process gets.
TOGETHER = {
    "tests/browser/test_behaviour.py": "a system with pages that were looked at",
    "tests/browser/test_flows.py": "a system that nobody works for at first",
    "tests/conformance/test_plans_of_reading.py": "ledgers with a history",
    "tests/conformance/test_plans_of_sweeps.py": "ledgers with a history",
    "tests/documents/test_site.py": "the site",
    "tests/faults/test_fuzzed_graph_server.py": "a Graph server",
    "tests/faults/test_killed_operations.py": "a governed system",
    "tests/faults/test_mutations.py": "mutations that are tried ahead",
    "tests/faults/test_rabbitmq_faults.py": "RabbitMQ",
    "tests/faults/test_simulation.py": "lives that were led",
    "tests/integration/test_rabbitmq.py": "RabbitMQ",
    "tests/packaging/test_distributions.py": "distributions",
    "tests/packaging/test_installed.py": "environments with the wheel in them",
}


class HandingOut(LoadScopeScheduling):
    """One test at a time, or all that share something; the most of these first."""

    def _split_scope(self, nodeid: str) -> str:
        return TOGETHER.get(nodeid.partition("::")[0], nodeid)
