"""The client: questions with their tries, listings with every page of them, and batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from lastword.reasons import Blocked, RunFailure
from lastword_jobs.graph.batching import Batch
from lastword_jobs.graph.errors import AuthenticationFailed, RequestRefused, ResultUnknown
from lastword_jobs.graph.exchanges import Ask, Json, Meaning, meaning_of
from lastword_jobs.graph.tokens import TokenCache
from lastword_jobs.graph.traffic import Traffic
from lastword_jobs.graph.waiting import Patience
from lastword_jobs.graph.wire import Wire

#: Pages of one listing; more than any tenant has, fewer than a loop makes.
MAX_PAGES = 10_000

#: Questions in one batch; what the provider allows.
MAX_BATCH = 20


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a listing.

    Attributes:
        entities: what is on it.
        next_link: where the next one is; None on the last.
        delta_link: on the last page of a delta query, where changes from now on will be.
    """

    entities: list[Json]
    next_link: str | None = None
    delta_link: str | None = None


@dataclass(frozen=True, slots=True)
class GraphClient:
    """Asks about one tenant on behalf of one run.

    Args:
        wire: carries the questions.
        tokens: where tokens come from.
        traffic: counts what is asked.
        may_block: whether nothing was done before: a refusal of everything then blocks the run.
    """

    wire: Wire
    tokens: TokenCache
    traffic: Traffic = field(default_factory=Traffic)
    may_block: bool = False

    @property
    def tenant_id(self) -> str:
        """The tenant."""
        return self.wire.tenant_id

    def get(self, path: str) -> Json:
        """One object; see `ask`."""
        return self.ask(Ask("GET", path))

    def ask(self, ask: Ask) -> Json:
        """What the provider answers, asked as often as it takes within the limits.

        An answer without a body is an empty object.

        Raises:
            Throttled: the provider wants a longer wait.
            Unreachable: no good answer in `MAX_TRIES`.
            ResultUnknown: it must not be done twice, and may have been done.
            AuthenticationFailed: a fresh token was refused too.
            Blocked: the same, and nothing had been done before.
            PermissionDenied: 403.
            NotFound: 404.
            RequestRefused: any other refusal.
        """
        patience, refused = self.patience(), 0
        while True:
            token = self.token()
            reply = self.wire.exchange(ask, token)
            meaning = meaning_of(ask, reply)
            if meaning is Meaning.DONE and reply is not None:
                self.traffic.answered += 1
                body: Json = reply.body
                return body
            if meaning is Meaning.UNKNOWN:
                raise ResultUnknown("The provider did not say whether it did what it was asked.")
            if meaning is Meaning.TOKEN:
                refused += 1
                self.renew(token, refused)
            else:
                patience.wait(reply)

    def pages(self, path: str) -> Iterator[Page]:
        """Every page of a listing, to the end: a page may be empty and still not be the last.

        Raises:
            RequestRefused: a link to the next page loops or leads elsewhere.
            RunFailure: see `ask`.
        """
        return self._pages_from(path, None)

    def rest(self, first: Json) -> Iterator[Json]:
        """Every entity of a listing whose first page came with something else, such as a batch.

        Raises:
            RunFailure: see `pages`.
        """
        for page in self._pages_from("", first):
            yield from page.entities

    def batch(self, asks: Sequence[Ask]) -> Iterator[tuple[Ask, Json | RunFailure]]:
        """The answers to many questions that only read, each as it comes: a body, or why not.

        Raises:
            Throttled: what is left has to wait for longer.
            RunFailure: the batch itself was refused; see `ask`.
        """
        start = 0
        while start < len(asks):
            # Each question in it counts: one that a batch of many could never have its turn for.
            size = min(MAX_BATCH, self.wire.most_at_once(asks[start]))
            yield from Batch(self, asks[start : start + size]).answers()
            start += size

    def _pages_from(self, path: str, first: Json | None) -> Iterator[Page]:
        seen: set[str] = set()
        body = first
        link: str | None = path
        while link is not None:
            if body is None:
                if link in seen or len(seen) >= MAX_PAGES:
                    raise RequestRefused("The provider's pages of a listing do not end.")
                seen.add(link)
                body = self.get(link)
            entities = body.get("value")
            if not isinstance(entities, list):
                raise RequestRefused("The provider's answer to a listing holds no list.")
            self.traffic.pages += 1
            link = _link(body, "@odata.nextLink")
            yield Page(entities, link, _link(body, "@odata.deltaLink"))
            body = None

    def patience(self) -> Patience:
        """How long one question may be asked again."""
        return Patience(self.wire.sleep, self.traffic)

    def token(self) -> str:
        """A token for the tenant.

        Raises:
            AuthenticationFailed: the credentials were refused.
            Blocked: the same, and nothing had been done before.
        """
        try:
            return self.tokens.token(self.tenant_id)
        except AuthenticationFailed as error:
            raise self._without_access(error) from error

    def renew(self, token: str, refused: int) -> None:
        """Take another token in the place of one that was refused, once for a question.

        Raises:
            AuthenticationFailed: it was not the first.
            Blocked: the same, and nothing had been done before.
        """
        if refused > 1:
            raise self._without_access(AuthenticationFailed("A fresh token was refused."))
        self.tokens.forget(self.tenant_id, token)

    def _without_access(self, error: AuthenticationFailed) -> RunFailure:
        if self.may_block and not self.traffic.answered:
            return Blocked(error.reason, error.message)
        return error


def _link(body: Json, key: str) -> str | None:
    link = body.get(key)
    if link is None or isinstance(link, str):
        return link
    raise RequestRefused(f"The provider's {key} is no text.")
