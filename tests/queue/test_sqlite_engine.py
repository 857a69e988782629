"""The SQLite engine keeps what every engine promises, and what one file and several processes ask for beyond that."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from importlib import resources
from pathlib import Path
from typing import Any

import anyio
import pytest

from undercroft._core.clock import VirtualClock
from undercroft.queue._errors import QueueUnavailableError
from undercroft.queue._values import Completed, Counts, Failed, Fetch, Keep, QueueSettings
from undercroft.queue.sqlite import SqliteQueue, _adding, _ending, _queues
from undercroft.queue.sqlite import _working as working
from undercroft.queue.sqlite._base import MIGRATIONS
from undercroft.testing.conformance.queue import QueueEngineConformance
from undercroft.testing.conformance.queue._base import NewJobs

pytestmark = pytest.mark.anyio
QUEUES = ["default"]
FETCH = Fetch(names=frozenset(["job"]), worker_id="me", lease_s=30)


class TestSqliteQueue(QueueEngineConformance):
    @pytest.fixture
    async def engine(self, clock: VirtualClock, tmp_path: Path) -> AsyncIterator[SqliteQueue]:
        async with SqliteQueue(tmp_path / "queue.db", clock=clock) as engine:
            yield engine

    async def test_many_tasks_at_once_on_one_connection(self, engine: SqliteQueue, jobs: NewJobs) -> None:
        """Cursors freed in another thread than the connection's made this fail with SQLITE_MISUSE."""

        async def add() -> None:
            for _ in range(40):
                await engine.add([jobs()])
                await engine.counts()

        async with anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(add)

        assert (await engine.counts()).waiting == 4000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.db"


@pytest.fixture
def jobs() -> NewJobs:
    return NewJobs(VirtualClock())


@pytest.fixture
async def engine(path: Path) -> AsyncIterator[SqliteQueue]:
    async with SqliteQueue(path) as engine, engine.attend("me", queues=QUEUES):
        yield engine


async def claim(engine: SqliteQueue, limit: int) -> tuple[Any, ...]:
    found = await engine.claim(queues=QUEUES, names=["job"], limit=limit, worker_id="me", lease_s=30)
    return found.jobs


async def statements(engine: SqliteQueue, act: Callable[[], Any]) -> list[str]:
    """Return the statements that an act took."""
    seen: list[str] = []
    await engine._store.read(lambda db: db.set_trace_callback(seen.append))
    await act()
    await engine._store.read(lambda db: db.set_trace_callback(None))
    return seen


# What came together is one piece of work


async def test_jobs_that_end_together_share_one_statement_and_one_claim(engine: SqliteQueue, jobs: NewJobs) -> None:
    await engine.add([jobs() for _ in range(100)])
    held = await claim(engine, 50)

    async def end_all() -> None:
        done = await asyncio.gather(*(engine.finish(job, Completed(result=b"1"), fetch=FETCH) for job in held))
        assert len({each.next.id for each in done if each.next}) == 50

    seen = await statements(engine, end_all)

    assert len([text for text in seen if "'completed'" in text and "UPDATE jobs" in text]) == 1
    assert len([text for text in seen if "SELECT json_group_array" in text]) == 1
    assert seen.count("COMMIT") == 1
    assert await engine.counts() == Counts(completed=50, active=50)


async def test_enqueues_that_come_together_share_one_commit(engine: SqliteQueue, jobs: NewJobs) -> None:
    async def add_all() -> None:
        await asyncio.gather(*(engine.add([jobs()]) for _ in range(100)))

    assert (await statements(engine, add_all)).count("COMMIT") == 1
    assert await engine.counts() == Counts(waiting=100)


async def test_job_that_cannot_be_stored_does_not_take_its_neighbours_along(engine: SqliteQueue, jobs: NewJobs) -> None:
    good, bad = jobs(), jobs(priority=2**70)

    added, refused = await asyncio.gather(engine.add([good]), engine.add([bad]), return_exceptions=True)

    assert isinstance(added, list)
    assert isinstance(refused, OverflowError)
    assert await engine.counts() == Counts(waiting=1)


async def test_old_token_among_many_ends_is_refused_alone(engine: SqliteQueue, jobs: NewJobs) -> None:
    await engine.add([jobs() for _ in range(10)])
    held = await claim(engine, 10)
    await engine.release([held[3]])

    done = await asyncio.gather(*(engine.finish(job, Completed(result=b"1")) for job in held))

    assert [n for n, each in enumerate(done) if not each.is_recorded] == [3]
    assert await engine.counts() == Counts(completed=9, waiting=1)


async def test_job_that_ends_twice_in_one_turn_is_recorded_once(engine: SqliteQueue, jobs: NewJobs) -> None:
    await engine.add([jobs(), jobs()])
    first, second = await claim(engine, 2)

    done = await asyncio.gather(*(engine.finish(job, Completed(result=b"1")) for job in (first, first, second)))

    assert [each.is_recorded for each in done] == [True, False, True]
    statistics = await engine.statistics("default")
    assert [minute.completed for minute in statistics.minutes] == [2]


async def test_different_outcomes_of_one_turn_are_each_recorded(engine: SqliteQueue, jobs: NewJobs) -> None:
    await engine.add([jobs(), jobs(keep_completed=Keep(count=0)), jobs(), jobs(keep_failed=Keep(count=0))])
    one, two, three, four = await claim(engine, 4)
    failed = Failed(error_type="OSError", error="no route", retry_at=None)

    outcomes = [(one, Completed(result=b"1")), (two, Completed(result=b"2")), (three, failed), (four, failed)]
    done = await asyncio.gather(*(engine.finish(job, outcome) for job, outcome in outcomes))

    assert [each.is_recorded for each in done] == [True] * 4
    assert await engine.counts() == Counts(completed=1, failed=1)


async def test_next_job_of_a_cancelled_caller_is_given_back(engine: SqliteQueue, jobs: NewJobs) -> None:
    await engine.add([jobs(), jobs()])
    (job,) = await claim(engine, 1)
    end = asyncio.create_task(engine.finish(job, Completed(result=b"1"), fetch=FETCH))
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # asked for, and cancelled before the answer
    end.cancel()
    with pytest.raises(asyncio.CancelledError):
        await end

    with anyio.fail_after(10):
        while await engine.counts() != Counts(completed=1, waiting=1):
            await asyncio.sleep(0)


async def test_answers_are_refused_when_the_store_is_closed(path: Path, jobs: NewJobs) -> None:
    engine = SqliteQueue(path)
    async with engine:
        pass

    with pytest.raises(Exception, match="not open"):
        await engine.add([jobs()])


# Plans

SEARCHES = [
    (working.LOOK, ("default",)),
    (working.WAITING, ("default", "[]", 1)),
    (working.WAITING_OR_PARKED, ("default", "[]", 1)),
    (working.NEXT_DUE, ("default",)),
    (working.PUT_DUE, ("default", 0, 1)),
    (working.MARK, ("me", 0, 0, 0, "[]")),
    (working.EXTEND, (0, "[]")),
    (working.HELD, ("[]",)),
    (working.LOST, ('["default"]', 0, "[]")),
    (working.HOLDERS, ('["default"]',)),
    (working.UNKNOWN, ("default", "[]")),
    (working.PARKED_BUT_KNOWN, ("default", "[]")),
    (_adding.HELD, ("default", "key", 0)),
    (_ending.COMPLETE_MANY, (0, 0, "[]")),
    (_ending.DROP_MANY, ("[]",)),
    (_ending.CURRENT, (1, 1)),
    (_ending.PARENTS, ("id", "default")),
    (_queues.OUTNUMBERED, ("default", "completed", 10)),
    (_queues.GONE, ("default", "completed", 1, 0, 0, 0, 10)),
]


@pytest.mark.parametrize(
    ("statement", "values"), SEARCHES, ids=[text.split()[0] + str(n) for n, (text, _) in enumerate(SEARCHES)]
)
async def test_no_statement_of_the_hot_path_looks_through_the_jobs(
    engine: SqliteQueue, statement: str, values: tuple[Any, ...]
) -> None:
    plan = await engine._store.read(lambda db: db.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall())

    scanned = [step for *_, step in plan if step.startswith("SCAN")]
    assert not [
        step for step in scanned if "json_each" not in step and "VIRTUAL TABLE" not in step and "(sub" not in step
    ]


@pytest.mark.parametrize("statement", [working.WAITING, working.UNKNOWN])
async def test_line_is_read_in_its_order(engine: SqliteQueue, statement: str) -> None:
    values = ("default", "[]", 1)[: 2 if statement is working.UNKNOWN else 3]
    plan = await engine._store.read(lambda db: db.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall())

    assert not [step for *_, step in plan if "TEMP B-TREE" in step]


# Files of the version before

OLD_JOB = """
INSERT INTO jobs (id, name, queue, state, data, priority, due_at, attempts, backoff, timeout_s, created_at, token)
VALUES (?, 'job', 'default', ?, '{"n":1}', 0, 1.0, 3, '{"kind":"fixed","base_s":1.0}', 30.0, 1.0, 4)"""


async def test_file_of_the_first_version_opens_and_its_jobs_run(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.executescript(resources.files("undercroft.queue.sqlite").joinpath(MIGRATIONS[0]).read_text())
        db.executemany(
            OLD_JOB, [("old-1", "waiting"), ("old-2", "parked"), ("old-3", "completed"), ("old-4", "delayed")]
        )
        db.execute("UPDATE jobs SET finished_at = 1.0, result = '7' WHERE state = 'completed'")
        db.execute("PRAGMA user_version = 1")
    db.close()

    async with SqliteQueue(path) as engine, engine.attend("me", queues=QUEUES):
        held = await claim(engine, 10)
        assert [(job.id, job.data, job.token, job.attempts) for job in held] == [
            (f"old-{n}", b'{"n":1}', 5, 3) for n in (1, 2, 4)
        ]
        for job in held:
            assert (await engine.finish(job, Completed(result=b"1"))).is_recorded
        kept = await engine.get("old-3")
        assert kept is not None
        assert kept.result == b"7"
        assert await engine.queues() == ["default"]
        assert await engine.prune(queues=QUEUES) == 1  # completed in 1970: kept for a day, as the version before did
        assert await engine.counts() == Counts(completed=3)


# The pulse


async def test_pulse_extends_leases_from_another_thread(engine: SqliteQueue, jobs: NewJobs) -> None:
    await engine.add([jobs(), jobs()])
    mine, lost = await claim(engine, 2)
    await engine.release([lost])
    await engine.cancel(mine.id)

    def beat() -> Any:
        pulse = engine.pulse("me")
        assert pulse is not None
        try:
            return pulse.beat([mine, lost], lease_s=1000)
        finally:
            pulse.close()

    beaten = await anyio.to_thread.run_sync(beat)

    assert (beaten.lost, beaten.cancelled) == ((lost,), (mine,))
    (until,) = await engine._store.read(lambda db: db.execute("SELECT max(lease_until) FROM jobs").fetchone())
    assert until > engine.time() + 900


def test_pulse_without_jobs_opens_nothing(tmp_path: Path) -> None:
    pulse = SqliteQueue(tmp_path / "absent" / "queue.db").pulse("me")
    assert pulse is not None

    assert pulse.beat([], lease_s=30).lost == ()
    assert not (tmp_path / "absent").exists()


async def test_pulse_gives_up_when_the_file_is_locked_for_long(
    engine: SqliteQueue, path: Path, jobs: NewJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("undercroft.queue.sqlite._pulse._PATIENCE_S", 0.1)
    await engine.add([jobs()])
    held = await claim(engine, 1)
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    pulse = engine.pulse("me")
    assert pulse is not None
    try:
        with pytest.raises(QueueUnavailableError, match="locked"):
            pulse.beat(held, lease_s=30)
    finally:
        db.close()
    assert pulse.beat(held, lease_s=30).lost == ()
    pulse.close()


def test_pulse_is_for_real_time_only(tmp_path: Path) -> None:
    assert SqliteQueue(tmp_path / "queue.db", clock=VirtualClock()).pulse("me") is None


# Between processes: a second engine on the same file stands for another process


async def test_job_of_another_process_wakes_a_waiting_worker(engine: SqliteQueue, path: Path, jobs: NewJobs) -> None:
    async with SqliteQueue(path) as other:
        seen = engine.changes
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: engine.wait_for_work(QUEUES, since=seen, timeout=60))
                await other.add([jobs()])
    assert len(await claim(engine, 1)) == 1


async def test_end_in_another_process_wakes_who_waits_for_it(engine: SqliteQueue, path: Path, jobs: NewJobs) -> None:
    new = jobs()
    await engine.add([new])
    async with SqliteQueue(path) as other, other.attend("other", queues=QUEUES):
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: engine.wait_for_end(new.id, queue="default", timeout=60))
                found = await other.claim(queues=QUEUES, names=["job"], limit=1, worker_id="other", lease_s=30)
                await other.finish(found.jobs[0], Completed(result=b"1"))


async def test_pause_of_another_process_holds_here(engine: SqliteQueue, path: Path, jobs: NewJobs) -> None:
    await engine.add([jobs()])
    async with SqliteQueue(path) as other:
        await other.configure("default", QueueSettings(is_paused=True))

    assert await claim(engine, 1) == ()


# What it costs


async def test_events_are_not_recorded_while_nobody_listens(engine: SqliteQueue, jobs: NewJobs) -> None:
    await engine.add([jobs()])

    assert await engine._store.read(lambda db: db.execute("SELECT count(*) FROM events").fetchone()) == (0,)


async def test_events_are_bounded(engine: SqliteQueue, jobs: NewJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("undercroft.queue.sqlite._step.EVENTS_KEPT", 10)
    events = engine.events(QUEUES)
    for _ in range(20):
        await engine.add([jobs()])

    assert await engine._store.read(lambda db: db.execute("SELECT count(*) FROM events").fetchone()) == (10,)
    assert (await anext(events)).type in ("added", "waiting")


async def test_deleted_job_leaves_no_row_behind(engine: SqliteQueue, jobs: NewJobs) -> None:
    parent = jobs(has_children=True)
    await engine.add([parent, jobs(parent_id=parent.id)])
    (child,) = await claim(engine, 1)
    await engine.add_log(child, "line", keep=10)
    await engine.finish(child, Completed(result=b"1"))
    await engine.remove(parent.id)

    for table in ("jobs", "job_logs", "children"):
        found = await engine._store.read(lambda db, table=table: db.execute(f"SELECT count(*) FROM {table}").fetchone())
        assert found == (0,), table


async def test_loop_that_is_busy_does_not_starve_the_writer(engine: SqliteQueue, jobs: NewJobs) -> None:
    """Each call of SQLite gives the interpreter away and waits 5 ms for it while another thread computes."""
    await engine.add([jobs() for _ in range(200)])
    held = await claim(engine, 200)
    is_done = threading.Event()

    def compute() -> None:
        while not is_done.is_set():
            sum(range(100))

    busy = threading.Thread(target=compute)
    busy.start()
    try:
        with anyio.fail_after(2):  # one call per job would take more than that
            await asyncio.gather(*(engine.finish(job, Completed(result=b"1")) for job in held))
    finally:
        is_done.set()
        busy.join()
    assert await engine.counts() == Counts(completed=200)
