"""Which jobs a worker takes, how many, and when it takes no more."""

from collections import Counter
from typing import Any

import anyio
import pytest

from undercroft._core.clock import VirtualClock
from undercroft.queue import JobDefinitionError, JobState, Queue, define_job
from undercroft.queue._worker import _worker as worker_module
from undercroft.queue._worker._draw import QueueDraw, to_weights
from undercroft.queue._worker._recycling import rss_bytes, to_bytes
from undercroft.queue._worker._worker import Worker
from undercroft.queue.memory import MemoryQueue

pytestmark = pytest.mark.anyio


class Watched(MemoryQueue):
    """Counts the calls that hand out jobs."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.calls: Counter[str] = Counter()

    async def claim(self, **kwargs: Any) -> Any:
        self.calls["claim"] += 1
        return await super().claim(**kwargs)

    async def finish(self, *args: Any, fetch: Any = None, **kwargs: Any) -> Any:
        self.calls["fetch" if fetch else "finish"] += 1
        return await super().finish(*args, fetch=fetch, **kwargs)


def test_draw_is_in_proportion_and_evenly_spread() -> None:
    draw = QueueDraw({"a": 3, "b": 1})

    assert "".join(draw.next() for _ in range(8)) == "aabaaaba"


def test_draw_that_was_put_back_comes_next() -> None:
    draw = QueueDraw({"a": 3, "b": 1})
    draw.put_back("b")

    assert draw.next() == "b"
    assert draw.order("b") == ("b", "a")


@pytest.mark.parametrize("queues", [[], "mail", {"mail": 0}, {"mail": 1.5}, ["a b"]])
def test_queues_that_are_not_valid_are_refused(queues: Any) -> None:
    with pytest.raises(JobDefinitionError):
        to_weights(queues)


async def test_weights_decide_how_many_jobs_come_from_each_queue() -> None:
    ran: list[str] = []
    jobs = [
        define_job(name=name, handler=lambda name=name: ran.append(name), options={"queue": name})
        for name in ("mail", "reports")
    ]
    async with Queue(MemoryQueue(), jobs) as queue:
        for job in jobs:
            for _ in range(40):
                await queue.enqueue(job)
        await Worker(
            queue._engine, {job.name: job for job in jobs}, queues={"mail": 3, "reports": 1}, concurrency=1
        ).drain()

    assert Counter(ran[:40]) == {"mail": 30, "reports": 10}
    assert len(ran) == 80


async def test_one_queue_is_drained_by_finishing_alone() -> None:
    engine = Watched()
    job = define_job(name="x", handler=noop)
    async with Queue(engine, [job]) as queue:
        for _ in range(100):
            await queue.enqueue(job)
        assert await queue.worker(concurrency=2).drain() == 100

    assert engine.calls["fetch"] == 100
    assert engine.calls["claim"] <= 4


async def test_worker_lets_others_run_while_it_drains() -> None:
    job = define_job(name="x", handler=noop)
    async with Queue(MemoryQueue(), [job]) as queue:
        for _ in range(2000):
            await queue.enqueue(job)
        async with queue.worker(concurrency=2) as worker:
            while not worker.runs:
                await anyio.sleep(0)
            seen = worker.runs
        assert 0 < seen < 1000
        assert (await queue.counts()).waiting > 0


async def test_job_that_is_fetched_while_stopping_is_released() -> None:
    class StopsInFinish(MemoryQueue):
        async def finish(self, *args: Any, **kwargs: Any) -> Any:
            finished = await super().finish(*args, **kwargs)
            worker._end("stopped")
            return finished

    job = define_job(name="x", handler=noop)
    async with Queue(StopsInFinish(), [job]) as queue:
        for _ in range(2):
            await queue.enqueue(job)
        worker = queue.worker(concurrency=1)
        await worker.run()
        counts = await queue.counts()
        (waiting,) = (await queue._engine.list_jobs(filter_of(JobState.WAITING), limit=9)).jobs

    assert (counts.completed, counts.waiting, counts.active) == (1, 1, 0)
    assert (waiting.failures, waiting.crashes) == (0, 0)


async def test_nothing_is_fetched_once_the_worker_stops() -> None:
    started, finish = anyio.Event(), anyio.Event()

    async def work() -> None:
        started.set()
        await finish.wait()

    engine = Watched()
    job = define_job(name="x", handler=work)
    async with Queue(engine, [job]) as queue, anyio.create_task_group() as group:
        await queue.enqueue(job)
        await queue.enqueue(job)
        worker = queue.worker(concurrency=1)
        group.start_soon(worker.run)
        await started.wait()
        group.start_soon(worker.stop)
        await anyio.sleep(0)
        finish.set()
        await worker.stop()

    assert (engine.calls["finish"], engine.calls["fetch"]) == (1, 0)


async def test_grace_runs_also_while_a_claim_gets_no_answer() -> None:
    answer, asked = anyio.Event(), anyio.Event()

    class Slow(MemoryQueue):
        async def claim(self, **kwargs: Any) -> Any:
            claim = await super().claim(**kwargs)
            if not claim.jobs:
                asked.set()
                await answer.wait()
            return claim

    job = define_job(name="x", handler=anyio.sleep_forever, options={"timeout": None})
    async with Queue(Slow(), [job]) as queue, anyio.create_task_group() as group:
        await queue.enqueue(job)
        worker = queue.worker(grace=0.05)
        group.start_soon(worker.run)
        with anyio.fail_after(5):
            await asked.wait()
            group.start_soon(worker.stop)
            while (await queue.counts()).waiting == 0:
                await anyio.sleep(0.01)
            assert worker.is_running
            answer.set()
            await worker.stop()


async def test_worker_ends_after_max_jobs() -> None:
    job = define_job(name="x", handler=noop)
    async with Queue(MemoryQueue(), [job]) as queue:
        for _ in range(20):
            await queue.enqueue(job)
        worker = Worker(queue._engine, {"x": job}, concurrency=4, max_jobs=7)
        with anyio.fail_after(5):
            await worker.run()
        counts = await queue.counts()

    assert (worker.runs, worker.exit_reason) == (7, "max_jobs")
    assert (counts.completed, counts.waiting, counts.active) == (7, 13, 0)


async def test_worker_ends_when_its_process_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = VirtualClock()
    started, finish = anyio.Event(), anyio.Event()

    async def work() -> str:
        started.set()
        await finish.wait()
        return "done"

    job = define_job(name="x", handler=work)
    async with Queue(MemoryQueue(clock=clock), [job], clock=clock) as queue, anyio.create_task_group() as group:
        handle = await queue.enqueue(job)
        worker = Worker(queue._engine, {"x": job}, max_rss="100GB", clock=clock)
        group.start_soon(worker.run)
        await started.wait()
        monkeypatch.setattr(worker_module, "rss_bytes", lambda: 101 * 1024**3)
        await clock.advance(1.2)
        assert worker.exit_reason == "max_rss"
        finish.set()

    assert await handle.state() is JobState.COMPLETED


@pytest.mark.parametrize(("size", "expected"), [(1000, 1000), ("512MB", 512 * 2**20), ("1.5 GiB", 1536 * 2**20)])
def test_sizes(size: Any, expected: int) -> None:
    assert to_bytes(size, name="max_rss") == expected


@pytest.mark.parametrize("size", [0, -1, True, "many", "", None, "0MB"])
def test_size_that_is_not_one_is_refused(size: Any) -> None:
    with pytest.raises(JobDefinitionError, match="max_rss"):
        to_bytes(size, name="max_rss")


def test_resident_memory_is_that_of_this_process() -> None:
    before = rss_bytes()
    ballast = b"x" * 64 * 2**20

    assert rss_bytes() - before > 50 * 2**20
    assert ballast


async def test_services_run_beside_the_jobs_and_again_when_they_fail() -> None:
    clock = VirtualClock()
    calls: list[int] = []

    async def service() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("broken")
        await anyio.sleep_forever()

    job = define_job(name="x", handler=noop)
    engine = MemoryQueue(clock=clock)
    async with engine, Worker(engine, {"x": job}, clock=clock, crons=[service]):
        await clock.advance(20)
    assert len(calls) == 2


async def test_drain_does_not_start_services() -> None:
    calls: list[int] = []

    async def service() -> None:
        calls.append(1)

    job = define_job(name="x", handler=noop)
    async with Queue(MemoryQueue(), [job]) as queue:
        await Worker(queue._engine, {"x": job}, crons=[service]).drain()
    assert calls == []


async def noop() -> None:
    pass


def filter_of(state: JobState) -> Any:
    from undercroft.queue._values import JobFilter

    return JobFilter(state=state)
