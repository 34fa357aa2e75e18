"""Evidence, reviews and packs: what is known, put together, and handed over as the same bytes."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path

import pytest

from lastword.reasons import Blocked, Reason
from lastword.states import Outcome
from lastword_jobs.reviews.packing import prune_packs, zipped
from lastword_jobs.reviews.records import publish_review, sections_of
from tests.provider import FOR_EVER, TENANT
from tests.stage import Stage, assert_sums

SECTIONS = [
    "executive_summary",
    "open_risks",
    "accepted_risks",
    "permission_posture",
    "baseline_drift_posture",
    "operations_health",
]


@pytest.fixture
def known(stage: Stage) -> Stage:
    """A tenant of which everything is known that evidence looks at."""
    stage.provider.lab("seed", tenant=TENANT, size="S")
    stage.provider.lab("rules", scale=0)
    stage.groups("full")
    stage.roles()
    profile = stage.profile()
    stage.capture(profile)
    stage.provider.drift("change_setting", nth=0)
    stage.compare(profile)
    note_run(stage, "run-of-compare", "baseline_compare")
    return stage


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "packs"


def note_run(stage: Stage, run_id: str, operation: str) -> None:
    """A run that has ended, as the ledger has it: the operations here run without one."""
    now = stage.ledger.dialect.now_ms
    with stage.ledger.transaction():
        stage.ledger.execute(
            "INSERT INTO lastword_policy VALUES ('v', 'x', '{}', 1) ON CONFLICT DO NOTHING"
        )
        stage.ledger.execute(
            "INSERT INTO lastword_run (id, operation, tenant_id, initiator_name, status, outcome, "
            "closed_by, policy_version, queued_stale_ms, running_stale_ms, max_queue_wait_ms, "
            "dispatch, attempt, lost_deliveries, retries, probation, children, children_open, "
            "children_succeeded, actor_name, payload, summary_counts, failures, context, "
            f"created_at, available_at, changed_at, completed_at) VALUES ('{run_id}', "
            f"'{operation}', '{TENANT}', 'System', 'completed', 'succeeded', 'worker', 'v', "
            f"1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 'a', '{{}}', '{{}}', '[]', '{{}}', "
            f"{now}, {now}, {now}, {now})"
        )


def test_evidence_is_complete_when_everything_required_is_known(known: Stage) -> None:
    run = known.evidence()
    assert_sums(run)
    assert (run.outcome, run.counts["total"], run.counts["skipped"]) == ("succeeded", 7, 0)
    assert run.context["evidence"]["completeness"] == "complete"
    items = {row["dimension"]: row for row in known.rows("evidence_item")}
    assert len(json.loads(items["findings"]["payload"])["open"]) == 1
    assert json.loads(items["licences"]["payload"])["consumed"]


def test_the_same_evidence_is_taken_once_and_other_evidence_takes_its_place(known: Stage) -> None:
    first = known.evidence().context["evidence"]
    again = known.evidence().context["evidence"]
    assert (again["snapshot_id"], again["reused"]) == (first["snapshot_id"], True)
    known.objects("subscribedSkus")[0]["consumedUnits"] += 1
    other = known.evidence().context["evidence"]
    assert other["snapshot_id"] != first["snapshot_id"]
    statuses = sorted(row["status"] for row in known.rows("evidence_snapshot"))
    assert statuses == ["active", "superseded"]


def test_evidence_that_has_held_long_enough_is_taken_anew(known: Stage) -> None:
    known.evidence()
    with known.ledger.transaction():
        known.ledger.execute("UPDATE lastword_jobs_evidence_snapshot SET expires_at = 1")
    assert known.evidence().context["evidence"]["reused"] is False
    statuses = sorted(row["status"] for row in known.rows("evidence_snapshot"))
    assert statuses == ["active", "expired"]


def test_what_the_provider_does_not_tell_is_a_gap_that_is_not_required(known: Stage) -> None:
    known.provider.fault(route="*/secureScores", times=FOR_EVER, status=403)
    run = known.evidence()
    assert (run.outcome, run.counts["skipped"]) == (Outcome.SUCCEEDED, 1)
    assert run.context["evidence"]["completeness"] == "complete"
    [item] = [row for row in known.rows("evidence_item") if row["dimension"] == "secure_score"]
    assert (item["status"], item["reason"]) == ("missing", "permission_denied")


def test_what_is_required_and_not_known_is_said(stage: Stage) -> None:
    run = stage.evidence(asks=False)
    assert run.outcome is Outcome.PARTIALLY_SUCCEEDED
    assert run.context["evidence"]["completeness"] == "partial"
    assert {failure["code"] for failure in run.failures} == {"missing_configuration"}
    assert_sums(run)


def test_old_measurements_are_stale_and_told_as_such(known: Stage) -> None:
    with known.ledger.transaction():
        known.ledger.execute("UPDATE lastword_jobs_role SET seen_at = 1")
    assert known.evidence().context["evidence"]["completeness"] == "stale"


def test_a_lost_attempt_of_evidence_leaves_one_snapshot(known: Stage) -> None:
    run = known.evidence()
    again = known.evidence(known.again(run))
    assert again.context["evidence"]["snapshot_id"] == run.context["evidence"]["snapshot_id"]
    assert len(known.rows("evidence_snapshot")) == 1


def test_evidence_that_is_throttled_for_a_while_is_waited_for(known: Stage) -> None:
    known.provider.fault(route="*/subscribedSkus", status=429, headers={"Retry-After": "2.5"})
    run = known.evidence()
    assert (run.counts["skipped"], known.provider.waits) == (0, [2.5])


# Reviews


def test_a_review_has_its_sections_in_their_order(known: Stage) -> None:
    known.evidence()
    run = known.review()
    assert_sums(run)
    assert (run.outcome, run.counts["succeeded"]) == (Outcome.SUCCEEDED, 6)
    review_id = run.context["review"]["id"]
    sections = sections_of(known.ledger, review_id)
    assert [section.key for section in sections] == SECTIONS
    assert sections[0].body["open_risks"] == 1
    assert sections[1].body["risks"][0]["change"] == "different"


def test_a_section_of_which_nothing_is_known_is_there_and_says_so(stage: Stage) -> None:
    stage.evidence(asks=False)
    run = stage.review()
    assert (run.outcome, run.counts["skipped"]) == (Outcome.PARTIALLY_SUCCEEDED, 3)
    sections = sections_of(stage.ledger, run.context["review"]["id"])
    assert [s.key for s in sections if s.body == {"known": False}] == SECTIONS[3:]


def test_the_same_review_is_composed_once(known: Stage) -> None:
    known.evidence()
    first = known.review().context["review"]
    assert known.review().context["review"] == {**first, "reused": True}
    lost = known.run()
    known.review(lost)
    assert known.review(known.again(lost)).context["review"]["id"] == first["id"]
    assert len(known.rows("review")) == 1


def test_a_published_review_stays_as_it_is_whatever_becomes_of_its_sources(known: Stage) -> None:
    known.evidence()
    review_id = known.review().context["review"]["id"]
    assert publish_review(known.ledger, review_id, by="ada")
    assert not publish_review(known.ledger, review_id, by="ada")
    before = [section.body for section in sections_of(known.ledger, review_id)]
    known.objects("subscribedSkus")[0]["consumedUnits"] += 1
    known.evidence()
    fresh = known.review(review_id=review_id).context["review"]["id"]
    assert fresh != review_id
    assert [section.body for section in sections_of(known.ledger, review_id)] == before
    assert {row["id"]: row["status"] for row in known.rows("review")} == {
        review_id: "published",
        fresh: "ready",
    }
    assert publish_review(known.ledger, fresh, by="ada")
    statuses = {row["id"]: row["status"] for row in known.rows("review")}
    assert statuses == {review_id: "superseded", fresh: "published"}


def test_a_review_without_evidence_is_refused(stage: Stage) -> None:
    with pytest.raises(Blocked) as caught:
        stage.review()
    assert caught.value.reason is Reason.EXECUTION_PREREQUISITE_INVALID


# Packs


def test_a_pack_holds_the_review_and_is_the_same_each_time(known: Stage, folder: Path) -> None:
    known.evidence()
    review_id = known.review().context["review"]["id"]
    run = known.pack(folder)
    assert_sums(run)
    [pack] = known.rows("pack")
    file = folder / pack["file_name"]
    assert hashlib.sha256(file.read_bytes()).hexdigest() == pack["sha256"]
    assert file.stat().st_size == pack["bytes"] == run.counts["bytes"]
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        assert names == sorted(names)
        assert names[-7:-1] == [f"sections/{n:02d}-{key}.json" for n, key in enumerate(SECTIONS, 1)]
        assert json.loads(archive.read("metadata.json"))["review_id"] == review_id
        assert archive.read("executive-summary.md").startswith(b"# Review of contoso")
    again = known.pack(folder)
    assert again.context["pack"] == {**run.context["pack"], "reused": True}
    assert [path.name for path in folder.iterdir()] == [file.name]


def test_a_pack_whose_worker_died_while_it_wrote_appears_whole_or_not_at_all(
    known: Stage, folder: Path
) -> None:
    known.evidence()
    known.review()
    run = known.pack(folder)
    [pack] = known.rows("pack")
    file, whole = folder / pack["file_name"], (folder / pack["file_name"]).read_bytes()
    # Half of it on the disk under its own name, as after a disk that lied; and nothing recorded.
    file.write_bytes(whole[:100])
    again = known.pack(folder, known.again(run))
    assert file.read_bytes() == whole
    assert again.context["pack"]["id"] == pack["id"]
    assert len(known.rows("pack")) == 1


def test_packs_that_were_kept_long_enough_are_removed(known: Stage, folder: Path) -> None:
    known.evidence()
    known.review()
    known.pack(folder)
    assert prune_packs(known.ledger, folder) == 0
    with known.ledger.transaction():
        known.ledger.execute("UPDATE lastword_jobs_pack SET expires_at = 1")
    assert prune_packs(known.ledger, folder) == 1
    assert list(folder.iterdir()) == []
    assert known.pack(folder).context["pack"]["reused"] is False


def test_the_bytes_of_a_pack_depend_on_its_files_alone() -> None:
    files = {"b": "2", "a/ü": "1"}
    content = zipped(files)
    assert content == zipped(dict(reversed(files.items())))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_pack_without_a_review_is_refused(stage: Stage, folder: Path) -> None:
    with pytest.raises(Blocked):
        stage.pack(folder)
    assert not folder.exists()
