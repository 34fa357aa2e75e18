"""The other operations, each on what the one before made: from groups to a pack, over a wipe.

The restore loses the answer to a create that was done: it has to find what it made.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from dramatiq.rate_limits.backends import StubBackend

from lastword.current import CurrentRun
from lastword.errors import LastwordError
from lastword.identity import RunId
from lastword.reading.runs import show_run
from lastword.service.tenants import set_writable
from lastword.storage.ledger import Ledger
from lastword_jobs.baselines.findings import findings_of
from lastword_jobs.baselines.records import add_profile
from lastword_jobs.demo.scenario import GOVERNED_TENANT, Stage, Watched
from lastword_jobs.graph.contracts import CONTRACTS, Writing
from lastword_jobs.provider.reaching import Provider
from lastword_jobs.records import Policy
from lastword_jobs.restores.preparing import confirm_restore, prepare_restore
from lastword_jobs.restores.records import find_restore

#: Seconds an act waits for the runs that the next one builds on.
ENDS_WITHIN_S = 40.0

#: Seconds every answer of the provider takes from here on: nobody strikes in mid-run any more.
LATENCY_S = 0.005

#: The collection whose creates lose their answers.
_CATALOG = "configurationPolicies"


def govern(stage: Stage) -> Iterator[None]:
    """The acts in order. Yields while it waits, so that the watcher can be shown the runs."""
    yield from _ended(stage, stage.watched)
    stage.lab("rules", latency_s=LATENCY_S)
    yield from _read(stage)
    yield from _compared(stage)
    yield from _restored(stage)
    yield from _reviewed(stage)


def _read(stage: Stage) -> Iterator[None]:
    stage.tell(f"reading groups, roles and policies of {GOVERNED_TENANT}")
    yield from _ended(
        stage,
        [
            _start(stage, "entra_group_sync", mode="full"),
            _start(stage, "directory_role_definitions.sync"),
            _start(stage, "policy.sync"),
        ],
    )


def _compared(stage: Stage) -> Iterator[None]:
    ledger = stage.system.ledger
    profile = add_profile(
        ledger,
        workspace_id="default",
        name="demo",
        types=["settingsCatalog", "deviceConfiguration"],
    )
    stage.tell("capturing a baseline; then somebody changes one policy and deletes another")
    policy_id = _a_policy(ledger)
    yield from _ended(
        stage,
        [
            _start(stage, "baseline_capture", profile_id=profile),
            _start(stage, "policy.sync_one", policy_id=policy_id, type="settingsCatalog"),
        ],
    )
    for drift, nth in (("change_setting", 0), ("delete_policy", 1)):
        stage.lab("drift", tenant=GOVERNED_TENANT, drift=drift, nth=nth)
    harm = "one policy changed, one deleted"
    yield from _ended(stage, [_start(stage, "baseline_compare", harm, profile_id=profile)])
    found = findings_of(ledger, GOVERNED_TENANT)
    if len(found) != 2:
        raise LastwordError(f"{len(found)} findings", expected="the two that were planted")
    stage.tell(f"found: {', '.join(f'{item.name} is {item.change}' for item in found)}")


def _restored(stage: Stage) -> Iterator[None]:
    ledger = stage.system.ledger
    backup = _start(stage, "backup_schedule_run")
    yield from _ended(stage, [backup])
    before = _names(stage)
    stage.tell(f"backed up; then every one of {before.total()} policies is deleted")
    stage.lab("drift", tenant=GOVERNED_TENANT, drift="wipe")
    set_writable(ledger, GOVERNED_TENANT, writable=True)
    set_id = show_run(ledger, backup.run_id, labels={})["context"]["backup_set_id"]
    restore_id = prepare_restore(ledger, tenant_id=GOVERNED_TENANT, backup_set_id=set_id)
    preview = _start(stage, "restore.execute", "a dry run", restore_id=restore_id, dry_run=True)
    yield from _ended(stage, [preview])
    restore = find_restore(ledger, restore_id)
    if restore is None or restore.fingerprint is None:
        raise LastwordError("the dry run left no preview")
    confirm_restore(ledger, restore_id, fingerprint=restore.fingerprint, by="demo")
    stage.tell("restoring; the provider creates a policy and drops the connection, twice")
    stage.fault(
        method="POST",
        route=f"*/{_CATALOG}",
        tenant=GOVERNED_TENANT,
        after=True,
        drop=True,
        times=2,
    )
    harm = "answer to a create lost"
    inputs = {"restore_id": restore_id, "fingerprint": restore.fingerprint}
    yield from _ended(stage, [_start(stage, "restore.execute", harm, **inputs)])
    after = _names(stage)
    if after != before:
        raise LastwordError(f"restored {after.total()}", expected=f"{before.total()}, each once")
    stage.tell(f"{after.total()} policies are back, each of them once")


def _reviewed(stage: Stage) -> Iterator[None]:
    stage.tell("putting together what is known of the tenant, for people")
    for operation in (
        "tenant.evidence.snapshot.generate",
        "tenant.review.compose",
        "tenant.review_pack.generate",
    ):
        yield from _ended(stage, [_start(stage, operation)])


def _start(stage: Stage, operation: str, harm: str = "nothing", **inputs: Any) -> Watched:
    return stage.start(operation, GOVERNED_TENANT, harm, inputs=inputs)


def _ended(stage: Stage, watched: list[Watched]) -> Iterator[None]:
    deadline = time.monotonic() + ENDS_WITHIN_S
    while any(stage.row(item)["status"] != "completed" for item in watched):
        if time.monotonic() > deadline:
            late = [item.operation for item in watched if stage.row(item)["status"] != "completed"]
            raise LastwordError(f"{', '.join(late)} did not end", expected="an end in time")
        yield
        time.sleep(0.1)
    yield


def _names(stage: Stage) -> Counter[str]:
    # As the provider itself has them, whatever the records say.
    provider = Provider(stage.system.config, stage.system.ledger, StubBackend())
    look = CurrentRun(RunId("look"), "look", attempt=1, tenant_id=GOVERNED_TENANT)
    with provider.http:
        client = provider.client(look)
        return Counter(
            str(entity.get(contract.name_key))
            for contract in CONTRACTS
            if contract.is_policy and contract.writing is Writing.ENABLED
            for page in client.pages(contract.listing)
            for entity in page.entities
        )


def _a_policy(ledger: Ledger) -> str:
    query = Policy.select(Policy.external_id).where(
        (Policy.tenant_id == GOVERNED_TENANT) & (Policy.type == "settingsCatalog")
    )
    with ledger.session():
        return str(query.order_by(Policy.external_id).get(ledger.database).external_id)
