"""A local Graph beside records to sync it into, and short words for doing so."""

from __future__ import annotations

import json
from typing import Any

from lastword.current import CurrentRun
from lastword.identity import RunId
from lastword.storage.ledger import Ledger
from lastword_jobs.syncing import Sync
from tests.provider import TENANT, Provider

#: Three types of policies with 150 objects, in six pages; and two more.
POLICIES = ("settingsCatalog", "deviceConfiguration", "deviceCompliance")
OBJECTS = (*POLICIES, "assignmentFilter", "roleScopeTag")

#: A line of the records: name, facts kept, whether it is missing.
Seen = tuple[str, dict[str, Any], bool]


class Stage:
    """A provider, records, and short words for syncing one into the other."""

    def __init__(self, provider: Provider, ledger: Ledger) -> None:
        self.provider = provider
        self.ledger = ledger
        self.runs = 0

    def run(self) -> CurrentRun:
        self.runs += 1
        return CurrentRun(
            run_id=RunId(f"run-{self.runs}"), operation="policy.sync", attempt=1, tenant_id=TENANT
        )

    def sync(self, run: CurrentRun) -> Sync:
        return Sync(run, self.provider.client(run_id=run.run_id), self.ledger)

    def policies(self, *types: str) -> CurrentRun:
        run = self.run()
        self.sync(run).policies(types or POLICIES)
        return run

    def inventory(self, *types: str) -> CurrentRun:
        run = self.run()
        self.sync(run).inventory(types or OBJECTS)
        return run

    def objects(self, collection: str) -> list[dict[str, Any]]:
        """What the provider has, to change it."""
        return self.provider.graph.tenants[TENANT].collections[collection]

    def seen(self, table: str = "policy", type_: str = "") -> dict[str, Seen]:
        """What the records have, by external id."""
        with self.ledger.session():
            rows = self.ledger.execute(f"SELECT * FROM lastword_jobs_{table}")
        return {
            row["external_id"]: (row["name"], json.loads(row["meta"]), bool(row.get("missing")))
            for row in rows
            if type_ in ("", row["type"])
        }

    def missing(self) -> set[str]:
        return {id_ for id_, (_, _, missing) in self.seen().items() if missing}


def assert_sums(run: CurrentRun) -> None:
    counts = run.counts
    assert counts["processed"] == counts["succeeded"] + counts["failed"] <= counts["total"]
    changes = (counts.get(key, 0) for key in ("created", "updated", "unchanged"))
    assert sum(changes) == counts.get("items", 0)
