"""The guards of starts and deliveries; see `mutations`."""

from __future__ import annotations

from tests.faults.mutations import Edit, Mutation

IN_PLATFORM = "platform/lastword"
IN_WORKER = "middleware/lastword_middleware"
BEGINNING = "tests/faults/test_beginning.py"
FOREIGN = "tests/faults/test_foreign.py"
FUZZED_MESSAGES = "tests/faults/test_fuzzed_messages.py"
IN_HAND = "tests/faults/test_in_hand.py"
BULK_START = "tests/integration/test_bulk_start.py"
INSTALL = "tests/integration/test_install.py"


OF_DELIVERIES = (
    Mutation(
        "begin: a run that may be repeated",
        (
            Edit(
                "claims.py",
                "self.tracker.config.policy(held.reservation.operation).may_repeat",
                "True",
                folder=IN_WORKER,
            ),
        ),
        (BEGINNING, "test_a_run_that_may_not_be_repeated_may_not"),
    ),
    Mutation(
        "a delivery: as it was accepted",
        (
            Edit(
                "admission.py",
                "return None if genuine else Refusal.TAMPERED",
                "return None",
                folder=IN_WORKER,
            ),
        ),
        (FOREIGN, "test_a_tampered_message_is_refused_and_its_run_done_as_it_was_accepted"),
        "not within",
    ),
    Mutation(
        "a delivery: the same text",
        (
            Edit(
                "admission.py",
                (
                    "isinstance(message, Delivered) and message.text == "
                    "held.reservation.payload.encode()"
                ),
                "isinstance(message, Delivered)",
                folder=IN_WORKER,
            ),
        ),
        (FOREIGN, "test_a_tampered_message_is_refused_and_its_run_done_as_it_was_accepted"),
        "not within",
    ),
    Mutation(
        "accepted on delivery: inside its policy",
        (
            Edit(
                "admission.py",
                '        require_inside(policy, message.options, place="a message")\n',
                "",
                folder=IN_WORKER,
            ),
        ),
        (FOREIGN, "test_a_delayed_message_over_its_policy_does_not_hold_up_the_others"),
        "not within",
    ),
    Mutation(
        "delayed: could be accepted when its time comes",
        (
            Edit(
                "admission.py",
                "if not _is_sound(message) or not self._is_acceptable(message)",
                "if False",
                folder=IN_WORKER,
            ),
        ),
        (FOREIGN, "test_a_delayed_message_over_its_policy_does_not_hold_up_the_others"),
        "not within",
    ),
    Mutation(
        "a duplicate: not if it is the run's only message",
        (
            Edit(
                "admission.py",
                "refused = self._with_kept(refused)",
                "refused = list(refused)",
                folder=IN_WORKER,
            ),
        ),
        (IN_HAND, "test_what_could_not_be_released_in_an_outage_is_begun_by_somebody_all_the_same"),
        "not within",
    ),
    Mutation(
        "a foreign message: no run waits for it",
        (
            Edit(
                "admission.py",
                (
                    "                self.tracker.runs.disown([_delivery(message)], "
                    "message_ref=ref)\n"
                ),
                "",
                folder=IN_WORKER,
            ),
        ),
        (FOREIGN, "test_a_tampered_message_is_refused_and_its_run_done_as_it_was_accepted"),
    ),
    Mutation(
        "begin: a fresh reservation",
        (
            Edit(
                "claims.py",
                ("held.is_fresh\n            and"),
                ("True\n            and"),
                folder=IN_WORKER,
            ),
        ),
        (BEGINNING, "test_what_was_fetched_long_ago_may_not"),
    ),
    Mutation(
        "begin: not on probation",
        (
            Edit(
                "claims.py",
                "            and not held.reservation.probation\n",
                "",
                folder=IN_WORKER,
            ),
        ),
        (BEGINNING, "test_a_run_on_probation_may_not"),
    ),
    Mutation(
        "begin: reserved by this very worker",
        (
            Edit(
                "claims.py",
                "            and held.reservation.worker_id == self.tracker.worker_id\n",
                "",
                folder=IN_WORKER,
            ),
        ),
        (BEGINNING, "test_what_this_process_fetched_as_another_worker_may_not"),
    ),
    Mutation(
        "begin: the lease is live",
        (Edit("claims.py", "            and self.tracker.lease_is_live\n", "", folder=IN_WORKER),),
        (BEGINNING, "test_nothing_may_once_the_lease_may_have_run_out"),
    ),
    Mutation(
        "begin: the ledger is reached",
        (
            Edit(
                "claims.py",
                "            and self.tracker.writer.is_reaching\n",
                "",
                folder=IN_WORKER,
            ),
        ),
        (BEGINNING, "test_nothing_may_while_the_ledger_does_not_take_what_it_is_given"),
    ),
    Mutation(
        "a message: nests no deeper than it can be printed",
        (
            Edit(
                "delivered.py",
                "if could_be_deep(data) and nests_too_deep(nested):",
                "if False:",
                folder=IN_WORKER,
            ),
        ),
        (FUZZED_MESSAGES, "test_a_message_that_nests_too_deep_is_buried_and_ends_no_thread"),
        "not within",
    ),
    Mutation(
        "a message: due at a moment",
        (
            Edit(
                "delivered.py",
                'if not _is_moment(message.options.get("eta")):',
                "if False:",
                folder=IN_WORKER,
            ),
        ),
        (FUZZED_MESSAGES, "test_any_bytes_are_a_message_that_can_be_handled_or_none"),
    ),
    Mutation(
        "start: sent once the row is durable",
        (
            Edit(
                "starting.py",
                (
                    "    if to_send:\n"
                    "        with ledger.session():\n"
                    "            ledger.after_commit(lambda: application.post(to_send, "
                    "delay_ms=wish.delay_ms))"
                ),
                ("    if to_send:\n        application.post(to_send, delay_ms=wish.delay_ms)"),
                folder=IN_PLATFORM,
            ),
        ),
        (INSTALL, "test_a_start_is_committed_with_the_applications_transaction_and_sent_after_it"),
    ),
    Mutation(
        "start: nothing is sent for what was there already",
        (
            Edit(
                "starting.py",
                "        if answer.result is Acceptance.ACCEPTED\n",
                "        if True\n",
                folder=IN_PLATFORM,
            ),
        ),
        (BULK_START, "test_what_is_the_same_work_is_one_run_within_a_call_and_between_calls"),
    ),
    Mutation(
        "a duplicate: not at work here, not held here, and not in another thread",
        (
            Edit("admission.py", "if delivery in running:", "if False:", folder=IN_WORKER),
            Edit(
                "admission.py",
                "elif delivery in asked or delivery in waiting:",
                "elif False:",
                folder=IN_WORKER,
            ),
            Edit(
                "attempts.py",
                "if not self.tracker.work.reserve(message, self.tracker.worker_id):",
                "if not self.tracker.work.reserve(message, self.tracker.worker_id) and False:",
                folder=IN_WORKER,
            ),
        ),
        ("tests/faults/test_stranded.py", "test_a_message_that_redis_has_twice_is_executed_once"),
    ),
)
