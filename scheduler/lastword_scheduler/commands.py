"""`lastword scheduler` and `lastword runs reconcile`."""

from __future__ import annotations

import time
from functools import partial

import click

from lastword.cli.opening import open_current
from lastword.cli.output import json_option, print_rows
from lastword.config import Config
from lastword.log_formats import configure_logging
from lastword.metrics.collecting import LedgerCollector
from lastword.metrics.exposing import may_scrape
from lastword.storage.clock import require_same_clock
from lastword.timing import chain_of, require_safe, violations
from lastword_middleware.broker import plain_broker, require_broker
from lastword_scheduler.broker_metrics import BrokerCollector
from lastword_scheduler.contact import Contact
from lastword_scheduler.generic import GenericReconciler
from lastword_scheduler.leading import Leadership
from lastword_scheduler.listening import Look, application, listen
from lastword_scheduler.metrics import SchedulerCollector
from lastword_scheduler.process import run_timetable
from lastword_scheduler.reports import SweepReport
from lastword_scheduler.timetable import generic_reconciler, sending_broker, timetable
from lastword_scheduler.verdicts import Action

_COLUMNS = {
    "run": "run",
    "operation": "operation",
    "status": "status",
    "action": "action",
    "reason": "reason",
    "age_s": "age s",
    "evidence": "evidence",
}


@click.command()
@click.option(
    "--allow-unsafe-timing",
    is_flag=True,
    help="Start although durations do not fit into each other; `lastword check` says which.",
)
def scheduler(allow_unsafe_timing: bool) -> None:
    """Run the reconcilers until stopped. Needs the database and the broker, no application code."""
    config, ledger = open_current()
    configure_logging(config.log_format)
    found = violations(chain_of(config))
    require_safe(found, allowed=allow_unsafe_timing or config.allow_unsafe_timing)
    require_broker(plain_broker(config), config)
    require_same_clock(ledger)
    contact = Contact(config.lease_ttl)
    leadership = Leadership(ledger, lease_ttl_s=config.lease_ttl, contact=contact)
    jobs = timetable(config, ledger, contact)
    collectors = [
        LedgerCollector(config, ledger, jobs=[job.name for job in jobs]),
        SchedulerCollector(ledger, jobs, leadership, found),
        BrokerCollector(sending_broker(config, ledger), ledger),
    ]

    def ready() -> list[str]:
        silent = f"the ledger at {ledger.address} does not answer, or cannot be written"
        return [] if contact.is_kept else [silent]

    def serve(healthy: Look) -> None:
        may = partial(may_scrape, config, config.metrics_addr)
        app = application(collectors, healthy=healthy, ready=ready, may_scrape=may)
        listen(app, config.metrics_addr)

    run_timetable(jobs, ledger, leadership, config=config, serve=serve)


def _sweep_twice(generic: GenericReconciler, config: Config) -> SweepReport:
    # One look cannot tell a silent worker from a ledger that was away just now.
    first = generic.sweep()
    deadline = time.monotonic() + config.lease_ttl
    while time.monotonic() < deadline:
        time.sleep(min(config.sweep_interval, config.lease_ttl / 4))
        second = generic.sweep()
        first.found = max(first.found, second.found)
        first.lost_workers += second.lost_workers
        first.lost_races += second.lost_races
        first.acted.update(second.acted)
    return first


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would be done and why; write nothing.")
@json_option
def reconcile(dry_run: bool, as_json: bool) -> None:
    """Look at every active run for as long as a lease lives, and heal what has to be."""
    config, ledger = open_current()
    configure_logging(config.log_format)
    generic = generic_reconciler(config, ledger)
    if not dry_run:
        report = _sweep_twice(generic, config)
        done = {str(action): count for action, count in report.acted.items()}
        row = {"found": report.found, "lost_races": report.lost_races, **done}
        print_rows([row], {key: key for key in row}, as_json=as_json, empty="")
        return
    rows = [
        {
            "run": decision.candidate.run_id,
            "operation": decision.candidate.operation,
            "status": decision.candidate.status,
            "action": decision.action,
            "reason": decision.reason,
            "age_s": round(decision.candidate.age_s, 1),
            "evidence": decision.evidence,
        }
        for page in generic.decisions()
        for decision in page
        if as_json or decision.action is not Action.LEAVE
    ]
    print_rows(rows, _COLUMNS, as_json=as_json, empty="nothing to do")
