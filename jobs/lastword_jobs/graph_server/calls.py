"""One call as the handlers see it: what was asked, of which tenant, by whom, and when."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lastword_jobs.graph_server.answers import Refusal, bad_request, no_segment, not_found
from lastword_jobs.graph_server.clock import stamp
from lastword_jobs.graph_server.resources import Resource
from lastword_jobs.graph_server.rules import Rules
from lastword_jobs.graph_server.tenants import Entity, Tenant
from lastword_jobs.graph_server.tokens import Grant

#: Bytes of a body beyond which the service does not read it.
MAX_BODY_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Call:
    """A request, from the wire or from inside a batch.

    Attributes:
        method: the HTTP method.
        version: the segment that names the API version.
        path: the path below it, without a leading slash.
        options: the query options.
        headers: the headers, in lower case.
        content: the body.
        base_url: the server's own address, for links.
        batch: the number of the batch it came in; None for one of its own.
    """

    method: str
    version: str
    path: str
    options: Sequence[tuple[str, str]]
    headers: Mapping[str, str]
    content: bytes
    base_url: str
    batch: int | None = None

    @property
    def address(self) -> str:
        """The absolute URL without the query."""
        return f"{self.base_url}/{self.version}/{self.path}"

    @property
    def context(self) -> str:
        """What `@odata.context` begins with."""
        return f"{self.base_url}/{self.version}/$metadata"

    @property
    def query(self) -> dict[str, str]:
        """The query options by name.

        Raises:
            Refusal: one is there twice.
        """
        query = dict(self.options)
        if len(query) < len(self.options):
            raise bad_request("A query option must not be there twice.")
        return query

    def document(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises:
            Refusal: it is too long, of another kind, or no JSON object.
        """
        if len(self.content) > MAX_BODY_BYTES:
            raise Refusal(413, "RequestEntityTooLarge", "The request body is too large.")
        if self.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise Refusal(415, "UnsupportedMediaType", "The content type must be application/json.")
        try:
            document = json.loads(self.content, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise bad_request("Unable to read JSON request payload.")
        return document


@dataclass(frozen=True, slots=True)
class Target:
    """What a path leads to.

    Attributes:
        template: the path with its id left open; what the journal counts by.
        resource: the collection; None for what is none.
        entity_id: the object.
        part: the segment after it.
        argument: what stands in the brackets of a function.
    """

    template: str
    resource: Resource | None = None
    entity_id: str = ""
    part: str = ""
    argument: str = ""


@dataclass(frozen=True, slots=True)
class Errand:
    """A call that was let in, with everything it takes to answer it."""

    call: Call
    target: Target
    grant: Grant
    tenant: Tenant
    rules: Rules
    now_s: float

    @property
    def resource(self) -> Resource:
        """The collection it is about."""
        if self.target.resource is None:
            raise no_segment(self.target.template)
        return self.target.resource

    @property
    def now(self) -> str:
        """The moment as Graph writes it."""
        return stamp(self.now_s)

    def entity(self) -> Entity:
        """The object it is about.

        Raises:
            Refusal: there is none with this id, or it is so new that it cannot be found yet.
        """
        entity = self.tenant.found(self.resource.name, self.target.entity_id)
        if entity is None:
            raise not_found()
        visible_at = self.tenant.born.get(entity["id"], -1e18) + self.rules.consistency_s
        if self.now_s < visible_at:
            raise not_found()
        return entity


def _refuse_constant(name: str) -> None:
    # Python reads NaN and Infinity; JSON has neither.
    raise ValueError(name)
