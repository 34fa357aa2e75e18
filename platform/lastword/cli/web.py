"""`lastword web`: the monitoring web."""

from __future__ import annotations

import click

from lastword.cli.opening import open_current
from lastword.errors import LastwordError
from lastword.log_formats import configure_logging
from lastword.timing import chain_of, require_safe, violations

#: Seconds that requests which are under way get when the web is stopped.
STOPS_WITHIN_S = 10


@click.command()
@click.option(
    "--allow-unsafe-timing",
    is_flag=True,
    help="Start although durations do not fit into each other; `lastword check` says which.",
)
@click.option("--app", "module", metavar="MODULE[:BROKER]", help="Whose actors runs are for.")
def web(allow_unsafe_timing: bool, module: str | None) -> None:
    """Serve the monitoring web at LASTWORD_WEB_ADDR until stopped."""
    try:
        import uvicorn

        from lastword.web.app import create_app
        from lastword.web.site import application_opener, require_closed
    except ImportError as error:
        raise LastwordError(
            f"the web needs {error.name}, which is not installed",
            mend="run `pip install 'lastword[web]'`",
        ) from error
    config, ledger = open_current()
    configure_logging(config.log_format)
    require_closed(config)
    found = violations(chain_of(config))
    require_safe(found, allowed=allow_unsafe_timing or config.allow_unsafe_timing)
    host, _, port = config.web_addr.rpartition(":")
    uvicorn.run(
        create_app(config, ledger, open_application=application_opener(module)),
        host=host.strip("[]"),
        port=int(port),
        log_config=None,
        access_log=False,
        server_header=False,
        # Who is at the other end of the socket decides whose word counts, not what a header says.
        proxy_headers=False,
        timeout_graceful_shutdown=STOPS_WITHIN_S,
    )
