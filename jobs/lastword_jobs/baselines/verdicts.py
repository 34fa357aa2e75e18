"""What a comparison says of each subject: drifted, as it should be, or not known. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from lastword_jobs.baselines.records import hash_of
from lastword_jobs.baselines.subjects import Subject
from lastword_jobs.content.differences import Difference, differences
from lastword_jobs.content.documents import Content, Part


class Change(StrEnum):
    """How a subject has drifted."""

    MISSING = "missing"
    UNEXPECTED = "unexpected"
    DIFFERENT = "different"


class Gap(StrEnum):
    """Why nothing can be said of a subject."""

    #: Its type was refused.
    NOT_COVERED = "policy_type_not_covered"
    #: More than one has its name, here or in the baseline.
    AMBIGUOUS = "ambiguous_match"
    #: It is there and could not be read.
    UNREAD = "policy_record_missing"
    #: It refers to something that nobody could name, in another tenant.
    UNRESOLVED = "unresolved_reference"


#: How bad it is, by what has drifted.
_SEVERITY: Mapping[tuple[Change, Part], str] = {
    (Change.MISSING, Part.SETTINGS): "high",
    (Change.UNEXPECTED, Part.SETTINGS): "low",
    (Change.DIFFERENT, Part.SETTINGS): "high",
    (Change.DIFFERENT, Part.ASSIGNMENTS): "medium",
    (Change.DIFFERENT, Part.SCOPE_TAGS): "low",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A subject as the baseline has it."""

    key: str
    type: str
    name: str
    content: Content
    copies: int


@dataclass(frozen=True, slots=True)
class Drift:
    """One finding, before it is recorded.

    Attributes:
        key: the subject's portable key.
        detail: what differs, as JSON values.
        version_id: what was compared, if the subject is there.
    """

    key: str
    type: str
    name: str
    part: Part
    change: Change
    detail: Sequence[dict[str, Any]] = ()
    version_id: str | None = None

    @property
    def severity(self) -> str:
        """How bad it is."""
        return _SEVERITY[self.change, self.part]

    def recurrence_key(self, snapshot_id: str) -> str:
        """By what it is found again: the snapshot, the subject and what drifted of it."""
        return hash_of([snapshot_id, self.key, self.part, self.change])


@dataclass(slots=True)
class Comparison:
    """What came of a comparison.

    Attributes:
        drifts: what has drifted.
        gaps: subjects of which nothing can be said, by key.
        judged: subjects of which something was said; what was found of them before and is not
            found now is over.
    """

    drifts: list[Drift] = field(default_factory=list)
    gaps: dict[str, Gap] = field(default_factory=dict)
    judged: set[str] = field(default_factory=set)


def compare(
    wanted: Mapping[str, Wanted],
    current: Mapping[str, Subject],
    *,
    covered: frozenset[str],
    is_same_tenant: bool,
) -> Comparison:
    """Compare what there is with what there should be.

    Args:
        wanted: the baseline's subjects by key.
        current: the tenant's subjects by key.
        covered: types that were listed to their end: only of those is absence known.
        is_same_tenant: whether the baseline was captured in this very tenant.
    """
    result = Comparison()
    for key in sorted({*wanted, *current}):
        there, here = wanted.get(key), current.get(key)
        gap = _gap(there, here, covered)
        drifts = [] if gap else list(_drifts(key, there, here))
        if not gap and not is_same_tenant and _is_unresolved(there, here, drifts):
            gap = Gap.UNRESOLVED
        if gap:
            result.gaps[key] = gap
        else:
            result.judged.add(key)
            result.drifts += drifts
    return result


def _gap(there: Wanted | None, here: Subject | None, covered: frozenset[str]) -> Gap | None:
    type_ = there.type if there else here.type if here else ""
    if type_ not in covered:
        return Gap.NOT_COVERED
    if (there and there.copies > 1) or (here and here.copies > 1):
        return Gap.AMBIGUOUS
    return Gap.UNREAD if here and here.unread else None


def _drifts(key: str, there: Wanted | None, here: Subject | None) -> Iterator[Drift]:
    if there is None:
        assert here is not None
        yield Drift(
            *(key, here.type, here.name, Part.SETTINGS, Change.UNEXPECTED),
            version_id=here.version_ids[0],
        )
    elif here is None:
        yield Drift(key, there.type, there.name, Part.SETTINGS, Change.MISSING)
    else:
        by_part: dict[Part, list[Difference]] = {}
        for found in differences(there.content, here.contents[0]):
            by_part.setdefault(found.part, []).append(found)
        for part, found_there in by_part.items():
            detail = [item.document() for item in found_there]
            version_id = here.version_ids[0]
            yield Drift(key, here.type, here.name, part, Change.DIFFERENT, detail, version_id)


def _is_unresolved(there: Wanted | None, here: Subject | None, drifts: Sequence[Drift]) -> bool:
    signs = [*(there.content.unresolved if there else ())]
    signs += here.contents[0].unresolved if here else ()
    return any(sign in str(drift.detail) for drift in drifts for sign in signs)
