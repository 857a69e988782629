"""Processes that are killed, stopped or that die by themselves: which jobs ran, how often, and what is left."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests._services._own import own_server
from tests._services._provide import is_ci, skip_or_fail
from tests._services._server import Service
from tests._services.redis import Redis
from tests.queue.worker_process import JOBS
from undercroft.queue import Counts, JobState, Queue, create_queue, define_job
from undercroft.queue._values import JobFilter
from undercroft.queue._worker._worker import Worker

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]
HOLD_A_WRITE = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""
SCRIPT = Path(__file__).with_name("worker_process.py")


class Workers:
    """Starts worker processes on one queue and ends those that are left."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.log = folder / "runs"
        self.log.touch()
        self.errors = folder / "errors"
        self._processes: list[subprocess.Popen[str]] = []

    def start(
        self, *, lease: float = 30.0, concurrency: int = 4, kill_at: str = "", kill_after: int = 3
    ) -> subprocess.Popen[str]:
        command = [sys.executable, str(SCRIPT), self.url, str(self.log), str(lease), str(concurrency)]
        root = Path(__file__).parents[2]
        kill = {"KILL_AT": kill_at, "KILL_AFTER": str(kill_after)}
        environ = {**os.environ, **kill, "PYTHONPATH": str(root)}
        with self.errors.open("a") as errors:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=root, env=environ)
        self._processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n", self.errors.read_text()
        return process

    def runs(self) -> Counter[str]:
        """How often each job was started."""
        return Counter(line.split()[0] for line in self.log.read_text().splitlines())

    def end(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                os.kill(process.pid, signal.SIGCONT)
                process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


@pytest.fixture(scope="module")
def own_redis() -> Iterator[Service]:
    """A Redis of these tests' own."""
    server = Redis()
    lacking = server.missing()
    if lacking is not None:
        skip_or_fail(f"{lacking} is not installed", is_ci=is_ci())
    with own_server(server) as service:
        yield service


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty queue."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/queue.db"
    service: Service = request.getfixturevalue("own_redis")
    return f"redis://{service.host}:{service.port}/0?prefix=faults-{uuid.uuid4().hex}"


@pytest.fixture
def workers(url: str, tmp_path: Path) -> Iterator[Workers]:
    workers = Workers(url, tmp_path)
    yield workers
    workers.end()


@pytest.fixture
async def queue(url: str) -> AsyncIterator[Queue]:
    async with create_queue(url, jobs=JOBS) as queue:
        yield queue


async def test_job_survives_the_sigkill_of_its_worker(queue: Queue, workers: Workers) -> None:
    victim = workers.start()
    handle = await queue.enqueue("hold")
    await until(lambda: workers.runs()[handle.id] == 1)
    workers.start()

    victim.kill()

    assert await handle.result("20s") == "second run"
    record = await handle.info()
    assert record is not None
    assert (record.crashes, record.failures, workers.runs()[handle.id]) == (1, 0, 2)


async def test_no_job_is_lost_when_workers_are_killed_again_and_again(queue: Queue, workers: Workers) -> None:
    jobs = 250
    handles = [await queue.enqueue("short") for _ in range(jobs)]
    pair = [workers.start(), workers.start()]
    kills = 0
    for kill in range(6):
        done = (await queue.counts()).completed
        # On a slow machine the other worker may be through with all of them before the last kill.
        await until_async(lambda done=done: has_completed(queue, min(done + 8, jobs)), seconds=20)
        pair[kill % 2].kill()
        kills += 1
        pair[kill % 2] = workers.start()

    await until_async(lambda: has_completed_all(queue, jobs), seconds=40)

    runs = workers.runs()
    assert await queue.counts() == Counts(completed=jobs)
    assert set(runs) == {handle.id for handle in handles}
    assert sum(runs.values()) - jobs <= kills * 4


@pytest.mark.parametrize("point", ["after_claim", "before_finish", "in_finish", "after_finish", "in_beat"])
async def test_no_job_is_lost_when_workers_die_at_a_point(queue: Queue, workers: Workers, point: str) -> None:
    jobs = 60
    handles = [await queue.enqueue("short") for _ in range(jobs)]
    for _ in range(2):
        process = workers.start(kill_at=point)
        if point == "after_claim":
            await keep_adding(queue, handles, process)
        await until(lambda process=process: process.poll() is not None)
        assert process.returncode == -signal.SIGKILL
    workers.start()

    await until_async(lambda: has_completed_all(queue, len(handles)), seconds=40)

    runs = workers.runs()
    assert await queue.counts() == Counts(completed=len(handles))
    assert set(runs) == {handle.id for handle in handles}
    assert sum(runs.values()) - len(handles) <= 2 * 4


async def test_two_thousand_jobs_survive_a_death_at_every_point(queue: Queue, workers: Workers) -> None:
    jobs = 2000
    handles = await queue.enqueue_many("sleep", [{"seconds": 0.03}] * jobs, keep_completed=True)
    workers.start()
    # The first claim fills all slots, and a worker with enough to do makes no other.
    points = {"after_claim": 0, "before_finish": 20, "in_finish": 20, "after_finish": 20, "in_beat": 0}
    for point, kill_after in points.items():
        process = workers.start(kill_at=point, kill_after=kill_after)
        await until(lambda process=process: process.poll() is not None)
        assert process.returncode == -signal.SIGKILL

    await until_async(lambda: has_completed_all(queue, jobs), seconds=60)

    runs = workers.runs()
    assert await queue.counts() == Counts(completed=jobs)
    assert set(runs) == {handle.id for handle in handles}
    assert sum(runs.values()) - jobs <= len(points) * 4


async def test_four_processes_run_each_job_exactly_once(queue: Queue, workers: Workers) -> None:
    for _ in range(4):
        workers.start(concurrency=10)
    async with anyio.create_task_group() as tasks:
        for _ in range(800):
            tasks.start_soon(queue.enqueue, "quick")

    await until_async(lambda: has_completed(queue, 800), seconds=30)

    runs = workers.runs()
    assert len(runs) == 800
    assert set(runs.values()) == {1}


async def test_worker_that_was_stopped_past_its_lease_cannot_complete_its_job(queue: Queue, workers: Workers) -> None:
    zombie = workers.start(lease=1.0, concurrency=1)
    handle = await queue.enqueue("sleep", {"seconds": 0.5})
    await until(lambda: workers.runs()[handle.id] == 1)

    os.kill(zombie.pid, signal.SIGSTOP)
    workers.start(lease=1.0)
    assert await handle.result("20s") == "attempt 2"
    os.kill(zombie.pid, signal.SIGCONT)
    marker = await queue.enqueue("sleep", {"seconds": 0})  # both workers are at work again when this is done
    await marker.result("20s")

    record = await handle.info()
    assert record is not None
    assert (record.state, record.result, record.crashes) == (JobState.COMPLETED, b'"attempt 2"', 1)


async def test_job_that_kills_its_workers_is_quarantined_and_its_neighbours_are_not(
    queue: Queue, workers: Workers
) -> None:
    poison = await queue.enqueue("die")
    for expected in (1, 2, 3):
        process = workers.start(concurrency=1)
        await until_async(lambda process=process: has_ended(queue, process))
        assert workers.runs()[poison.id] == expected
    neighbours = [await queue.enqueue("quick") for _ in range(5)]
    workers.start()

    for neighbour in neighbours:
        await neighbour.result("20s")
    await until_async(lambda: is_failed(queue, poison.id))

    record = await queue.get_job(poison.id)
    assert record is not None
    assert (record.crashes, record.error_type) == (3, "WorkerDied")
    assert workers.runs()[poison.id] == 3
    assert {workers.runs()[neighbour.id] for neighbour in neighbours} == {1}


async def test_worker_whose_loop_is_blocked_is_not_presumed_dead_and_names_the_place(
    queue: Queue, workers: Workers
) -> None:
    workers.start(lease=1.0)
    handle = await queue.enqueue("block", {"seconds": 3.5})
    await until(lambda: workers.runs()[handle.id] == 1)
    workers.start(lease=1.0)

    assert await handle.result("20s") == "attempt 1"
    (line,) = [line for line in workers.errors.read_text().splitlines() if "event loop is blocked" in line]
    assert f"block {handle.id}" in line
    assert "worker_process.py" in line


async def test_rolling_restart_under_load_loses_nothing_and_runs_nothing_twice(url: str) -> None:
    ran: Counter[int] = Counter()

    async def work(number: int) -> None:
        await anyio.sleep(0.005)
        ran[number] += 1

    job = define_job(name="work", handler=work)
    jobs = 1500
    async with create_queue(url, jobs=[job]) as queue:

        async def load() -> None:
            for number in range(jobs):
                await queue.enqueue(job, number)

        async with anyio.create_task_group() as group:
            group.start_soon(load)
            current = queue.worker(concurrency=8)
            group.start_soon(current.run)
            for _ in range(20):
                before = sum(ran.values())
                await until(lambda before=before: sum(ran.values()) >= min(before + 20, jobs))
                following = queue.worker(concurrency=8)
                group.start_soon(following.run)
                await current.stop()
                current = following
            await until(lambda: len(ran) == jobs, seconds=60)
            await current.stop()
        page = await queue._engine.list_jobs(JobFilter(), limit=1000)
        counts = await queue.counts()

    assert set(ran.values()) == {1}
    assert (counts.waiting, counts.delayed, counts.active, counts.failed) == (0, 0, 0, 0)
    assert {(record.failures, record.crashes) for record in page.jobs} == {(0, 0)}


async def test_idle_worker_stops_within_a_tenth_of_a_second(queue: Queue) -> None:
    for _ in range(5):
        worker = queue.worker()
        async with anyio.create_task_group() as group:
            group.start_soon(worker.run)
            await anyio.sleep(0.2)  # long enough for it to idle
            began = time.monotonic()
            await worker.stop()
            took = time.monotonic() - began
        assert took <= 0.1
        assert isinstance(worker, Worker)


async def test_locked_store_is_waited_for(tmp_path: Path) -> None:
    database = tmp_path / "queue.db"
    async with create_queue(f"sqlite:///{database}", jobs=JOBS) as queue:
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLD_A_WRITE, str(database)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(queue.enqueue, "quick")
                await anyio.sleep(0.05)  # long enough for the write to meet the lock
                holder.communicate()
        finally:
            holder.kill()
            holder.wait()

        assert (await queue.counts()).waiting == 1
    with sqlite3.connect(database) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


# Helpers


async def keep_adding(queue: Queue, handles: list[Any], process: subprocess.Popen[str]) -> None:
    """Add jobs one by one: a worker with enough to do takes them as it finishes, and claims nothing."""
    with anyio.fail_after(20):
        while process.poll() is None:
            if (await queue.counts()).waiting == 0:
                handles.append(await queue.enqueue("short"))
            await anyio.sleep(0.02)


async def let_delays_pass(queue: Queue) -> None:
    """Make every delayed job due, as if its time had come."""
    page = await queue._engine.list_jobs(JobFilter(state=JobState.DELAYED), limit=100)
    for record in page.jobs:
        await queue._engine.promote(record.id, queue=record.queue)


async def has_completed(queue: Queue, count: int) -> bool:
    return (await queue.counts()).completed >= count


async def has_completed_all(queue: Queue, count: int) -> bool:
    await let_delays_pass(queue)
    return await has_completed(queue, count)


async def has_ended(queue: Queue, process: subprocess.Popen[str]) -> bool:
    await let_delays_pass(queue)
    return process.poll() is not None


async def is_failed(queue: Queue, job_id: str) -> bool:
    record = await queue.get_job(job_id)
    return record is not None and record.state is JobState.FAILED


async def until(condition: Callable[[], bool], *, seconds: float = 20) -> None:
    with anyio.fail_after(seconds):
        while not condition():
            await anyio.sleep(0.01)


async def until_async(condition: Callable[[], object], *, seconds: float = 20) -> None:
    with anyio.fail_after(seconds):
        while not await condition():  # type: ignore[misc]
            await anyio.sleep(0.02)
