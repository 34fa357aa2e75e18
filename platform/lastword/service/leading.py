"""Who acts, of all the processes that could: a lease in the ledger, judged by its clock."""

from __future__ import annotations

from dataclasses import dataclass

from lastword.storage.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Contender:
    """A process that would lead."""

    id: str
    host: str
    pid: int


class LeaderService:
    """Grants and renews the lease of a leader.

    Two processes that both believe to lead - one was stopped, and its lease ran out meanwhile - do
    no harm: whatever a leader does is a guarded verb.

    Args:
        ledger: where the lease is.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def lead(self, name: str, contender: Contender, *, lease_ttl_s: float) -> bool:
        """Take the lease if it is free, or renew one's own; whether it is held now."""
        now, param = self.ledger.dialect.now_ms, self.ledger.dialect.param
        # One statement and no transaction: a process that is stopped between the two would keep
        # the lock of a lease that has long run out.
        with self.ledger.session():
            rows = self.ledger.execute(
                "INSERT INTO lastword_leader (name, holder, host, pid, since, lease_until) "
                f"VALUES ({param}, {param}, {param}, {param}, {now}, {now} + {param}) "
                "ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, host = excluded.host, "
                "pid = excluded.pid, lease_until = excluded.lease_until, since = CASE "
                "WHEN lastword_leader.holder = excluded.holder THEN lastword_leader.since "
                "ELSE excluded.since END WHERE lastword_leader.holder = excluded.holder "
                f"OR lastword_leader.lease_until <= {now} RETURNING holder",
                name,
                contender.id,
                contender.host,
                contender.pid,
                int(lease_ttl_s * 1000),
            )
        return bool(rows)

    def resign(self, name: str, contender: Contender) -> None:
        """Give the lease up, so that another need not wait for its end."""
        param = self.ledger.dialect.param
        with self.ledger.transaction():
            self.ledger.execute(
                f"DELETE FROM lastword_leader WHERE name = {param} AND holder = {param}",
                name,
                contender.id,
            )
