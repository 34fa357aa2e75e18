"""Reading objects whole: each with its parts, in batches, every page of every part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lastword.reasons import RunFailure
from lastword_jobs.content.documents import Captured, Json
from lastword_jobs.graph.client import GraphClient
from lastword_jobs.graph.contracts import Contract
from lastword_jobs.graph.errors import PermissionDenied, RequestRefused
from lastword_jobs.graph.exchanges import Ask

#: The object itself, among its parts.
_ITSELF = ""

Answers = dict[str, Json | RunFailure]


def read_whole(
    graph: GraphClient, contract: Contract, ids: Sequence[str]
) -> Iterator[tuple[str, Captured | RunFailure]]:
    """Objects by id with all their parts, each as soon as it is complete; or why not.

    Raises:
        Throttled: what is left has to wait for longer.
        RunFailure: the provider failed.
    """
    asks: dict[Ask, tuple[str, str]] = {}
    for id_ in ids:
        asks[Ask("GET", contract.one(id_))] = id_, _ITSELF
        for part in contract.parts:
            asks[Ask("GET", contract.part(id_, part))] = id_, part
    answers: dict[str, Answers] = {id_: {} for id_ in ids}
    for ask, answer in graph.batch(list(asks)):
        id_, part = asks[ask]
        given = answers[id_]
        given[part] = answer
        if len(given) == 1 + len(contract.parts):
            yield id_, _whole(graph, contract, given)


def _whole(graph: GraphClient, contract: Contract, answers: Answers) -> Captured | RunFailure:
    for part in (_ITSELF, *contract.parts):
        answer = answers[part]
        if isinstance(answer, RunFailure):
            return answer
    try:
        # The first page came with the batch; what is on later ones is asked for.
        parts = {part: list(graph.rest(_body(answers[part]))) for part in contract.parts}
    except RunFailure as failure:
        if not concerns_one(failure):
            raise
        return failure
    return Captured(contract.type, _body(answers[_ITSELF]), **parts)


def _body(answer: Json | RunFailure) -> Json:
    assert isinstance(answer, dict)
    return answer


def concerns_one(failure: RunFailure) -> bool:
    """Whether a failure is one object's, and the others can be read all the same."""
    return isinstance(failure, PermissionDenied | RequestRefused)
