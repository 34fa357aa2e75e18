"""`lastword runs`: what stands in the ledger."""

from __future__ import annotations

from enum import StrEnum

import click

from lastword.cli.opening import labels, open_current, operator_here
from lastword.cli.output import json_option, print_json, print_rows
from lastword.errors import LastwordError
from lastword.identity import RunId
from lastword.reading.freshness import Freshness, ProblemClass
from lastword.reading.runs import MAX_LIMIT, RunFilter, list_runs, show_run
from lastword.repeating import repeat_run
from lastword.service import RunService
from lastword.service.cancelling import Cancelled
from lastword.states import Outcome, Status

_COLUMNS = {
    "id": "run",
    "type": "operation",
    "tenant_id": "tenant",
    "status": "status",
    "outcome": "outcome",
    "reason_code": "reason",
    "freshness_state": "freshness",
    "attempt": "attempt",
    "created_at": "created",
    "summary_counts": "counts",
}

_ATTEMPT_COLUMNS = {
    "number": "attempt",
    "worker_id": "worker",
    "started_at": "started",
    "ended_at": "ended",
    "ending": "ending",
    "reason": "reason",
}

_FAILURE_COLUMNS = {"code": "failure", "message": "what is known of it", "count": "times"}

_EVENT_COLUMNS = {
    "at": "at",
    "kind": "event",
    "source": "by",
    "attempt": "attempt",
    "outcome": "outcome",
    "reason": "reason",
}


def _choice(words: type[StrEnum]) -> click.Choice[str]:
    # Given the members themselves, Click would ask for their names in capitals.
    return click.Choice([word.value for word in words])


@click.group()
def runs() -> None:
    """List runs, show one, cancel, retry, reconcile."""


@runs.command("list")
@click.option("--status", type=_choice(Status), help="Only these: where they stand.")
@click.option("--outcome", type=_choice(Outcome), help="Only these: how they ended.")
@click.option("--type", "operation", help="Only this operation.")
@click.option("--tenant", "tenant_id", help="Only this tenant.")
@click.option(
    "--freshness",
    "freshness_state",
    type=_choice(Freshness),
    help="Only these: whether they are stale.",
)
@click.option(
    "--problem",
    "problem_class",
    type=_choice(ProblemClass),
    help="Only these: whether they need somebody.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, MAX_LIMIT),
    default=50,
    show_default=True,
    help="How many at most.",
)
@json_option
def list_command(
    status: str | None,
    outcome: str | None,
    operation: str | None,
    tenant_id: str | None,
    freshness_state: str | None,
    problem_class: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """The newest runs, newest first."""
    config, ledger = open_current()
    wanted = RunFilter(
        status=status,
        outcome=outcome,
        operation=operation,
        tenant_id=tenant_id,
        freshness_state=freshness_state,
        problem_class=problem_class,
        limit=limit,
    )
    rows = list_runs(ledger, wanted, labels=labels(config))
    print_rows(rows, _COLUMNS, as_json=as_json, empty="no run fits")


@runs.command("show")
@click.argument("run_id")
@json_option
def show_command(run_id: str, as_json: bool) -> None:
    """One run with its evidence, attempts and events."""
    config, ledger = open_current()
    run = show_run(ledger, run_id, labels=labels(config))
    if as_json:
        print_json(run)
        return
    facts = {key: value for key, value in run.items() if not isinstance(value, list | dict)}
    for key, value in facts.items():
        click.echo(f"{key:16} {'-' if value is None else value}")
    for key in ("summary_counts", "context", "reconciliation", "evidence"):
        for name, value in (run[key] or {}).items():
            click.echo(f"{key}.{name:14} {'-' if value is None else value}")
    click.echo()
    print_rows(run["failures"], _FAILURE_COLUMNS, as_json=False, empty="no failure")
    click.echo()
    print_rows(run["attempts"], _ATTEMPT_COLUMNS, as_json=False, empty="no attempt yet")
    click.echo()
    print_rows(run["events"], _EVENT_COLUMNS, as_json=False, empty="no event")


@runs.command("cancel")
@click.argument("run_id")
@json_option
def cancel_command(run_id: str, as_json: bool) -> None:
    """End a run: at once if nobody works on it, else by asking its worker to stop."""
    _, ledger = open_current()
    actor = operator_here()
    answer = RunService(ledger).cancel([RunId(run_id)], by=actor.name, actor=actor)
    result = answer.get(RunId(run_id))
    if result is None:
        run = show_run(ledger, run_id, labels={})
        raise LastwordError(
            f"run {run_id} is {run['status']}/{run['outcome']}",
            expected="a run that is still queued or running",
        )
    if as_json:
        print_json({"run_id": run_id, "result": result})
    elif result is Cancelled.REQUESTED:
        click.echo(f"{run_id} was asked to stop; see `lastword runs show {run_id}`")
    else:
        click.echo(f"{run_id} is cancelled")


@runs.command("retry")
@click.argument("run_id")
@json_option
def retry_command(run_id: str, as_json: bool) -> None:
    """Do a completed run again, as a new run that names it."""
    _, ledger = open_current()
    again = repeat_run(ledger, RunId(run_id), actor=operator_here())
    if as_json:
        print_json({"result": again.result, "run_id": again.run_id, "retry_of": run_id})
    else:
        click.echo(f"{again.result} {again.run_id}")
