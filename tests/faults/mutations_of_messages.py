"""The guards of messages, reservations and workers in the service; see `mutations`."""

from __future__ import annotations

from tests.faults.mutations import Edit, Mutation

ENDING = "tests/conformance/test_ending.py"
GUARDS = "tests/conformance/test_guards.py"
RECONCILING = "tests/conformance/test_reconciling.py"
RESERVATIONS = "tests/conformance/test_reservations.py"
STARTING_AND_CLAIMING = "tests/conformance/test_starting_and_claiming.py"
RESCUE = "tests/faults/test_rescue.py"


OF_MESSAGES = (
    Mutation(
        "accept: only an active run holds its identity",
        (
            Edit(
                "accepting.py",
                "(identity_hash = item_identity_hash AND completed_at IS NULL)",
                "identity_hash = item_identity_hash",
            ),
        ),
        (
            STARTING_AND_CLAIMING,
            "test_a_start_finds_the_active_run_and_none_that_was_refused_since",
        ),
    ),
    Mutation(
        "disown: of this dispatch",
        (
            Edit(
                "reserving.py",
                'AND dispatch = {param} AND message_ref = {param} "',
                'AND {param} > 0 AND message_ref = {param} "',
            ),
        ),
        (RESERVATIONS, "test_a_message_of_another_dispatch_is_not_the_runs_to_lose"),
    ),
    Mutation(
        "disown: of this message",
        (
            Edit(
                "reserving.py",
                'AND dispatch = {param} AND message_ref = {param} "',
                "AND dispatch = {param} AND {param} <> '' \"",
            ),
        ),
        (RESERVATIONS, "test_a_message_that_was_never_the_runs_takes_none_from_it"),
    ),
    Mutation(
        "disown: still queued",
        (Edit("reserving.py", "AND completed_at IS NULL AND status = '{Status.QUEUED}'\"", '"'),),
        (RESERVATIONS, "test_a_run_that_works_keeps_the_message_that_is_disowned_late"),
    ),
    Mutation(
        "reserve: queued",
        (
            Edit(
                "reserving.py",
                "guards = (_IS_QUEUED, SAME_DISPATCH, LEASE",
                "guards = (SAME_DISPATCH, LEASE",
            ),
        ),
        (RESERVATIONS, "test_a_run_that_works_is_not_reserved_again_by_anybody"),
        "peewee.IntegrityError",
    ),
    Mutation(
        "drain: a worker that lives",
        (Edit("draining.py", "AND ended_at IS NULL RETURNING", "RETURNING"),),
        (RESERVATIONS, "test_a_worker_that_has_ended_is_not_asked_to_drain"),
    ),
    Mutation(
        "lose: its lease has run out",
        (Edit("workers.py", '"lease_until <= {param}"', '"0 <= {param}"'),),
        (RECONCILING, "test_workers_are_lost_by_the_databases_clock"),
    ),
    Mutation(
        "end a worker: once",
        (Edit("workers.py", 'f"WHERE ended_at IS NULL AND {condition', 'f"WHERE {condition'),),
        (RECONCILING, "test_workers_are_lost_by_the_databases_clock"),
    ),
    Mutation(
        "to be rescued: its process does not go on",
        (Edit("workers.py", 'f"AND other.broker_id = gone.broker_id)', 'f"AND FALSE)'),),
        (RESCUE, "test_a_worker_that_was_given_up_and_goes_on_under_another_id_keeps_what_it_has"),
    ),
    Mutation(
        "asked to stop: still active",
        (
            Edit(
                "workers.py",
                '"SELECT id FROM lastword_run WHERE completed_at IS NULL "\n',
                '"SELECT id FROM lastword_run WHERE TRUE "\n',
            ),
        ),
        (RESERVATIONS, "test_a_worker_hears_no_more_of_a_request_once_its_run_has_ended"),
    ),
    Mutation(
        "asked to stop: asked",
        (Edit("workers.py", 'f"AND cancel_requested_at IS NOT NULL AND (worker', 'f"AND (worker'),),
        (RESERVATIONS, "test_a_worker_hears_no_more_of_a_request_once_its_run_has_ended"),
    ),
    Mutation(
        "asked to stop: of this worker",
        (
            Edit(
                "workers.py",
                (
                    '(worker_id = {param} OR holder = {param})",\n'
                    "            worker_id,\n"
                    "            worker_id,\n"
                    "        )\n"
                    "        return frozenset"
                ),
                (
                    "({param} <> '' OR {param} <> '')\",\n"
                    "            worker_id,\n"
                    "            worker_id,\n"
                    "        )\n"
                    "        return frozenset"
                ),
            ),
        ),
        (RESERVATIONS, "test_a_worker_hears_no_more_of_a_request_once_its_run_has_ended"),
    ),
    Mutation(
        "current attempts: held by this worker",
        (Edit("workers.py", "OR holder = {dialect.param})", "OR {dialect.param} <> '')"),),
        (
            RESERVATIONS,
            "test_what_another_worker_has_taken_is_no_longer_current_for_the_one_before",
        ),
    ),
    Mutation(
        "progress: of this attempt",
        (Edit("workers.py", 'AND attempt = item_attempt "', '"'),),
        (ENDING, "test_progress_is_kept_for_the_current_attempt_only"),
    ),
    Mutation(
        "progress: still running",
        (Edit("workers.py", "AND status = 'running' AND attempt", "AND attempt"),),
        (RESERVATIONS, "test_a_late_beat_does_not_change_the_counts_of_a_run_that_has_ended"),
    ),
    Mutation(
        "reject a message: its own run",
        (
            Edit(
                "ending.py",
                'AND message_queue = {param} AND message_ref = {param}"',
                "AND message_queue = {param} AND {param} <> ''\"",
            ),
        ),
        (RESERVATIONS, "test_a_message_that_cannot_be_read_ends_only_the_run_it_is_of"),
    ),
    Mutation(
        "hand over to the children: running",
        (
            Edit(
                "ending.py",
                "guards = (f\"status = '{Status.RUNNING}'\", SAME_ATTEMPT",
                "guards = (SAME_ATTEMPT",
            ),
        ),
        (GUARDS, "test_a_report_after_the_attempts_own_retry_is_late"),
    ),
)
