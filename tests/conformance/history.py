"""A ledger with a long history, in whose plans a walk through it shows."""

from __future__ import annotations

from lastword.service.tenants import add_tenant
from tests.support import Scene, policy

#: Completed runs: so many that no planner takes the table from end to end for a few of them.
RUNS = 30_000

#: Attempts of each, and records of the domain: their rows are narrow, and have to be many more.
ATTEMPTS = 4
RECORDS = 60_000

#: Tenants that they are of, all of one workspace.
TENANTS = 20

#: Workers that have ended since.
WORKERS = 500

#: Milliseconds from one end to the next, the latest a moment ago.
APART_MS = 1000

#: What the rows of an active run lack to be those of a completed one.
COMPLETED = {
    "id": "'old-' || CAST(number AS VARCHAR(10))",
    "operation": "CASE WHEN number % 3 = 0 THEN 'report.once' ELSE operation END",
    "workspace_id": "'north'",
    "tenant_id": f"'n' || CAST(number % {TENANTS} AS VARCHAR(10))",
    "identity_hash": "'identity-' || CAST(number AS VARCHAR(10))",
    "status": "'completed'",
    "outcome": "CASE WHEN number % 19 = 0 THEN 'failed' ELSE 'succeeded' END",
    "closed_by": "CASE WHEN number % 100 = 0 THEN 'generic' ELSE 'worker' END",
    # As messages are: a table of few pages would be taken from end to end.
    "payload": f"'{'x' * 800}'",
    "message_ref": "'ref-' || CAST(number AS VARCHAR(10))",
    "worker_id": "'worker-' || CAST(number % 500 AS VARCHAR(10))",
    **dict.fromkeys(("created_at", "changed_at", "completed_at"), "{now} - number * 1000"),
    "stale_at": "NULL",
}

_NUMBERS = (
    "WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers "
    "WHERE number < {times}) "
)


def fill(scene: Scene) -> None:
    """Write a history in bulk: runs with attempts and events, workers, records of the domain."""
    for tenant in ("n1", "n2"):
        add_tenant(scene.ledger, tenant_id=tenant, name=tenant, workspace_id="north")
    template = scene.accept()
    _clone(scene, "lastword_run", template, RUNS, **COMPLETED)
    worker = scene.worker()
    ended = {"id": "'worker-' || CAST(number AS VARCHAR(10))", "ending": "'stopped'"}
    moments = dict.fromkeys(("ended_at", "rescued_at", "lease_until"), "{now} - number * 1000")
    _clone(scene, "lastword_worker", worker, WORKERS, **ended, **moments)
    _tell(scene)
    _keep_records(scene)
    scene.runs.cancel([template], by="Ada")
    scene.workers.end(worker)
    scene.runs.keep_policies([policy()])


def analyze(scene: Scene) -> None:
    """Let the planner know what is there. Nobody does that for a SQLite file by itself."""
    with scene.ledger.session():
        scene.ledger.execute("ANALYZE")


def _clone(scene: Scene, table: str, row_id: str, times: int, **changes: str) -> None:
    """Write a row many times more, changed as SQL says, where `number` counts them."""
    dialect = scene.ledger.dialect
    with scene.ledger.transaction():
        [row] = scene.ledger.execute(f"SELECT * FROM {table} WHERE id = {dialect.param}", row_id)
        values = {name: changes.get(name, name).format(now=dialect.now_ms) for name in row}
        _insert(scene, table, values, f"FROM {table}, numbers WHERE id = '{row_id}'", times)


def _tell(scene: Scene) -> None:
    attempts = (
        "INSERT INTO lastword_attempt (run_id, number, worker_id, started_at, ended_at, ending) "
        "SELECT id, {number}, worker_id, created_at, completed_at, outcome FROM lastword_run "
        "WHERE completed_at IS NOT NULL"
    )
    events = (
        "INSERT INTO lastword_event (run_id, at, kind, source, attempt, outcome, terminal) "
        "SELECT id, completed_at, '{kind}', 'worker', 1, outcome, {terminal} FROM lastword_run "
        "WHERE completed_at IS NOT NULL"
    )
    with scene.ledger.transaction():
        for number in range(1, ATTEMPTS + 1):
            scene.ledger.execute(attempts.format(number=number))
        for kind, terminal in (("accepted", "FALSE"), ("started", "FALSE"), ("ended", "TRUE")):
            scene.ledger.execute(events.format(kind=kind, terminal=terminal))


def _keep_records(scene: Scene) -> None:
    now = scene.ledger.dialect.now_ms
    shared = {
        "id": "'record-' || CAST(number AS VARCHAR(10))",
        "tenant_id": "'n1'",
        "run_id": "'old-' || CAST(number AS VARCHAR(10))",
        "status": "'succeeded'",
        "counts": "'{}'",
        **dict.fromkeys(("created_at", "ended_at"), f"{now} - number * 1000"),
    }
    with scene.ledger.transaction():
        _insert(scene, "lastword_jobs_backup_set", shared, "FROM numbers", RECORDS)
        restores = {**shared, "backup_set_id": shared["id"]}
        _insert(scene, "lastword_jobs_restore", restores, "FROM numbers", RECORDS)


def _insert(scene: Scene, table: str, values: dict[str, str], source: str, times: int) -> None:
    statement = (
        f"{_NUMBERS.format(times=times)} INSERT INTO {table} ({', '.join(values)}) "
        f"SELECT {', '.join(values.values())} {source}"
    )
    # Where a placeholder is a per cent sign, one that is meant has to be doubled.
    percent = "%%" if scene.ledger.dialect.param == "%s" else "%"
    scene.ledger.execute(statement.replace("%", percent))
