"""The guards of a reconciler's judgement; see `mutations`."""

from __future__ import annotations

from tests.faults.mutations import Edit, Mutation

IN_SCHEDULER = "scheduler/lastword_scheduler"
VERDICTS = "tests/unit/test_verdicts.py"
VERDICTS_OF_ASKING = "tests/unit/test_verdicts_of_asking.py"


OF_JUDGING = (
    Mutation(
        "queued: a silent holder tells nothing yet",
        (
            Edit(
                "verdicts.py",
                "if candidate.holder_is_silent and not leases_tell:",
                "if False:",
                folder=IN_SCHEDULER,
            ),
        ),
        (VERDICTS, "test_after_an_outage_a_run_is_not_taken_from_whoever_holds_it"),
    ),
    Mutation(
        "running: what waits for its children needs no worker",
        (
            Edit(
                "verdicts.py", "if candidate.waits_for_children:", "if False:", folder=IN_SCHEDULER
            ),
        ),
        (
            VERDICTS_OF_ASKING,
            "test_a_run_that_waits_for_its_children_needs_no_worker_inside_its_limit",
        ),
    ),
    Mutation(
        "waiting for children: past the limit",
        (
            Edit(
                "verdicts.py",
                (
                    "def _waiting(candidate: Candidate, evidence: dict[str, Any]) -> Decision:\n"
                    "    if candidate.is_past_stale:"
                ),
                (
                    "def _waiting(candidate: Candidate, evidence: dict[str, Any]) -> Decision:\n"
                    "    if True:"
                ),
                folder=IN_SCHEDULER,
            ),
        ),
        (
            VERDICTS_OF_ASKING,
            "test_a_run_that_waits_for_its_children_needs_no_worker_inside_its_limit",
        ),
    ),
    Mutation(
        "running: an expired lease tells nothing yet",
        (
            Edit(
                "verdicts.py",
                'if worker.lease in ("expired", "unknown") and not leases_tell:',
                "if False:",
                folder=IN_SCHEDULER,
            ),
        ),
        (VERDICTS, "test_after_an_outage_of_the_ledger_an_expired_lease_tells_nothing_yet"),
    ),
    Mutation(
        "running: its lease is not live",
        (Edit("verdicts.py", 'if worker.lease != "live":', "if True:", folder=IN_SCHEDULER),),
        (VERDICTS, "test_a_run_whose_worker_is_alive_and_works_on_it_is_left_alone"),
    ),
    Mutation(
        "running: its worker does not list it",
        (
            Edit(
                "verdicts.py",
                "if not worker.lists_run and worker",
                "if worker",
                folder=IN_SCHEDULER,
            ),
        ),
        (VERDICTS, "test_a_run_whose_worker_is_alive_and_works_on_it_is_left_alone"),
    ),
    Mutation(
        "running: two beats after the claim",
        (
            Edit(
                "verdicts.py",
                " and worker.listed_after_s > 2 * heartbeat_interval_s:",
                ":",
                folder=IN_SCHEDULER,
            ),
        ),
        (
            VERDICTS,
            "test_an_attempt_that_a_live_worker_no_longer_lists_is_abandoned_after_two_beats",
        ),
    ),
    Mutation(
        "running: its time to stop is over",
        (
            Edit(
                "verdicts.py",
                " and candidate.cancel_age_s > CANCEL_BOUND_S:",
                ":",
                folder=IN_SCHEDULER,
            ),
        ),
        (
            VERDICTS_OF_ASKING,
            "test_an_attempt_that_was_asked_to_stop_is_ended_once_its_time_to_do_so_is_over",
        ),
    ),
    Mutation(
        "running: past the limit",
        (
            Edit(
                "verdicts.py",
                (
                    "    if candidate.is_past_stale:\n"
                    "        threshold_s = candidate.policy.running_stale_after\n"
                ),
                ("    if True:\n        threshold_s = candidate.policy.running_stale_after\n"),
                folder=IN_SCHEDULER,
            ),
        ),
        (VERDICTS, "test_a_run_whose_worker_is_alive_and_works_on_it_is_left_alone"),
    ),
    Mutation(
        "queued: in nobody's hands",
        (Edit("verdicts.py", "if candidate.is_in_hand:", "if False:", folder=IN_SCHEDULER),),
        (
            VERDICTS_OF_ASKING,
            "test_a_run_that_a_live_worker_took_just_now_is_left_to_it_whatever_the_broker_says",
        ),
    ),
    Mutation(
        "queued: asked to stop",
        (
            Edit(
                "verdicts.py",
                (
                    "    if candidate.cancel_age_s is not None:\n"
                    "        return Decision(candidate, Action.CANCEL"
                ),
                ("    if False:\n        return Decision(candidate, Action.CANCEL"),
                folder=IN_SCHEDULER,
            ),
        ),
        (
            VERDICTS_OF_ASKING,
            "test_a_run_that_waits_and_was_asked_to_stop_is_cancelled_whatever_became_of_its_message",
        ),
    ),
    Mutation(
        "queued: waited too long",
        (
            Edit(
                "verdicts.py", "    if candidate.is_past_wait:", "    if True:", folder=IN_SCHEDULER
            ),
        ),
        (VERDICTS, "test_a_run_that_waits_inside_its_limits_is_left_alone"),
    ),
    Mutation(
        "queued: its holder lives",
        (
            Edit(
                "verdicts.py",
                "if candidate.holder_is_live and not candidate.is_past_stale:",
                "if False:",
                folder=IN_SCHEDULER,
            ),
        ),
        (
            VERDICTS_OF_ASKING,
            "test_a_run_that_a_live_worker_holds_is_left_to_it_until_its_threshold",
        ),
    ),
    Mutation(
        "queued: its message may be on its way",
        (
            Edit(
                "verdicts.py",
                "return fails and candidate.sent_age_s < SENDING_TAKES_AT_MOST_S",
                "return False",
                folder=IN_SCHEDULER,
            ),
        ),
        (VERDICTS, "test_a_run_is_not_failed_over_a_message_that_may_still_be_on_its_way"),
    ),
    Mutation(
        "queued: what its policy says of a lost message",
        (
            Edit(
                "verdicts.py",
                "resend = policy.on_message_lost is OnLoss.REDISPATCH",
                "resend = True",
                folder=IN_SCHEDULER,
            ),
        ),
        (VERDICTS, "test_a_message_that_is_gone_is_sent_again_or_failed_by_policy"),
    ),
    Mutation(
        "queued: the holder of its message is dead",
        (
            Edit(
                "verdicts.py",
                "case MessageState.HELD if not holder_is_alive:",
                "case MessageState.HELD:",
                folder=IN_SCHEDULER,
            ),
        ),
        (VERDICTS, "test_a_run_that_waits_inside_its_limits_is_left_alone"),
    ),
    Mutation(
        "queued: past the threshold",
        (
            Edit(
                "verdicts.py",
                ("    if candidate.is_past_stale:\n        return _silent"),
                ("    if True:\n        return _silent"),
                folder=IN_SCHEDULER,
            ),
        ),
        (VERDICTS, "test_a_run_that_waits_inside_its_limits_is_left_alone"),
    ),
    Mutation(
        "stale: a broker that does not answer tells nothing",
        (
            Edit(
                "verdicts.py",
                "        case MessageState.UNKNOWN:\n",
                "        case _:\n",
                folder=IN_SCHEDULER,
            ),
        ),
        (VERDICTS, "test_a_broker_that_does_not_answer_makes_no_run_stale"),
    ),
    Mutation(
        "stale: a message that is seen is waited for",
        (
            Edit(
                "verdicts.py",
                "            return Decision(candidate, Action.PUT_OFF, evidence)",
                (
                    "            return Decision(candidate, Action.REDISPATCH, evidence, "
                    "Reason.MESSAGE_LOST)"
                ),
                folder=IN_SCHEDULER,
            ),
        ),
        (VERDICTS, "test_a_run_that_waits_in_a_real_backlog_is_never_called_lost"),
    ),
)
