"""What a backup set holds: each object as it was read, with the values that were sealed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from lastword.config import Config
from lastword.errors import ConfigError
from lastword.storage.ledger import Ledger
from lastword_jobs.collecting.records import Collected, Taking
from lastword_jobs.collecting.versions import Version
from lastword_jobs.content.documents import Captured, Content
from lastword_jobs.graph.contracts import BY_TYPE
from lastword_jobs.provider.sealing import Sealer, Unsealable


@dataclass(frozen=True, slots=True)
class Source:
    """One object of a set.

    Attributes:
        captured: as it was read.
        content: as it is compared.
        version_id: the version that is.
        plain: values that the provider hides, by OMA-URI, as far as they can be opened.
    """

    captured: Captured
    content: Content
    version_id: str
    plain: dict[str, str] = field(default_factory=dict, repr=False)


def sources_of(
    ledger: Ledger, config: Config, backup_set_id: str, types: Sequence[str] | None
) -> list[Source]:
    """The objects of a set, in the order in which they can be written."""
    query = (
        Collected.select(Collected, Version)
        .join(Version, on=(Version.id == Collected.version_id), attr="version")
        .where((Collected.owner_id == backup_set_id) & (Collected.state == Taking.TAKEN))
    )
    with ledger.session():
        rows = list(query.execute(ledger.database))
    chosen = [row for row in rows if types is None or row.type in types]
    chosen.sort(key=lambda row: (BY_TYPE[row.type].order, row.type, row.name, row.external_id))
    return [
        Source(
            captured=Captured.from_document(json.loads(row.version.captured)),
            content=Content.from_document(json.loads(row.version.content)),
            version_id=row.version.id,
            plain=_opened(config, row.secrets) if row.secrets else {},
        )
        for row in chosen
    ]


def _opened(config: Config, sealed: str) -> dict[str, str]:
    try:
        plain: dict[str, str] = json.loads(Sealer.of(config).open(sealed))
    except (ConfigError, Unsealable):
        # Told item by item: what cannot be opened is left out, and the item is not whole.
        return {}
    return plain
