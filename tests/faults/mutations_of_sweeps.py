"""The guards of what sweeps: reconciler, rescue, leadership; see `mutations`."""

from __future__ import annotations

from tests.faults.mutations import Edit, Mutation

IN_PLATFORM = "platform/lastword"
IN_SCHEDULER = "scheduler/lastword_scheduler"
RESCUE = "tests/faults/test_rescue.py"
DOMAIN_RECONCILERS = "tests/integration/test_domain_reconcilers.py"
GENERIC_RECONCILER = "tests/integration/test_generic_reconciler.py"
SCHEDULER = "tests/integration/test_scheduler.py"
SILENCE = "tests/integration/test_silence.py"
VERDICTS = "tests/unit/test_verdicts.py"
VERDICTS_OF_ASKING = "tests/unit/test_verdicts_of_asking.py"


OF_SWEEPS = (
    Mutation(
        "a loss: not asked to stop",
        (
            Edit(
                "losses.py",
                "if attempt.cancel_requested or policy",
                "if policy",
                folder=IN_PLATFORM,
            ),
        ),
        (VERDICTS_OF_ASKING, "test_a_lost_attempt_that_was_asked_to_stop_is_not_tried_again"),
    ),
    Mutation(
        "a loss: what its policy says of a lost worker",
        (
            Edit(
                "losses.py",
                "if attempt.cancel_requested or policy.on_worker_lost is OnLoss.FAIL:",
                "if attempt.cancel_requested:",
                folder=IN_PLATFORM,
            ),
        ),
        (VERDICTS, "test_a_run_whose_worker_is_gone_is_taken_back_or_failed_by_policy"),
    ),
    Mutation(
        "a loss: one that nobody saw counts",
        (Edit("losses.py", " + int(attempt.probation == 1)", "", folder=IN_PLATFORM),),
        (VERDICTS_OF_ASKING, "test_a_loss_that_nobody_saw_counts_with_the_first_that_was_seen"),
    ),
    Mutation(
        "a loss: so often and no more",
        (
            Edit(
                "losses.py", "if losses >= policy.max_deliveries:", "if False:", folder=IN_PLATFORM
            ),
        ),
        (VERDICTS, "test_a_run_that_kills_its_workers_is_delivered_so_often_and_no_more"),
    ),
    Mutation(
        "a loss: in part only if something was done",
        (
            Edit(
                "losses.py", ' and attempt.counts.get("processed", 0) > 0:', ":", folder=IN_PLATFORM
            ),
        ),
        (
            VERDICTS_OF_ASKING,
            "test_a_lost_attempt_succeeded_in_part_only_where_its_policy_says_so_and_it_did_something",
        ),
    ),
    Mutation(
        "contact: a gap begins it anew",
        (
            Edit(
                "contact.py",
                " or self._is_gap(at_ms):\n            self._since",
                ":\n            self._since",
                folder=IN_SCHEDULER,
            ),
        ),
        (VERDICTS, "test_leases_tell_nothing_after_a_gap_of_two_thirds_of_one"),
    ),
    Mutation(
        "contact: a clock that went back begins it anew",
        (Edit("contact.py", " or at_ms < self._last_ms", "", folder=IN_SCHEDULER),),
        (VERDICTS, "test_leases_tell_nothing_after_the_ledgers_clock_went_back"),
    ),
    Mutation(
        "contact: nothing written lately tells nothing",
        (
            Edit(
                "contact.py",
                " or self._is_gap(at_ms):\n            return",
                ":\n            return",
                folder=IN_SCHEDULER,
            ),
        ),
        (VERDICTS, "test_leases_tell_nothing_after_a_gap_of_two_thirds_of_one"),
    ),
    Mutation(
        "contact: who stands by writes something",
        (
            Edit(
                "leading.py",
                "count(self._ledger, Counted.STOOD_BY, SCHEDULER)",
                "pass",
                folder=IN_SCHEDULER,
            ),
        ),
        (SCHEDULER, "test_a_ledger_that_can_only_be_read_lets_no_lease_tell"),
    ),
    Mutation(
        "contact: for as long as a lease lives",
        (
            Edit(
                "contact.py",
                "return at_ms - self._since_ms >= self.lease_ttl_s * 1000",
                "return True",
                folder=IN_SCHEDULER,
            ),
        ),
        (VERDICTS, "test_leases_tell_once_the_ledger_has_taken_writes_for_as_long_as_one_lives"),
    ),
    Mutation(
        "contact: lost with a failure",
        (
            Edit(
                "contact.py",
                ("        self._since_ms = None\n\n"),
                ("        pass\n\n"),
                folder=IN_SCHEDULER,
            ),
        ),
        (VERDICTS, "test_leases_tell_once_the_ledger_has_taken_writes_for_as_long_as_one_lives"),
    ),
    Mutation(
        "a sweep: a message has its time to arrive",
        (
            Edit(
                "candidates.py",
                "OR sent_at <= {ledger.dialect.now_ms} - {param})",
                "OR {param} >= 0)",
                folder=IN_SCHEDULER,
            ),
        ),
        (GENERIC_RECONCILER, "test_a_message_still_on_its_way_is_not_called_lost"),
    ),
    Mutation(
        "a sweep: leases tell nothing yet",
        (
            Edit(
                "generic.py",
                ("if self.contact.leases_tell(at_ms):\n            report"),
                ("if True:\n            report"),
                folder=IN_SCHEDULER,
            ),
        ),
        (SILENCE, "test_a_sweep_that_has_just_reached_the_ledger_ends_no_worker_for_its_lease"),
    ),
    Mutation(
        "a sweep: a holder that nobody knows is not judged",
        (
            Edit(
                "generic.py",
                "return alive | (unsure - known_broker_ids(self.ledger, unsure))",
                "return alive",
                folder=IN_SCHEDULER,
            ),
        ),
        (SILENCE, "test_a_holder_that_the_ledger_has_never_heard_of_is_not_judged"),
    ),
    Mutation(
        "a sweep: the record of the domain goes first",
        (
            Edit(
                "generic.py",
                "            if decision.candidate.run_id in held\n",
                "            if False\n",
                folder=IN_SCHEDULER,
            ),
        ),
        (DOMAIN_RECONCILERS, "test_a_restore_that_finished_before_its_worker_died_has_succeeded"),
    ),
    Mutation(
        "rescue: leases tell nothing yet",
        (
            Edit(
                "rescue.py",
                "        if self.contact.leases_tell(at_ms):\n",
                "        if True:\n",
                folder=IN_SCHEDULER,
            ),
        ),
        (RESCUE, "test_an_expired_lease_ends_a_worker_only_if_the_ledger_took_writes_all_the_time"),
    ),
    Mutation(
        "rescue: the message is still there",
        (
            Edit(
                "rescue.py",
                "if redis.call('HEXISTS', KEYS[2], ref) > 0 then",
                "if true then",
                folder=IN_SCHEDULER,
            ),
        ),
        (RESCUE, "test_what_was_acknowledged_meanwhile_is_not_given_back"),
    ),
    Mutation(
        "rescue: a worker of ours is no stranger",
        (
            Edit(
                "rescue.py",
                "for name in names if name not in ours)",
                "for name in names)",
                folder=IN_SCHEDULER,
            ),
        ),
        (RESCUE, "test_a_worker_of_ours_is_judged_by_its_lease_and_not_by_its_silence_to_redis"),
    ),
    Mutation(
        "rescue: silent for long enough",
        (
            Edit(
                "rescue.py",
                "latest = int(time.time() * 1000) - self.silent_after_ms",
                "latest = int(time.time() * 1000)",
                folder=IN_SCHEDULER,
            ),
        ),
        (RESCUE, "test_a_process_without_lastword_is_judged_by_its_silence"),
    ),
    Mutation(
        "dead letters: nobody waits for it",
        (
            Edit(
                "rescue.py",
                'set(refs) - {row["message_ref"] for row in waiting}',
                "set(refs)",
                folder=IN_SCHEDULER,
            ),
        ),
        (RESCUE, "test_old_dead_letters_go_but_not_while_a_run_waits_for_one"),
    ),
    Mutation(
        "dead letters: old enough",
        (
            Edit(
                "rescue.py",
                "latest = int(time.time() * 1000) - self.dead_letter_ttl_ms",
                "latest = int(time.time() * 1000)",
                folder=IN_SCHEDULER,
            ),
        ),
        (RESCUE, "test_old_dead_letters_go_but_not_while_a_run_waits_for_one"),
    ),
    Mutation(
        "forget: who holds nothing",
        (Edit("rescue.py", "if name.decode() not in holders]", "]", folder=IN_SCHEDULER),),
        (RESCUE, "test_processes_that_are_long_gone_and_hold_nothing_are_forgotten"),
    ),
    Mutation(
        "leadership: held",
        (
            Edit(
                "leading.py",
                "self._until = asked + self._lease_ttl_s if held else 0.0",
                "self._until = asked + self._lease_ttl_s",
                folder=IN_SCHEDULER,
            ),
        ),
        (SCHEDULER, "test_a_job_runs_where_its_scheduler_leads_and_nowhere_else"),
    ),
)
