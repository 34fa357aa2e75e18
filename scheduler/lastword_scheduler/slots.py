"""Starts the runs of cron schedules: each slot once, nothing caught up."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass

from lastword.application import Dispatcher
from lastword.config import Config
from lastword.cron import read_cron
from lastword.logs import log_notice
from lastword.losses import send_again
from lastword.schedules import run_of_slot
from lastword.service.requests import NewRun
from lastword.service.scheduling import Kept, ScheduleService, SlotResult
from lastword.service.values import Redispatched
from lastword.storage.ledger import Ledger, Row
from lastword_scheduler.reports import GivenUp, SweepReport, never

#: The latest of the slots that passed while no scheduler was there; older ones are not noted.
MISSED_KEPT = 100


@dataclass(frozen=True, slots=True)
class SlotKeeper:
    """Notes slots, and starts what they are for.

    Args:
        config: the policies, and how late a slot may be.
        ledger: where the schedules are.
        dispatcher: what sends the messages.
    """

    config: Config
    ledger: Ledger
    dispatcher: Dispatcher

    def sweep(self, given_up: GivenUp = never) -> SweepReport:
        """Note every slot that has come. Safe to run twice, and in two processes at once."""
        report = SweepReport()
        service = ScheduleService(self.ledger)
        for schedule in service.due():
            if given_up():
                break
            report.found += 1
            try:
                self._keep(service, schedule, report)
            except Exception as error:  # noqa: BLE001 - one that is broken never stops the others
                report.skipped += 1
                why = f"{type(error).__name__}: {error}"
                if service.complain(schedule["id"], why):
                    log_notice(logging.ERROR, "schedule_broken", schedule=schedule["name"], why=why)
        return report

    def _keep(self, service: ScheduleService, schedule: Row, report: SweepReport) -> None:
        now, cron = schedule["now"], read_cron(schedule["cron"], schedule["timezone"])
        come: deque[int] = deque(maxlen=MISSED_KEPT)
        next_at = schedule["next_at"]
        for slot in cron.after(next_at - 1):
            next_at = slot
            if slot > now:
                break
            come.append(slot)
        run, slot_at = None, None
        if come and come[-1] > now - self.config.slot_grace * 1000:
            slot_at = come.pop()
            run = run_of_slot(schedule, slot_at, self.config.offered(schedule["operation"]))
        kept = service.keep(schedule, missed=list(come), slot_at=slot_at, run=run, next_at=next_at)
        self._tell(schedule, kept, len(come), report)
        if run is not None and kept is not None and kept.result is SlotResult.STARTED:
            self._send(run)

    def _tell(self, schedule: Row, kept: Kept | None, missed: int, report: SweepReport) -> None:
        if kept is None:
            report.lost_races += 1
            return
        if missed:
            report.acted[SlotResult.MISSED] += missed
            log_notice(logging.WARNING, "slots_missed", schedule=schedule["name"], slots=missed)
        if kept.result is not None:
            report.acted[kept.result] += 1
            log_notice(
                logging.INFO, f"slot_{kept.result}", schedule=schedule["name"], run=kept.run_id
            )

    def _send(self, run: NewRun) -> None:
        # If this process dies first, the generic reconciler finds the run without a message.
        send_again(self.dispatcher, [Redispatched(run.run_id, 1, run.payload, 0, 0)])
