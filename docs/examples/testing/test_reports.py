"""Tests of the application in `tracked_reports.py`; run them with `pytest`."""

import tracked_reports


def test_it_succeeds(lastword_bench):
    run = lastword_bench.start("report.build", account_id=42)
    lastword_bench.work()
    lastword_bench.assert_ended(run, "succeeded")


def test_it_fails(lastword_bench):
    message = tracked_reports.build_report.send(-1)
    lastword_bench.work()
    lastword_bench.assert_ended(message.message_id, "failed", "retries_exhausted")
    assert lastword_bench.run(message.message_id)["attempt"] == 4
    error = lastword_bench.exceptions(message.message_id)[-1]
    assert str(error) == "there is no account -1"


def test_a_lost_message_is_sent_again(lastword_bench):
    run = lastword_bench.start("report.build", account_id=42)
    lastword_bench.lose_message(run)
    lastword_bench.pass_time(60)
    lastword_bench.sweep()
    lastword_bench.work()
    lastword_bench.assert_ended(run, "succeeded")
    assert lastword_bench.run(run)["dispatch"] == 2


def test_a_lost_worker_is_final_where_the_policy_says_so(lastword_bench):
    run = lastword_bench.start("report.send", account_id=42)
    lastword_bench.lose_worker(run)
    lastword_bench.sweep()
    lastword_bench.assert_ended(run, "failed", "worker_lost")


def test_a_lost_worker_is_made_good_where_the_policy_says_so(lastword_bench):
    run = lastword_bench.start("report.build", account_id=42)
    lastword_bench.lose_worker(run)
    lastword_bench.sweep()
    lastword_bench.work()
    lastword_bench.assert_ended(run, "succeeded")


def test_a_worker_that_dies_before_it_sends_the_report_is_made_good(lastword_bench, monkeypatch):
    run = lastword_bench.start("report.build", account_id=42)
    with monkeypatch.context() as patch:
        patch.setattr(tracked_reports.send_report, "send", lambda _: lastword_bench.lose_worker())
        lastword_bench.work()
    assert lastword_bench.run(run)["status"] == "running"
    lastword_bench.sweep()
    lastword_bench.work()
    lastword_bench.assert_ended(run, "succeeded")
    assert lastword_bench.run(run)["attempt"] == 2
