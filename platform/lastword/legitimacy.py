"""The legitimacy gate: whether a run may be done, asked at its start and before any effect.

What was allowed when a run was accepted may be allowed no more when its turn comes, so the same
question is put twice. The answer is one denial with its reason, or none.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any

from lastword.access import Authority, may
from lastword.config import Config
from lastword.errors import LedgerUnavailable
from lastword.identity import RunId
from lastword.next_steps import NEXT_STEPS
from lastword.policy import Policy
from lastword.reading.standing import Standing, find_standing
from lastword.reasons import SENTENCES, Reason
from lastword.service.requests import Denial
from lastword.storage.ledger import Ledger

#: The entry point group whose members name a mapping of operations to preflights.
PREFLIGHTS_GROUP = "lastword.preflights"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run asks to do.

    Attributes:
        operation: the operation.
        workspace_id: the workspace it was accepted in.
        tenant_id: the tenant it works on.
        initiator_id: who started it; None for the system itself.
        inputs: its inputs.
        run_id: the run, once it was accepted.
    """

    operation: str
    workspace_id: str | None = None
    tenant_id: str | None = None
    initiator_id: str | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    run_id: RunId | None = None

    @property
    def authority(self) -> Authority:
        """On whose behalf it acts."""
        return Authority.SYSTEM if self.initiator_id is None else Authority.ACTOR_BOUND


#: Looks at what one operation needs. Reads the ledger only, never the provider.
Preflight = Callable[[Ledger, Config, Asked], Denial | None]


@dataclass(frozen=True, slots=True)
class Gate:
    """Judges what runs ask to do.

    Args:
        config: the configuration.
        preflights: what else an operation needs, by operation.
    """

    config: Config
    preflights: Mapping[str, Preflight] = field(default_factory=dict)

    def concerns(self, asked: Asked) -> bool:
        """Whether there is anything to judge: a tenant, or something that the operation needs."""
        return asked.tenant_id is not None or asked.operation in self.preflights

    def denial(self, ledger: Ledger, asked: Asked, policy: Policy) -> Denial | None:
        """Why a run may not be done now; None if it may.

        Raises:
            LedgerUnavailable: the ledger does not answer.
        """
        [denial] = self.denials(ledger, [asked], policy)
        return denial

    def denials(
        self, ledger: Ledger, asked: Sequence[Asked], policy: Policy
    ) -> list[Denial | None]:
        """The same for runs of one initiator that ask to do one operation on one tenant.

        Raises:
            LedgerUnavailable: the ledger does not answer.
        """
        first = asked[0]
        standing = None
        if first.tenant_id is not None:
            standing = find_standing(
                ledger, tenant_id=first.tenant_id, initiator_id=first.initiator_id
            )
        return [self._judged(ledger, one, standing, policy) for one in asked]

    def _judged(
        self, ledger: Ledger, asked: Asked, standing: Standing | None, policy: Policy
    ) -> Denial | None:
        if standing is not None:
            denied = judge(standing, asked, policy)
            if denied is not None:
                return denied
        preflight = self.preflights.get(asked.operation)
        if preflight is None:
            return None
        try:
            return preflight(ledger, self.config, asked)
        except LedgerUnavailable:
            raise
        except Exception:
            # What cannot be judged is not let through: nothing has been done yet.
            logging.getLogger("lastword").exception("the preflight of %s", asked.operation)
            return _denied(Reason.EXECUTION_PREREQUISITE_INVALID)


def installed_gate(config: Config) -> Gate:
    """The gate with every preflight that is installed here."""
    preflights: dict[str, Preflight] = {}
    for entry in entry_points(group=PREFLIGHTS_GROUP):
        preflights.update(entry.load())
    return Gate(config, preflights)


def judge(standing: Standing, asked: Asked, policy: Policy) -> Denial | None:
    """The first of the rules that a run breaks: scope, then person, then tenant."""
    return next(
        (_denied(reason) for reason in _broken(standing, asked, policy)),
        None,
    )


def _broken(standing: Standing, asked: Asked, policy: Policy) -> Iterator[Reason]:
    if standing.home is None or standing.tenant_removed:
        yield Reason.TENANT_MISSING
    if standing.home != asked.workspace_id:
        yield Reason.WORKSPACE_MISMATCH
    if standing.workspace_suspended:
        yield Reason.TENANT_NOT_ENTITLED
    if asked.authority is Authority.ACTOR_BOUND:
        yield from _broken_by_person(standing, asked, policy)
    if standing.tenant_suspended:
        yield Reason.TENANT_NOT_OPERABLE
    # By convention: a dry run of an operation writes nothing.
    if policy.writes and not standing.writable and asked.inputs.get("dry_run") is not True:
        yield Reason.WRITE_GATE_BLOCKED


def _broken_by_person(standing: Standing, asked: Asked, policy: Policy) -> Iterator[Reason]:
    if not standing.user_known:
        yield Reason.INITIATOR_MISSING
    sees_it = standing.tenants is None or asked.tenant_id in standing.tenants
    if standing.user_disabled or standing.role is None or not sees_it:
        yield Reason.INITIATOR_NOT_ENTITLED
    if not may(standing.role, policy.capability):
        yield Reason.MISSING_CAPABILITY


def _denied(reason: Reason) -> Denial:
    return Denial(reason, SENTENCES[reason], ({"label": NEXT_STEPS[reason]},))
