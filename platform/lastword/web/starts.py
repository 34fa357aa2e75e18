"""Starting runs from a page or by the API: as the person who asks, and judged by the same gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from lastword.starting import Started, start_in
from lastword.web.asking import Asked


def start_for(
    asked: Asked, operation: str, *, tenant: str | None, inputs: Mapping[str, Any]
) -> Started:
    """Start a run in the name of whoever asks.

    Raises:
        StartRefused: the operation, the tenant or the inputs are wrong; nothing was written.
        LastwordError: nothing that starts runs is installed, or it cannot be opened here.
    """
    return start_in(
        asked.site.open_application(),
        operation,
        inputs=inputs,
        tenant=tenant,
        initiator=asked.person.user_id,
        initiator_name=asked.person.name,
        actor=asked.actor,
    )


def start_here(asked: Asked, operation: str, inputs: Mapping[str, Any], *, back: str) -> Response:
    """Start a run on the tenant of the page, and go back to the page with what became of it.

    Args:
        asked: the request.
        operation: the operation.
        inputs: its inputs.
        back: the path of the page.
    """
    started = start_for(asked, operation, tenant=asked.here.tenant_id, inputs=inputs)
    return asked.go(back, notice=started.result, run=started.run_id)
