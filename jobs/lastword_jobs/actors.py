"""The actors of the shipped operations, on the broker of `lastword_jobs.application`."""

from __future__ import annotations

import dramatiq
from dramatiq.broker import Broker

from lastword.config import Config
from lastword.current import CurrentRun, current_run
from lastword.reasons import RunFailure
from lastword.storage.ledger import Ledger
from lastword_jobs.backing_up import Backup
from lastword_jobs.baselines.capturing import Capture
from lastword_jobs.baselines.comparing import Compare
from lastword_jobs.directory.groups import GroupSync
from lastword_jobs.directory.roles import RoleSync
from lastword_jobs.graph.client import GraphClient
from lastword_jobs.graph.contracts import ALL_TYPES, POLICY_TYPES
from lastword_jobs.provider.reaching import Provider
from lastword_jobs.restores.executing import Restoring
from lastword_jobs.reviews.composing import Composer
from lastword_jobs.reviews.evidence import Evidence
from lastword_jobs.reviews.packing import FOLDER, Packer
from lastword_jobs.syncing import Sync
from lastword_jobs.syncing_one import OneSync


def declare_actors(broker: Broker, *, config: Config, records: Ledger) -> None:
    """Declare every actor on a broker that has Lastword installed.

    Args:
        broker: the broker.
        config: names the provider.
        records: where the operations keep their records, on connections of their own.
    """
    provider = Provider.of(config, broker, records)
    _declare_syncs(broker, provider, records)
    _declare_directory_syncs(broker, provider, records)
    _declare_baselines(broker, provider, records)
    _declare_backups(broker, provider, records)
    _declare_reviews(broker, provider, records)


def _declare_syncs(broker: Broker, provider: Provider, records: Ledger) -> None:
    @dramatiq.actor(broker=broker, actor_name="inventory_sync", operation="inventory_sync")
    def inventory_sync(types: list[str] | None = None) -> None:
        run = current_run()
        Sync(run, provider.client(run), records).inventory(types or ALL_TYPES)

    @dramatiq.actor(broker=broker, actor_name="policy_sync", operation="policy.sync")
    def policy_sync(types: list[str] | None = None) -> None:
        run = current_run()
        Sync(run, provider.client(run), records).policies(types or POLICY_TYPES)

    @dramatiq.actor(broker=broker, actor_name="policy_sync_one", operation="policy.sync_one")
    def policy_sync_one(policy_id: str, type: str) -> None:
        run = current_run()
        OneSync(run, provider.client(run), records).sync(policy_id, type)


def _declare_directory_syncs(broker: Broker, provider: Provider, records: Ledger) -> None:
    @dramatiq.actor(broker=broker, actor_name="entra_group_sync", operation="entra_group_sync")
    def entra_group_sync(mode: str = "delta") -> None:
        run = current_run()
        GroupSync(run, provider.client(run), records).sync(mode)

    @dramatiq.actor(
        broker=broker,
        actor_name="directory_role_definitions_sync",
        operation="directory_role_definitions.sync",
    )
    def directory_role_definitions_sync() -> None:
        run = current_run()
        RoleSync(run, provider.client(run), records).sync()


def _declare_baselines(broker: Broker, provider: Provider, records: Ledger) -> None:
    @dramatiq.actor(broker=broker, actor_name="baseline_capture", operation="baseline_capture")
    def baseline_capture(profile_id: str) -> None:
        run = current_run()
        Capture(run, provider.client(run), records).capture(profile_id)

    @dramatiq.actor(broker=broker, actor_name="baseline_compare", operation="baseline_compare")
    def baseline_compare(profile_id: str, snapshot_id: str | None = None) -> None:
        run = current_run()
        Compare(run, provider.client(run), records).compare(profile_id, snapshot_id)


def _declare_backups(broker: Broker, provider: Provider, records: Ledger) -> None:
    @dramatiq.actor(
        broker=broker, actor_name="backup_schedule_run", operation="backup_schedule_run"
    )
    def backup_schedule_run(types: list[str] | None = None, keep: int | None = None) -> None:
        run = current_run()
        Backup(run, provider.client(run), records, provider.config).back_up(types, keep=keep)

    @dramatiq.actor(broker=broker, actor_name="restore_execute", operation="restore.execute")
    def restore_execute(
        restore_id: str, fingerprint: str | None = None, dry_run: bool = False
    ) -> None:
        run = current_run()
        restoring = Restoring(run, provider.client(run), records, provider.config)
        if dry_run:
            restoring.preview(restore_id)
        else:
            restoring.execute(restore_id, fingerprint or "")


def _declare_reviews(broker: Broker, provider: Provider, records: Ledger) -> None:
    @dramatiq.actor(
        broker=broker,
        actor_name="tenant_evidence_snapshot_generate",
        operation="tenant.evidence.snapshot.generate",
    )
    def tenant_evidence_snapshot_generate() -> None:
        run = current_run()
        Evidence(run, _client_if_any(provider, run), records).generate()

    @dramatiq.actor(
        broker=broker, actor_name="tenant_review_compose", operation="tenant.review.compose"
    )
    def tenant_review_compose(evidence_id: str | None = None, review_id: str | None = None) -> None:
        Composer(current_run(), records).compose(evidence_id, review_id)

    @dramatiq.actor(
        broker=broker,
        actor_name="tenant_review_pack_generate",
        operation="tenant.review_pack.generate",
    )
    def tenant_review_pack_generate(review_id: str | None = None) -> None:
        folder = provider.config.data_dir / FOLDER
        Packer(current_run(), records, folder).pack(review_id)


def _client_if_any(provider: Provider, run: CurrentRun) -> GraphClient | None:
    # What only the provider knows is left out where it cannot be reached.
    try:
        return provider.client(run)
    except RunFailure:
        return None
