"""The guards of attempts, their ends and their worker's beats; see `mutations`."""

from __future__ import annotations

from tests.faults.mutations import Edit, Mutation

IN_WORKER = "middleware/lastword_middleware"
ACKNOWLEDGING = "tests/faults/test_acknowledging.py"
OPEN_ATTEMPTS = "tests/faults/test_open_attempts.py"
OUTAGE = "tests/faults/test_outage.py"
FAILURES = "tests/integration/test_failures.py"
GATE = "tests/integration/test_gate.py"
GENERIC_RECONCILER = "tests/integration/test_generic_reconciler.py"


_BEGUN_BEFORE = "if reservation.attempt > 1 or reservation.probation:"


OF_ATTEMPTS = (
    Mutation(
        "the gate: nothing was begun before",
        (Edit("gate.py", _BEGUN_BEFORE, "if reservation.probation:", folder=IN_WORKER),),
        (GATE, "test_what_was_begun_and_is_allowed_no_more_has_failed_and_was_not_refused"),
    ),
    Mutation(
        "the gate: nothing was begun unseen",
        (Edit("gate.py", _BEGUN_BEFORE, "if reservation.attempt > 1:", folder=IN_WORKER),),
        (GATE, "test_what_may_have_been_begun_unseen_and_is_allowed_no_more_has_failed"),
    ),
    Mutation(
        "acknowledge: no attempt is open",
        (
            Edit(
                "messages.py",
                "if held or self.tracker.work.attempt_of(message) is not None:",
                "if False:",
                folder=IN_WORKER,
            ),
        ),
        (ACKNOWLEDGING, "test_a_message_is_kept_while_its_attempt_is_open"),
        "Failed",
    ),
    Mutation(
        "acknowledge: nothing is held back",
        (
            Edit(
                "messages.py",
                "if held or self.tracker.work",
                "if self.tracker.work",
                folder=IN_WORKER,
            ),
        ),
        (ACKNOWLEDGING, "test_a_message_that_is_held_back_is_kept_once"),
        "Failed",
    ),
    Mutation(
        "acknowledge: not what could not be written",
        (Edit("writing.py", "if item.run_id in self._unwritten:", "if False:", folder=IN_WORKER),),
        (ACKNOWLEDGING, "test_a_message_whose_end_cannot_be_written_at_all_stays_with_the_broker"),
    ),
    Mutation(
        "acknowledge: not with a group that gave up",
        (
            Edit(
                "writing.py",
                (
                    "            self._unwritten.update(item.end.run_id for item in ended)\n"
                    "            return"
                ),
                "            pass",
                folder=IN_WORKER,
            ),
        ),
        (OUTAGE, "test_a_worker_that_stops_in_an_outage_with_ended_work_loses_nothing"),
    ),
    Mutation(
        "a follow-up: only after an end that counted",
        (
            Edit(
                "recording.py",
                "if item.follow_up and recorded.get(item.end.run_id) is Recorded.MOVED",
                "if item.follow_up",
                folder=IN_WORKER,
            ),
        ),
        (
            ACKNOWLEDGING,
            "test_the_next_stage_of_a_pipeline_is_accepted_with_an_end_that_counts_and_with_no_other",
        ),
    ),
    Mutation(
        "send: not inside a transaction on the same file",
        (
            Edit(
                "messages.py",
                (
                    "if application and application.is_one_file and "
                    "application.database.in_transaction():"
                ),
                "if False:",
                folder=IN_WORKER,
            ),
        ),
        (OPEN_ATTEMPTS, "test_nothing_is_sent_from_inside_a_transaction_on_the_ledgers_own_file"),
        "Regex pattern did not match",
    ),
    Mutation(
        "a lost retry: tries are left",
        (
            Edit(
                "ends.py",
                "if attempt.retries >= self.tracker.config.policy(run.operation).max_retries:",
                "if False:",
                folder=IN_WORKER,
            ),
        ),
        (
            OPEN_ATTEMPTS,
            "test_a_retry_that_was_lost_is_made_up_for_while_there_are_tries_and_no_longer",
        ),
    ),
    Mutation(
        "an end: carried over if the policy says so",
        (
            Edit(
                "ends.py",
                "        if not self._has_bridge(attempt):",
                "        if False:",
                folder=IN_WORKER,
            ),
        ),
        (GENERIC_RECONCILER, "test_without_a_bridge_a_failure_is_found_by_the_reconciler"),
        "not within",
    ),
    Mutation(
        "a beat: attempts that are not current are interrupted",
        (
            Edit(
                "tracker.py",
                "if beat.current.get(item.run.run_id) != item.run.attempt",
                "if False",
                folder=IN_WORKER,
            ),
        ),
        (OPEN_ATTEMPTS, "test_an_attempt_of_another_number_than_its_run_has_is_fenced"),
    ),
    Mutation(
        "a beat: a worker that was given up begins anew",
        (
            Edit(
                "tracker.py",
                ("        if beat is None:\n            self._lease_until = 0.0"),
                ("        if beat is None:\n            return Asked()"),
                folder=IN_WORKER,
            ),
        ),
        (FAILURES, "test_a_worker_that_was_given_up_goes_on_under_a_new_id_and_overwrites_nothing"),
        "not within",
    ),
    Mutation(
        "a beat: its list is as old as the beat before",
        (
            Edit(
                "tracker.py",
                "listed_at_ms=self._last_beat_ms,",
                "listed_at_ms=int(time.time()*1000)+60000,",
                folder=IN_WORKER,
            ),
        ),
        (OPEN_ATTEMPTS, "test_the_list_of_a_beat_is_as_old_as_the_beat_before"),
    ),
    Mutation(
        "an attempt past its limit: ended without its thread",
        (
            Edit(
                "heartbeat.py",
                "if late and attempt.thread_id is not None and not attempt.is_overdue:",
                "if False:",
                folder=IN_WORKER,
            ),
        ),
        (
            OPEN_ATTEMPTS,
            "test_an_attempt_that_goes_on_past_its_limit_and_its_grace_ends_without_its_thread",
        ),
        "not within",
    ),
    Mutation(
        "an attempt past its limit: after its grace",
        (
            Edit(
                "heartbeat.py",
                "attempt.limit_s + INTERRUPT_GRACE_S",
                "attempt.limit_s * 0",
                folder=IN_WORKER,
            ),
        ),
        (
            OPEN_ATTEMPTS,
            "test_an_attempt_that_goes_on_past_its_limit_and_its_grace_ends_without_its_thread",
        ),
    ),
)
