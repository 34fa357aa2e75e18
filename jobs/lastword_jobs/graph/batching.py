"""A batch of questions: each is answered, refused and throttled by itself, and asked again so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from lastword.reasons import RunFailure
from lastword_jobs.graph.errors import RequestRefused
from lastword_jobs.graph.exchanges import Ask, Json, Meaning, Reply, meaning_of
from lastword_jobs.graph.traffic import Traffic
from lastword_jobs.graph.waiting import Patience
from lastword_jobs.graph.wire import BATCH


class Asker(Protocol):
    """What sends the batch itself."""

    @property
    def traffic(self) -> Traffic:
        """Counts what is asked."""

    def ask(self, ask: Ask) -> Json:
        """See `GraphClient.ask`."""

    def token(self) -> str:
        """See `GraphClient.token`."""

    def renew(self, token: str, refused: int) -> None:
        """See `GraphClient.renew`."""

    def patience(self) -> Patience:
        """See `GraphClient.patience`."""


class Batch:
    """Up to twenty questions of one version of the API, none of which writes.

    Args:
        asker: sends it.
        asks: the questions.
    """

    def __init__(self, asker: Asker, asks: Sequence[Ask]) -> None:
        self._asker = asker
        self._waiting = dict(enumerate(asks))

    def answers(self) -> Iterator[tuple[Ask, Json | RunFailure]]:
        """Each question with its answer, or with why there is none; see `GraphClient.batch`."""
        patience, refused = self._asker.patience(), 0
        while self._waiting:
            token = self._asker.token()
            left: list[tuple[Meaning, Reply]] = []
            for number, reply in self._exchange():
                answer = self._answer(self._waiting[number], reply)
                if isinstance(answer, Meaning):
                    left.append((answer, reply))
                else:
                    yield self._waiting.pop(number), answer
            if any(meaning is Meaning.TOKEN for meaning, _ in left):
                refused += 1
                self._asker.renew(token, refused)
            elif self._waiting:
                patience.wait(max((reply for _, reply in left), key=_asks_for_s, default=None))

    def _answer(self, ask: Ask, reply: Reply) -> Json | RunFailure | Meaning:
        try:
            meaning = meaning_of(ask, reply)
        except RunFailure as refusal:
            return refusal
        if meaning is not Meaning.DONE:
            return meaning
        self._asker.traffic.answered += 1
        body: Json = reply.body
        return body

    def _exchange(self) -> list[tuple[int, Reply]]:
        version = next(iter(self._waiting.values())).path.partition("/")[0]
        requests = [
            {"id": str(number), "method": ask.method, "url": "/" + ask.path.partition("/")[2]}
            for number, ask in self._waiting.items()
        ]
        answer = self._asker.ask(Ask("POST", f"{version}/{BATCH}", {"requests": requests}))
        items = answer.get("responses")
        if not isinstance(items, list):
            raise RequestRefused("The provider's answer to a batch holds no answers.")
        known = {str(number): number for number in self._waiting}
        given = {
            known[str(item["id"])]: Reply.of_batch(item)
            for item in items
            if isinstance(item, dict) and str(item.get("id")) in known
        }
        return list(given.items())


def _asks_for_s(reply: Reply) -> float:
    # A date is longer than any number that would be waited for here.
    try:
        return float(reply.headers.get("retry-after", 0))
    except ValueError:
        return float("inf")
