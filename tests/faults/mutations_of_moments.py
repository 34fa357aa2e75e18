"""The guards of leases, slots and retention; see `mutations`."""

from __future__ import annotations

from tests.faults.mutations import Edit, Mutation

RETENTION = "tests/conformance/test_retention.py"
SCHEDULING = "tests/conformance/test_scheduling.py"


OF_MOMENTS = (
    Mutation(
        "lead: who holds the lease, or nobody does any more",
        (
            Edit(
                "leading.py",
                '"ELSE excluded.since END WHERE lastword_leader.holder = excluded.holder "',
                '"ELSE excluded.since END WHERE TRUE "',
            ),
        ),
        (SCHEDULING, "test_one_of_two_leads_until_its_lease_has_run_out"),
    ),
    Mutation(
        "lead: a lease that has run out is free",
        (Edit("leading.py", "OR lastword_leader.lease_until <= {now} RETURNING", "RETURNING"),),
        (SCHEDULING, "test_one_of_two_leads_until_its_lease_has_run_out"),
    ),
    Mutation(
        "resign: only whoever holds it",
        (
            Edit(
                "leading.py",
                'WHERE name = {param} AND holder = {param}",',
                "WHERE name = {param} AND COALESCE({param}, '') <> ''\",",
            ),
        ),
        (
            SCHEDULING,
            "test_a_leader_that_resigns_is_followed_at_once_and_nobody_resigns_for_another",
        ),
    ),
    Mutation(
        "retention: ended long ago",
        (
            Edit(
                "pruning.py",
                "AND completed_at <= {param} AND (completed_at",
                "AND {param} > 0 AND (completed_at",
            ),
        ),
        (RETENTION, "test_only_what_ended_long_ago_is_removed_with_its_attempts_and_events"),
    ),
    Mutation(
        "retention: not before the run that it is a part of",
        (Edit("pruning.py", 'f"AND parent.completed_at IS NULL)', 'f"AND FALSE)'),),
        (RETENTION, "test_a_part_stays_as_long_as_the_run_that_it_is_a_part_of"),
    ),
    Mutation(
        "retention: a worker that ended long ago",
        (
            Edit(
                "pruning.py",
                "AND ended_at <= {param} AND id NOT IN",
                "AND {param} > 0 AND id NOT IN",
            ),
        ),
        (RETENTION, "test_an_ended_worker_stays_while_it_is_young_or_holds_what_it_has_not_begun"),
    ),
    Mutation(
        "retention: a worker that no active run names",
        (
            Edit(
                "pruning.py",
                (
                    "SELECT worker_id FROM lastword_run WHERE completed_at IS NULL AND worker_id "
                    "IS NOT NULL "
                ),
                "SELECT '' ",
            ),
        ),
        (RETENTION, "test_ended_workers_go_once_they_are_old_and_no_active_run_names_them"),
    ),
    Mutation(
        "retention: a worker that holds nothing",
        (
            Edit(
                "pruning.py",
                (
                    "UNION SELECT holder FROM lastword_run WHERE completed_at IS NULL AND holder "
                    "IS NOT NULL"
                ),
                "UNION SELECT ''",
            ),
        ),
        (RETENTION, "test_an_ended_worker_stays_while_it_is_young_or_holds_what_it_has_not_begun"),
    ),
    Mutation(
        "due: not paused",
        (
            Edit(
                "scheduling.py",
                "WHERE paused_at IS NULL AND next_at <= {now} ORDER",
                "WHERE next_at <= {now} ORDER",
            ),
        ),
        (SCHEDULING, "test_a_paused_schedule_is_not_due_and_goes_on_where_it_is_told"),
    ),
    Mutation(
        "due: its moment has come",
        (
            Edit(
                "scheduling.py",
                "WHERE paused_at IS NULL AND next_at <= {now} ORDER",
                "WHERE paused_at IS NULL ORDER",
            ),
        ),
        (SCHEDULING, "test_a_paused_schedule_is_not_due_and_goes_on_where_it_is_told"),
    ),
    Mutation(
        "a slot: as it was read",
        (
            Edit(
                "scheduling.py",
                'f"AND next_at = {param} AND paused_at',
                'f"AND {param} > 0 AND paused_at',
            ),
        ),
        (SCHEDULING, "test_a_slot_that_many_schedulers_see_is_started_by_one"),
    ),
    Mutation(
        "a slot: not paused since",
        (Edit("scheduling.py", "AND paused_at IS NULL RETURNING id", "RETURNING id"),),
        (SCHEDULING, "test_a_paused_schedule_is_not_due_and_goes_on_where_it_is_told"),
    ),
    Mutation(
        "pause: not paused yet",
        (Edit("scheduling.py", '"paused_at IS NULL"\n', '"TRUE"\n'),),
        (SCHEDULING, "test_a_paused_schedule_is_not_due_and_goes_on_where_it_is_told"),
    ),
    Mutation(
        "a slot: not noted before",
        (
            Edit(
                "scheduling.py",
                'if not self._note(schedule["id"], slot_at, SlotResult.STARTED, run.run_id):',
                (
                    'if not self._note(schedule["id"], slot_at, SlotResult.STARTED, run.run_id) '
                    "and False:"
                ),
            ),
        ),
        (SCHEDULING, "test_a_slot_that_was_noted_has_no_second_run_whatever_its_schedule_says"),
    ),
    Mutation(
        "complain: not said before",
        (
            Edit(
                "scheduling.py",
                "AND COALESCE(error, '') <> {param} RETURNING",
                "AND {param} <> '' RETURNING",
            ),
        ),
        (SCHEDULING, "test_a_complaint_is_news_once_and_forgotten_with_the_next_slot"),
    ),
    Mutation(
        "orphaned: noted of late",
        (
            Edit(
                "scheduling.py",
                'f"WHERE noted_at > {self.ledger.dialect.now_ms} - {ORPHANED_WITHIN_MS} "',
                'f"WHERE TRUE "',
            ),
        ),
        (SCHEDULING, "test_a_slot_is_orphaned_once_its_run_is_gone_and_not_before"),
        "what was noted",
    ),
    Mutation(
        "orphaned: a slot that was started",
        (
            Edit(
                "scheduling.py",
                "f\"AND result = '{SlotResult.STARTED}' AND NOT EXISTS \"",
                '"AND NOT EXISTS "',
            ),
        ),
        (SCHEDULING, "test_a_slot_is_orphaned_once_its_run_is_gone_and_not_before"),
    ),
    Mutation(
        "orphaned: its run is gone",
        (
            Edit(
                "scheduling.py",
                '"(SELECT 1 FROM lastword_run WHERE lastword_run.id = lastword_slot.run_id) "',
                '"(SELECT 1 WHERE FALSE) "',
            ),
        ),
        (SCHEDULING, "test_a_slot_is_orphaned_once_its_run_is_gone_and_not_before"),
    ),
)
