"""`lastword graph-server`, `lastword demo` and `lastword up`."""

from __future__ import annotations

import logging
import secrets
import shutil
import sys
import threading
from contextlib import suppress
from pathlib import Path

import click
from rich.console import Console

from lastword.cli.output import new_console
from lastword.config import Config, load_config
from lastword.errors import BrokerUnavailable, InvalidInputs, LastwordError
from lastword.log_formats import configure_logging
from lastword.supervisor import interruptible, sole_owner

#: The tenant that `lastword up` brings.
DEMO_TENANT = "contoso"

#: Seconds between two looks at the embedded Redis.
LOOK_EVERY_S = 0.5


@click.command("graph-server")
@click.option("--tenant", "pairs", multiple=True, metavar="ID=S|M|L", help="Repeatable.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Any free one by default.")
@click.option(
    "--latency",
    "latency_s",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="SECONDS",
    help="How long each answer takes.",
)
@click.option(
    "--scale",
    type=click.FloatRange(min=0),
    default=1.0,
    help="What the documented limits are divided by; 0: no limits.",
)
@click.option(
    "--retry-after",
    type=click.Choice(["int", "decimal", "date", "absent", "mixed"]),
    default="int",
    help="How a throttled answer says when to come back.",
)
@click.option("--lenient", is_flag=True, help="Ignore read-only properties instead of refusing.")
@click.option("--url-file", type=click.Path(path_type=Path), help="Where to write the base URL.")
def graph_server(
    pairs: tuple[str, ...],
    port: int,
    latency_s: float,
    scale: float,
    retry_after: str,
    lenient: bool,
    url_file: Path | None,
) -> None:
    """Serve a local Graph API with made-up tenants, for trying things out and for tests."""
    _require_operations()
    from lastword_jobs.graph_server.app import create_app
    from lastword_jobs.graph_server.rules import RetryAfter, Rules
    from lastword_jobs.graph_server.seeding import seed_tenant
    from lastword_jobs.graph_server.serving import serve
    from lastword_jobs.graph_server.tenants import Size
    from lastword_jobs.graph_server.tokens import TokenIssuer

    config = load_config()
    configure_logging(config.log_format)
    tenants = []
    for pair in pairs or (f"{DEMO_TENANT}=M",):
        tenant_id, _, size = pair.partition("=")
        if not tenant_id or size not in set(Size):
            raise InvalidInputs(f"--tenant {pair!r}", expected="ID=S, ID=M or ID=L")
        tenants.append(seed_tenant(tenant_id, Size(size)))
    client_id = config.graph_client_id or "lastword-local"
    secret = config.graph_client_secret or secrets.token_urlsafe(24)
    if not config.graph_client_secret:
        click.echo(f"client id {client_id}, client secret {secret}", err=True)
    rules = Rules(
        latency_s=latency_s, strict=not lenient, scale=scale, retry_after=RetryAfter(retry_after)
    )
    app = create_app(tenants, TokenIssuer(client_id, secret), rules=rules)
    serve(app, port=port, url_file=url_file)


@click.command()
def demo() -> None:
    """Start everything, sync tenants, kill and empty things, and show that every run ends right."""
    _require_operations()
    from lastword_jobs.demo.playing import play_demo

    config = load_config()
    logging.getLogger("lastword").setLevel(logging.CRITICAL)
    with interruptible():
        sys.exit(0 if play_demo(config, _wide(new_console())) else 1)


@click.command()
@click.option(
    "--workers", type=click.IntRange(1, 64), default=2, show_default=True, help="Worker processes."
)
@click.option(
    "--threads", type=click.IntRange(1, 256), default=4, show_default=True, help="Of each worker."
)
def up(workers: int, threads: int) -> None:
    """Start the system of the demo and keep it running until Ctrl-C."""
    _require_operations()
    config = load_config()
    configure_logging(config.log_format, level=logging.WARNING)
    with interruptible() as asked, sole_owner(config.data_dir), suppress(KeyboardInterrupt):
        _stay_up(config, asked, workers=workers, threads=threads)
    click.echo("stopped")


def _stay_up(config: Config, asked: threading.Event, *, workers: int, threads: int) -> None:
    from lastword_jobs.demo.system import running_system
    from lastword_jobs.demo.web import OWNER, open_web, require_free
    from lastword_jobs.graph_server.tenants import Size

    tenants = {DEMO_TENANT: Size.M}
    require_free(config.web_addr)
    with running_system(config, tenants=tenants, workers=workers, threads=threads) as system:
        link = open_web(system, DEMO_TENANT)
        click.echo(f"running in {system.config.data_dir.absolute()}; Ctrl-C stops it")
        click.echo(f"ledger  {system.ledger.address}")
        click.echo(f"broker  {system.config.broker_url}")
        click.echo(f"Graph   {system.config.graph_url}, tenant {DEMO_TENANT}")
        for name, pid in system.supervisor.pids().items():
            click.echo(f"{name}: pid {pid}, log {system.supervisor.logs / f'{name}.log'}")
        command = _own_name()
        click.echo(f"sign in once, within a quarter of an hour: {link}")
        click.echo(f"  later: {command} users link {OWNER}")
        click.echo("in another terminal, in this folder:")
        click.echo(f"  {command} start policy.sync --tenant {DEMO_TENANT}")
        click.echo(f"  {command} runs list")
        while system.redis is None or system.redis.is_running:
            if asked.wait(LOOK_EVERY_S):
                return
        raise BrokerUnavailable(
            "the embedded redis-server has ended",
            address=system.config.broker_url,
            mend="run `lastword up` again: what was queued is in the ledger, and is sent again",
        )


def _own_name() -> str:
    # After `make up` the command is in .venv, where no shell looks by itself.
    if shutil.which("lastword"):
        return "lastword"
    beside = Path(sys.executable).with_name("lastword")
    return str(beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside)


def _wide(console: Console) -> Console:
    # The last table is read as a whole; a narrow terminal may scroll, it may not cut words.
    return console if console.is_terminal else Console(highlight=False, width=160)


def _require_operations() -> None:
    try:
        import httpx  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise LastwordError(
            f"the operations need {error.name}, which is not installed",
            mend="run `pip install 'lastword[operations,embedded]'`",
        ) from error
