"""The page of one run: what is the matter with it, the evidence, and what can be done."""

from __future__ import annotations

import html
import re

import pytest

from lastword.reading.runs import show_run
from lastword.reasons import Reason
from lastword.service import RunService
from lastword.service.values import AttemptEnd
from lastword.states import Outcome
from tests.web.pages import stale, text_of
from tests.web.world import World

#: What nothing may make markup of.
NASTY = "<img src=x onerror=alert(1)>\"'{{7*7}}"


def test_nothing_from_job_data_is_ever_markup(web: World) -> None:
    worker = web.scene.worker()
    run = web.running(worker, initiator_name=NASTY, context={"inputs": {NASTY: NASTY}})
    RunService(web.ledger).fail(
        [
            AttemptEnd(
                run,
                1,
                worker,
                Outcome.FAILED,
                reason=Reason.NOT_RETRYABLE,
                failures=[{"code": NASTY, "message": NASTY}],
                context={"inputs": {NASTY: NASTY}},
                diagnostics=NASTY,
            )
        ]
    )
    web.post(f"/admin/operations/{run}/retry", why=NASTY)
    for path in (
        "/admin/operations",
        f"/admin/operations/{run}",
        f"/admin/operations/{run}?diagnostics=true",
        f"/admin/operations/{run}/diagnostics",
        "/admin/audit",
        "/admin/audit?event=1",
        f"/admin/operations?tenant_id={NASTY[:60]}",
    ):
        page = web.get(path).text
        assert "<img src=x" not in page, path
        assert ">49<" not in page, path
    assert NASTY in html.unescape(web.get(f"/admin/operations/{run}").text)


def test_diagnostics_are_shown_to_those_who_ask_and_are_not_in_the_api(web: World) -> None:
    run = web.ended(Outcome.FAILED, reason=Reason.UNKNOWN_ERROR)
    assert "KeyError" not in web.get(f"/admin/operations/{run}").text
    assert "KeyError" in web.get(f"/admin/operations/{run}/diagnostics").text
    assert "KeyError" in web.get(f"/admin/operations/{run}?diagnostics=true").text
    assert "KeyError" not in web.get(f"/api/admin/operations/{run}").text


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        ("run", r"^Waits for a worker since [-\d]* ?\d\d:\d\d:\d\d UTC\.$"),
        ("running", r"^Worker \w{6} \(host, process 1\) works on it since .* last heard of at"),
        (
            "stale",
            r"^Stale for 36 min 40 s: its attempt has worked since .*, limit 1800 s; no reconciler",
        ),
        (
            "reconciled",
            r"^Reconciled: the generic reconciler closed it at .* UTC\. The worker .* died or lost",
        ),
        ("blocked", r"^Blocked: Writing to the tenant is switched off\.$"),
        ("ended", r"^Succeeded after \d+ ms\.$"),
    ],
)
def test_the_headline_says_what_is_the_matter(web: World, made: str, sentence: str) -> None:
    run = stale(web) if made == "stale" else getattr(web, made)()
    page = web.get(f"/admin/operations/{run}").text
    [headline] = re.findall(r'<p class="sentence">([^<]+)</p>', page)
    assert re.search(sentence, html.unescape(headline)), headline


def test_a_run_whose_worker_is_gone_says_when_it_was_last_seen_and_when_it_is_judged(
    web: World,
) -> None:
    worker = web.scene.worker()
    run = web.running(worker)
    with web.ledger.transaction():
        web.ledger.execute(
            "UPDATE lastword_worker SET lease_until = lease_until - 300000, "
            "heartbeat_at = heartbeat_at - 310000"
        )
        web.ledger.execute(
            "INSERT INTO lastword_sweep (job, scheduler, ended_at, succeeded_at, duration_ms, "
            "result, found, acted, skipped, lost_races) SELECT 'reconcile.generic', 's', "
            f"{web.ledger.dialect.now_ms}, {web.ledger.dialect.now_ms}, 1, 'succeeded', 0, 0, 0, 0"
        )
    page = web.get(f"/admin/operations/{run}").text
    [headline] = re.findall(r'<p class="sentence">([^<]+)</p>', page)
    assert re.fullmatch(
        r"Stale for 4 min: Worker \w{6} \(host, process 1\) was last seen at "
        r"[-\d]* ?\d\d:\d\d:\d\d UTC, limit 10 s; will be judged by [-\d]* ?\d\d:\d\d:\d\d UTC\.",
        headline,
    )
    assert "Next verdict" in page
    assert "<code>lease_ttl</code> of the configuration" in page


def test_the_page_of_a_reconciled_run_tells_the_reconciliation_as_a_fact_of_its_own(
    web: World,
) -> None:
    run = web.reconciled()
    said = text_of(web.get(f"/admin/operations/{run}").text)
    for part in (
        "Reconciliation Generic reconciler closed it: The worker that ran this died",
        "Rule worker_lost",
        "Limit 10 s",
        "Age then 12 s",
        "worker its lease ran out",
        "Next step: Look at what the worker died of",
        "Generic reconciler run.close done",
    ):
        assert part in said, said


def test_a_late_result_is_shown_and_has_changed_nothing(web: World) -> None:
    worker = web.scene.worker()
    run = web.running(worker)
    with web.ledger.transaction():
        web.ledger.execute("UPDATE lastword_worker SET lease_until = 0")
    web.scene.recover(run)
    RunService(web.ledger).finish([AttemptEnd(run, 1, worker, Outcome.SUCCEEDED)])
    said = text_of(web.get(f"/admin/operations/{run}").text)
    assert "Late results A worker reported after the run was closed or handed on." in said
    assert "attempt 1 said succeeded" in said
    assert web.scene.row(run)["status"] == "queued"


def test_a_progress_bar_is_drawn_for_numbers_that_can_be_believed_alone(web: World) -> None:
    drawn: list[bool] = []
    for counts in (
        '{"processed": 3, "total": 10}',
        '{"processed": 11, "total": 10}',
        '{"total": 10}',
        "{}",
    ):
        run = web.running(tenant=f"t{len(drawn)}")
        change = "UPDATE lastword_run SET summary_counts = ? WHERE id = ?"
        with web.ledger.transaction():
            web.ledger.execute(change, counts, run)
        drawn.append("<progress" in web.get(f"/admin/operations/{run}").text)
    assert drawn == [True, False, False, False]


def test_cancelling_needs_a_reason_and_tells_it_to_the_audit_log(web: World) -> None:
    run = web.run()
    path = f"/admin/operations/{run}/cancel"
    for why in ({}, {"why": "  "}, {"why": "x" * 301}):
        assert web.post(path, **why).status_code == 422
    assert web.scene.row(run)["status"] == "queued"
    answer = web.post(path, why="wrong tenant")
    assert answer.headers["location"] == f"/admin/operations/{run}?notice=cancelled"
    assert web.scene.row(run)["outcome"] == "cancelled"
    page = web.get(answer.headers["location"]).text
    assert "Cancelled The run has ended." in text_of(page)
    assert 'run.cancel done: "wrong tenant"' in text_of(page)
    again = web.post(path, why="again")
    assert again.headers["location"].endswith("notice=ended_already")


def test_a_run_that_works_is_asked_to_stop(web: World) -> None:
    run = web.running()
    answer = web.post(f"/admin/operations/{run}/cancel", why="slow")
    assert answer.headers["location"].endswith("notice=asked_to_stop")
    assert web.scene.row(run)["cancel_requested_by"] == "Ada"
    assert "It was asked to stop at" in text_of(web.get(f"/admin/operations/{run}").text)


def test_a_run_is_done_again_as_a_new_one_but_a_restore_never(web: World) -> None:
    run = web.ended(Outcome.FAILED, reason=Reason.UNKNOWN_ERROR)
    answer = web.post(f"/admin/operations/{run}/retry", why="mended")
    again = show_run(web.ledger, answer.headers["location"].split("/")[-1].split("?")[0], labels={})
    assert again["evidence"]["retry_of"] == run
    restore = web.ended(Outcome.FAILED, operation="restore.execute", reason=Reason.UNKNOWN_ERROR)
    page = web.get(f"/admin/operations/{restore}").text
    assert "Do it again" not in page
    refused = web.post(f"/admin/operations/{restore}/retry", why="mended")
    assert refused.status_code == 422
    assert "is not repeated as it is" in refused.text
