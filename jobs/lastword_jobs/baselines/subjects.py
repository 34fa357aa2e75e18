"""Subjects: what was collected, by the key under which another tenant has the same."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from lastword.storage.ledger import Ledger
from lastword_jobs.collecting.records import Collected, Taking
from lastword_jobs.collecting.versions import Version
from lastword_jobs.content.documents import Content
from lastword_jobs.content.normalising import portable_key

#: Versions read with one statement.
MOST_IDS = 200


@dataclass(slots=True)
class Subject:
    """Everything of one name and type.

    Attributes:
        key: the portable key.
        type: our name of the type.
        name: as one of them is called.
        contents: what was read of each of them.
        version_ids: the versions those are.
        unread: those of which nothing is known.
    """

    key: str
    type: str
    name: str
    contents: list[Content] = field(default_factory=list)
    version_ids: list[str] = field(default_factory=list)
    unread: int = 0

    @property
    def copies(self) -> int:
        """How many there are of that name."""
        return len(self.contents) + self.unread


def subjects_of(ledger: Ledger, collected: list[Collected]) -> dict[str, Subject]:
    """What was collected, by portable key. What was deleted meanwhile is not there."""
    taken = [str(item.version_id) for item in collected if item.state == Taking.TAKEN]
    contents = _contents(ledger, taken)
    subjects: dict[str, Subject] = {}
    for item in collected:
        if item.state == Taking.SKIPPED:
            continue
        key = portable_key(item.name, item.type)
        subject = subjects.setdefault(key, Subject(key, item.type, item.name))
        if item.state == Taking.TAKEN:
            subject.contents.append(contents[str(item.version_id)])
            subject.version_ids.append(str(item.version_id))
        else:
            subject.unread += 1
    return subjects


def _contents(ledger: Ledger, version_ids: list[str]) -> dict[str, Content]:
    contents: dict[str, Content] = {}
    with ledger.session():
        for start in range(0, len(version_ids), MOST_IDS):
            query = Version.select(Version.id, Version.content).where(
                Version.id.in_(version_ids[start : start + MOST_IDS])
            )
            for row in query.execute(ledger.database):
                contents[row.id] = Content.from_document(json.loads(row.content))
    return contents
