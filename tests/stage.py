"""A local Graph beside records, and short words for the operations that stand between them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lastword.config import Config
from lastword.current import CurrentRun
from lastword.identity import RunId
from lastword.storage.ledger import Ledger
from lastword_jobs.backing_up import Backup
from lastword_jobs.baselines.capturing import Capture
from lastword_jobs.baselines.comparing import Compare
from lastword_jobs.baselines.findings import findings_of
from lastword_jobs.baselines.records import Finding, add_profile
from lastword_jobs.directory.groups import GroupSync
from lastword_jobs.directory.roles import RoleSync
from lastword_jobs.graph.client import GraphClient
from lastword_jobs.restores.executing import Restoring
from lastword_jobs.restores.preparing import confirm_restore, prepare_restore
from lastword_jobs.restores.records import RestoreItem, find_restore, items_of
from lastword_jobs.reviews.composing import Composer
from lastword_jobs.reviews.evidence import Evidence
from lastword_jobs.reviews.packing import Packer
from lastword_jobs.syncing import Sync
from lastword_jobs.syncing_one import OneSync
from tests.provider import TENANT, Provider

#: Three types of policies with 150 objects, in six pages; and two more.
POLICIES = ("settingsCatalog", "deviceConfiguration", "deviceCompliance")
OBJECTS = (*POLICIES, "assignmentFilter", "roleScopeTag")

WORKSPACE = "default"

#: A key that seals, for tests alone.
SECRET_KEY = "0123456789abcdef" * 2

#: A line of the records: name, facts kept, whether it is missing.
Seen = tuple[str, dict[str, Any], bool]


class Stage:
    """A provider, records, and short words for what goes from one into the other."""

    def __init__(self, provider: Provider, ledger: Ledger) -> None:
        self.provider = provider
        self.ledger = ledger
        self.runs = 0
        self.config = Config(secret_key=SECRET_KEY)

    def run(self, **context: Any) -> CurrentRun:
        self.runs += 1
        run = CurrentRun(
            run_id=RunId(f"run-{self.runs}"),
            operation="policy.sync",
            attempt=1,
            tenant_id=TENANT,
            workspace_id=WORKSPACE,
        )
        run.remember(**context)
        return run

    def again(self, run: CurrentRun) -> CurrentRun:
        """The next attempt of a run, in another worker: it knows what the ledger has."""
        more = CurrentRun(
            run_id=run.run_id,
            operation=run.operation,
            attempt=run.attempt + 1,
            tenant_id=run.tenant_id,
            workspace_id=run.workspace_id,
        )
        kept = {key: run.context[key] for key in ("schedule_id", "slot") if key in run.context}
        more.remember(**kept)
        return more

    def graph(self, run: CurrentRun) -> GraphClient:
        return self.provider.client(
            run_id=run.run_id, may_block=run.attempt == 1, tenant_id=str(run.tenant_id)
        )

    def sync(self, run: CurrentRun) -> Sync:
        return Sync(run, self.graph(run), self.ledger)

    def policies(self, *types: str) -> CurrentRun:
        run = self.run()
        self.sync(run).policies(types or POLICIES)
        return run

    def inventory(self, *types: str) -> CurrentRun:
        run = self.run()
        self.sync(run).inventory(types or OBJECTS)
        return run

    def one(self, policy_id: str, type_: str, run: CurrentRun | None = None) -> CurrentRun:
        run = run or self.run()
        OneSync(run, self.graph(run), self.ledger).sync(policy_id, type_)
        return run

    def groups(self, mode: str = "delta", run: CurrentRun | None = None) -> CurrentRun:
        run = run or self.run()
        GroupSync(run, self.graph(run), self.ledger).sync(mode)
        return run

    def roles(self, run: CurrentRun | None = None) -> CurrentRun:
        run = run or self.run()
        RoleSync(run, self.graph(run), self.ledger).sync()
        return run

    def profile(self, *types: str, mode: str = "content") -> str:
        self.runs += 1
        return add_profile(
            self.ledger,
            workspace_id=WORKSPACE,
            name=f"profile {self.runs}",
            types=types or POLICIES,
            mode=mode,
        )

    def capture(self, profile_id: str, run: CurrentRun | None = None) -> CurrentRun:
        run = run or self.run()
        Capture(run, self.graph(run), self.ledger).capture(profile_id)
        return run

    def compare(self, profile_id: str, run: CurrentRun | None = None) -> CurrentRun:
        run = run or self.run()
        Compare(run, self.graph(run), self.ledger).compare(profile_id)
        return run

    def findings(self, status: str = "open") -> list[Finding]:
        return findings_of(self.ledger, TENANT, status=status)

    def back_up(
        self,
        *types: str,
        run: CurrentRun | None = None,
        keep: int | None = None,
        sealed: bool = True,
    ) -> CurrentRun:
        run = run or self.run()
        config = self.config if sealed else replace(self.config, secret_key="")
        Backup(run, self.graph(run), self.ledger, config).back_up(types or None, keep=keep)
        return run

    def restoring(self, run: CurrentRun) -> Restoring:
        return Restoring(run, self.graph(run), self.ledger, self.config)

    def previewed(self, set_id: str, types: Sequence[str] | None = None) -> str:
        """A restore that was looked at and confirmed; its id."""
        restore_id = prepare_restore(
            self.ledger, tenant_id=TENANT, backup_set_id=set_id, types=types
        )
        self.restoring(self.run()).preview(restore_id)
        self.confirm(restore_id)
        return restore_id

    def confirm(self, restore_id: str) -> None:
        restore = find_restore(self.ledger, restore_id)
        assert restore is not None
        assert restore.fingerprint is not None
        confirm_restore(self.ledger, restore_id, fingerprint=restore.fingerprint, by="ada")

    def restore(self, restore_id: str, run: CurrentRun | None = None) -> CurrentRun:
        run = run or self.run()
        found = find_restore(self.ledger, restore_id)
        assert found is not None
        self.restoring(run).execute(restore_id, str(found.fingerprint))
        return run

    def items(self, restore_id: str) -> list[RestoreItem]:
        return items_of(self.ledger, restore_id)

    def evidence(self, run: CurrentRun | None = None, *, asks: bool = True) -> CurrentRun:
        run = run or self.run()
        Evidence(run, self.graph(run) if asks else None, self.ledger).generate()
        return run

    def review(self, run: CurrentRun | None = None, **inputs: str) -> CurrentRun:
        run = run or self.run()
        Composer(run, self.ledger).compose(**inputs)
        return run

    def pack(self, folder: Path, run: CurrentRun | None = None) -> CurrentRun:
        run = run or self.run()
        Packer(run, self.ledger, folder).pack()
        return run

    def objects(self, collection: str) -> list[dict[str, Any]]:
        """What the provider has, to change it."""
        return self.provider.graph.tenants[TENANT].collections[collection]

    def asked_by(self, run: CurrentRun) -> list[dict[str, Any]]:
        """The requests of a run, in order; those in a batch one by one."""
        return [
            entry
            for entry in self.provider.journal()
            if entry.get("client_request_id") == run.run_id and not entry["path"].endswith("$batch")
        ]

    def seen(self, table: str = "policy", type_: str = "") -> dict[str, Seen]:
        """What the records have, by external id."""
        with self.ledger.session():
            rows = self.ledger.execute(f"SELECT * FROM lastword_jobs_{table}")
        return {
            row["external_id"]: (row["name"], json.loads(row["meta"]), bool(row.get("missing")))
            for row in rows
            if type_ in ("", row["type"])
        }

    def rows(self, table: str) -> list[dict[str, Any]]:
        """The records of a table, whole."""
        with self.ledger.session():
            return self.ledger.execute(f"SELECT * FROM lastword_jobs_{table}")

    def missing(self) -> set[str]:
        return {id_ for id_, (_, _, missing) in self.seen().items() if missing}


def assert_sums(run: CurrentRun) -> None:
    counts = run.counts
    parts = sum(counts.get(key, 0) for key in ("succeeded", "failed", "skipped"))
    assert counts["processed"] == parts <= counts["total"]
