"""`lastword worker` and `lastword start`: the commands that need an application's actors."""

from __future__ import annotations

import argparse
import getpass
import importlib.util
import json
import logging
import os
import sys
from dataclasses import replace
from typing import Any

import click
from dramatiq.cli import main as dramatiq_main
from dramatiq.cli import make_argument_parser

from lastword.cli.opening import open_current, operator_here
from lastword.cli.output import json_option, print_json
from lastword.config import Config, load_config
from lastword.errors import InvalidInputs, LastwordError
from lastword.schedules import add_schedule
from lastword.service.requests import Acceptance
from lastword.starting import start
from lastword.timing import chain_of, require_safe, violations
from lastword_middleware.applications import default_module, load
from lastword_middleware.broker import plain_broker, require_broker


@click.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def worker(arguments: tuple[str, ...]) -> None:
    """Run a worker: Dramatiq's own command and arguments, with defaults that fit.

    `lastword worker [MODULE[:BROKER] ...] [--threads N] [--queues Q ...]`; without a module it
    serves the operations that ship with Lastword.
    """
    # First: who asks for help need not have configured anything.
    settings = _dramatiq_arguments(load_config(), arguments)
    config, ledger = open_current()
    ledger.close()
    _require_modules(settings)
    _require_fitting(config, settings)
    require_broker(plain_broker(config), config)
    # What Dramatiq executes anew when it is told to reload (SIGHUP), however this was started.
    sys.argv[:] = [sys.executable, "-m", "lastword.cli", "worker", *arguments]
    sys.exit(dramatiq_main(settings))


@click.command("start")
@click.argument("operation")
@click.option("--tenant", help="The tenant to work on.")
@click.option("--input", "pairs", multiple=True, metavar="KEY=VALUE", help="An input; repeatable.")
@click.option(
    "--initiator", help="The id of the person who asks; yourself, as the system, if none."
)
@click.option("--app", "module", help="The module whose actors do it.")
@json_option
def start_run(
    operation: str,
    tenant: str | None,
    pairs: tuple[str, ...],
    initiator: str | None,
    module: str | None,
    as_json: bool,
) -> None:
    """Start a run of OPERATION. A value is read as JSON where it is JSON, else as text."""
    open_current()
    inputs = dict(_pair(pair) for pair in pairs)
    load(module or default_module())
    # The answer says it; a line of log beside it would only repeat it.
    logging.getLogger("lastword").setLevel(logging.WARNING)
    started = start(
        operation,
        inputs=inputs,
        tenant=tenant,
        initiator=initiator,
        initiator_name=None if initiator else getpass.getuser(),
        actor=operator_here(),
    )
    if as_json:
        print_json({"result": started.result, "run_id": started.run_id, "url": started.url})
    else:
        click.echo(f"{started.result} {started.run_id}")
    if started.result == Acceptance.BLOCKED:
        raise LastwordError(
            f"run {started.run_id} may not be done",
            mend=f"see `lastword runs show {started.run_id}`",
        )


@click.command()
@click.argument("name")
@click.argument("operation")
@click.option("--cron", required=True, help="Minute, hour, day of the month, month, weekday.")
@click.option("--timezone", default="UTC", show_default=True, help="A name such as Europe/Berlin.")
@click.option("--tenant", help="The id of the tenant to work on.")
@click.option("--input", "pairs", multiple=True, metavar="KEY=VALUE", help="May be repeated.")
@click.option("--initiator", help="The id of whom the runs belong to.")
@click.option("--app", "module", metavar="MODULE[:BROKER]", help="The application to load.")
def add_schedule_command(
    name: str,
    operation: str,
    cron: str,
    timezone: str,
    tenant: str | None,
    pairs: tuple[str, ...],
    initiator: str | None,
    module: str | None,
) -> None:
    """Start OPERATION at every slot of a cron expression, as the schedule NAME."""
    open_current()
    inputs = dict(_pair(pair) for pair in pairs)
    load(module or default_module())
    add_schedule(
        operation,
        name=name,
        cron=cron,
        timezone=timezone,
        inputs=inputs,
        tenant=tenant,
        initiator=initiator,
        actor=operator_here(),
    )
    click.echo(f"added schedule {name}")


def _dramatiq_arguments(config: Config, arguments: tuple[str, ...]) -> argparse.Namespace:
    parser = make_argument_parser()
    parser.prog = "lastword worker"
    for action in parser._actions:
        if action.dest == "broker":
            action.nargs = "?"
            action.default = default_module()
    parser.add_argument(
        "--allow-unsafe-timing",
        action="store_true",
        default=config.allow_unsafe_timing,
        help="start although durations do not fit into each other; `lastword check` says which",
    )
    parser.add_argument(
        "--one-cpu",
        action="store_true",
        default=config.one_cpu,
        help="keep each process on one CPU: faster for short jobs, slower where a job computes "
        "beside Python",
    )
    parser.set_defaults(
        # One process a unit: Dramatiq stops every sibling of a process that is killed.
        processes=1,
        threads=min(8, 2 * (os.cpu_count() or 4)),
        worker_shutdown_timeout=int(config.worker_shutdown_timeout * 1000),
    )
    settings: argparse.Namespace = parser.parse_args(arguments)
    return settings


def _require_fitting(config: Config, settings: argparse.Namespace) -> None:
    # Here what no actor has a part in, in one line and before anything is started; the worker's
    # own process looks at its actors, and reads from the environment what was said here.
    config = replace(config, worker_shutdown_timeout=settings.worker_shutdown_timeout / 1000)
    found = violations(replace(chain_of(config), policies=()))
    require_safe(found, allowed=settings.allow_unsafe_timing)
    if config.health_file and settings.processes > 1:
        raise InvalidInputs(
            f"{settings.processes} processes of one worker cannot share a health file",
            expected="--processes 1",
            mend="start one worker for each process, as systemd or Kubernetes would",
        )
    os.environ["LASTWORD_WORKER_SHUTDOWN_TIMEOUT"] = str(config.worker_shutdown_timeout)
    os.environ["LASTWORD_STOP_WAIT"] = str(config.stop_wait)
    os.environ["LASTWORD_ALLOW_UNSAFE_TIMING"] = str(settings.allow_unsafe_timing).lower()
    os.environ["LASTWORD_ONE_CPU"] = str(settings.one_cpu).lower()


def _require_modules(settings: argparse.Namespace) -> None:
    # Found, not imported: a broker that is made before the fork would be shared by the workers.
    sys.path[:0] = settings.path
    for place in (settings.broker, *settings.modules):
        name = place.partition(":")[0]
        try:
            found = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            found = None
        if found is None:
            raise InvalidInputs(
                f"there is no module {name!r} to serve",
                expected="MODULE or MODULE:BROKER on the path",
                mend="add its folder with --path",
            )


def _pair(pair: str) -> tuple[str, Any]:
    key, separator, text = pair.partition("=")
    if not separator or not key:
        raise InvalidInputs(f"input {pair!r}", expected="KEY=VALUE")
    try:
        return key, json.loads(text)
    except (ValueError, RecursionError):
        return key, text
