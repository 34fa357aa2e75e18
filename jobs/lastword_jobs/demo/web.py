"""The monitoring web beside the system of `lastword up`, and whoever may sign in to it."""

from __future__ import annotations

import socket
import time
import urllib.error
import urllib.request

from lastword.access import Role
from lastword.errors import LastwordError
from lastword.service.members import add_user, grant, set_overseer
from lastword.service.sessions import new_link
from lastword.service.tenants import set_writable
from lastword_jobs.demo.system import READY_WITHIN_S, System

#: The person whom the printed link signs in.
OWNER = "you"


def open_web(system: System, tenant_id: str) -> str:
    """Start the web, wait until it answers, and give the link that signs its owner in.

    Raises:
        LastwordError: it did not come up.
    """
    ledger = system.ledger
    if add_user(ledger, user_id=OWNER, name="You"):
        grant(ledger, user_id=OWNER, workspace_id="default", role=Role.OWNER)
        set_overseer(ledger, OWNER, oversees=True)
        # A tenant that is made up may be written to; a real one is closed until somebody opens it.
        set_writable(ledger, tenant_id, writable=True)
    system.supervisor.run("web", "web")
    origin = f"http://{system.config.web_addr}"
    _await(f"{origin}/healthz", system)
    return f"{origin}/admin/sign-in/link?token={new_link(ledger, OWNER)}"


def require_free(address: str) -> None:
    """Refuse to start where something else listens.

    Raises:
        LastwordError: the address is taken, or is none of this host.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, int(port)))
        except OSError as error:
            raise LastwordError(
                f"the web cannot listen at {address}: {error.strerror}",
                mend="choose another address with LASTWORD_WEB_ADDR=127.0.0.1:PORT",
            ) from error


def _await(url: str, system: System) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own address
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise LastwordError("the web did not start", mend=f"see {system.supervisor.logs / 'web.log'}")
