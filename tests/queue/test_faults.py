"""Processes that are killed, stopped or that die by themselves: which jobs ran, how often, and what is left."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import anyio
import pytest

from tests.queue.worker_process import JOBS
from undercroft.queue import Counts, JobState, Queue, create_queue

pytestmark = pytest.mark.anyio
HOLD_A_WRITE = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""
SCRIPT = Path(__file__).with_name("worker_process.py")


class Workers:
    """Starts worker processes on one file and ends those that are left."""

    def __init__(self, folder: Path) -> None:
        self.database = folder / "queue.db"
        self.log = folder / "runs"
        self.log.touch()
        self._processes: list[subprocess.Popen[str]] = []

    def start(self, *, lease: float = 30.0, concurrency: int = 4) -> subprocess.Popen[str]:
        command = [sys.executable, str(SCRIPT), str(self.database), str(self.log), str(lease), str(concurrency)]
        root = Path(__file__).parents[2]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=root)
        self._processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        return process

    def let_delays_pass(self) -> None:
        """Make every delayed job due, as if its time had come."""
        with sqlite3.connect(self.database) as db:
            db.execute("UPDATE jobs SET due_at = 0 WHERE state = 'delayed'")
        db.close()

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


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    workers = Workers(tmp_path)
    yield workers
    workers.end()


@pytest.fixture
async def queue(workers: Workers) -> AsyncIterator[Queue]:
    async with create_queue(f"sqlite:///{workers.database}", jobs=JOBS) as queue:
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

    await until_async(lambda: has_completed_all(queue, workers, jobs), seconds=30)

    runs = workers.runs()
    assert await queue.counts() == Counts(completed=jobs)
    assert set(runs) == {handle.id for handle in handles}
    assert sum(runs.values()) - jobs <= kills * 4


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


async def test_job_that_kills_its_workers_is_quarantined_and_its_neighbour_is_not(
    queue: Queue, workers: Workers
) -> None:
    poison = await queue.enqueue("die")
    for expected in (1, 2):
        process = workers.start(concurrency=1)
        await until(lambda process=process: process.poll() is not None)
        assert workers.runs()[poison.id] == expected
    process = workers.start(concurrency=1)
    await until_async(lambda: is_delayed(queue, poison.id))
    workers.let_delays_pass()
    await until(lambda: process.poll() is not None)
    neighbour = await queue.enqueue("quick")
    workers.start()

    await neighbour.result("20s")
    await until_async(lambda: is_failed(queue, poison.id))

    record = await queue.get_job(poison.id)
    assert record is not None
    assert (record.crashes, record.error_type) == (3, "WorkerDied")
    assert workers.runs()[poison.id] == 3


async def test_locked_store_is_waited_for(queue: Queue, workers: Workers) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            HOLD_A_WRITE,
            str(workers.database),
        ],
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


async def has_completed(queue: Queue, count: int) -> bool:
    return (await queue.counts()).completed >= count


async def has_completed_all(queue: Queue, workers: Workers, count: int) -> bool:
    workers.let_delays_pass()
    return await has_completed(queue, count)


async def is_delayed(queue: Queue, job_id: str) -> bool:
    record = await queue.get_job(job_id)
    return record is not None and record.state is JobState.DELAYED


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
