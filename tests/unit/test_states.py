"""The state machine drawn a second time, by hand, and compared with the one that runs."""

from __future__ import annotations

import pytest

from lastword.reasons import SENTENCES, Reason, RunFailure
from lastword.states import (
    ACTIVE,
    ARROWS,
    RECONCILERS,
    TERMINAL,
    WELL_ENDED,
    Arrow,
    Outcome,
    Source,
    Status,
)

#: name, origins, target, kind of event, outcomes, sources - as the ledger holds the words.
DRAWN = [
    ("accept", "", "queued", "accepted", "pending", "start"),
    ("refuse", "", "completed", "refused", "blocked", "start"),
    ("claim", "queued", "running", "claimed", "pending", "worker"),
    ("block", "queued", "completed", "completed", "blocked", "gate"),
    ("retry", "running", "queued", "retry_scheduled", "pending", "worker"),
    ("defer", "running", "queued", "deferred", "pending", "worker"),
    (
        "finish",
        "running",
        "completed",
        "completed",
        "partially_succeeded succeeded",
        "worker",
    ),
    ("decline", "running", "completed", "completed", "blocked", "worker"),
    ("bridge_attempt", "running", "completed", "completed", "failed", "bridge"),
    ("bridge_delivery", "queued", "completed", "completed", "failed", "bridge"),
    ("redispatch", "queued", "queued", "redispatched", "pending", "generic"),
    ("recover", "running", "queued", "redispatched", "pending", "generic sentinel"),
    (
        "close_queued",
        "queued",
        "completed",
        "completed",
        "failed",
        "generic",
    ),
    (
        "close_running",
        "running",
        "completed",
        "completed",
        "failed partially_succeeded",
        "generic sentinel",
    ),
    (
        "conclude",
        "queued running",
        "completed",
        "completed",
        "blocked cancelled failed partially_succeeded succeeded",
        "adapter backup_schedule",
    ),
    ("cancel_queued", "queued", "completed", "completed", "cancelled", "operator"),
    ("cancel_attempt", "running", "completed", "completed", "cancelled", "worker"),
    ("cancel_waiting", "running", "completed", "completed", "cancelled", "operator"),
    (
        "gather",
        "running",
        "completed",
        "completed",
        "failed partially_succeeded succeeded",
        "children",
    ),
]

by_name = pytest.mark.parametrize("arrow", ARROWS, ids=lambda arrow: arrow.name)


def drawn(arrow: Arrow) -> tuple[str, ...]:
    return (
        arrow.name,
        " ".join(sorted(arrow.origins)),
        str(arrow.target),
        str(arrow.kind),
        " ".join(sorted(arrow.outcomes)),
        " ".join(sorted(arrow.sources)),
    )


def test_the_arrows_are_those_drawn_here_and_no_others() -> None:
    assert [drawn(arrow) for arrow in ARROWS] == DRAWN


@by_name
def test_nothing_leaves_completed(arrow: Arrow) -> None:
    assert Status.COMPLETED not in arrow.origins


@by_name
def test_a_run_is_pending_exactly_while_it_is_active(arrow: Arrow) -> None:
    if arrow.target in ACTIVE:
        assert arrow.outcomes == {Outcome.PENDING}
    else:
        assert arrow.outcomes
        assert Outcome.PENDING not in arrow.outcomes


@by_name
def test_only_those_who_hold_the_works_own_word_let_a_run_succeed(arrow: Arrow) -> None:
    by_domain = {Source.ADAPTER, Source.BACKUP_SCHEDULE}
    if Outcome.SUCCEEDED in arrow.outcomes:
        assert arrow.sources in ({Source.WORKER}, {Source.CHILDREN}, by_domain)


def test_every_active_status_has_a_way_to_completed() -> None:
    for status in ACTIVE:
        assert any(
            status in arrow.origins and arrow.target is Status.COMPLETED for arrow in ARROWS
        ), status


def test_every_outcome_but_pending_can_be_reached() -> None:
    reached = {outcome for arrow in ARROWS for outcome in arrow.outcomes}
    assert reached == set(Outcome)


def test_the_derived_sets_are_what_they_say() -> None:
    assert {*ACTIVE} == {"queued", "running"}
    assert {*TERMINAL} == {"completed"}
    assert {*WELL_ENDED} == {"succeeded", "cancelled"}
    assert {*RECONCILERS} == {"sentinel", "generic", "backup_schedule", "adapter"}


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_one_whole_sentence(reason: Reason) -> None:
    sentence = SENTENCES[reason]
    assert sentence[0].isupper()
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_no_two_reasons_read_the_same() -> None:
    assert len(set(SENTENCES.values())) == len(Reason) == len(SENTENCES)


def test_a_failure_without_a_message_carries_the_sentence_of_its_reason() -> None:
    assert RunFailure(Reason.THROTTLED).message == SENTENCES[Reason.THROTTLED]
    assert RunFailure(Reason.THROTTLED, "for an hour").message == "for an hour"
