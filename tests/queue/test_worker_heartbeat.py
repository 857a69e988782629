"""The heartbeat: from a thread where the engine can, in the loop where it cannot; and the watch over the loop."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import anyio
import pytest

from undercroft._core.clock import VirtualClock
from undercroft.queue import JobLostError, JobState, Queue, QueueUnavailableError, current_job, define_job
from undercroft.queue._values import Beat, ClaimedJob
from undercroft.queue._worker._worker import Worker
from undercroft.queue.memory import MemoryQueue

pytestmark = pytest.mark.anyio


class FakePulse:
    """Notes each beat; answers what it is told to."""

    def __init__(self) -> None:
        self.beats: list[tuple[int, int]] = []
        self.answer: Callable[[Sequence[ClaimedJob]], Beat] = lambda jobs: Beat()
        self.closed_by: int | None = None

    def beat(self, jobs: Sequence[ClaimedJob], *, lease_s: float) -> Beat:
        self.beats.append((threading.get_ident(), len(jobs)))
        return self.answer(jobs)

    def close(self) -> None:
        self.closed_by = threading.get_ident()


class Pulsing(MemoryQueue):
    def __init__(self) -> None:
        super().__init__()
        self.fake = FakePulse()

    def pulse(self, worker_id: str) -> Any:
        return self.fake


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    with anyio.fail_after(seconds):
        while not condition():
            await anyio.sleep(0.01)


@pytest.fixture
def engine() -> Pulsing:
    return Pulsing()


async def test_heartbeat_comes_from_one_other_thread_which_closes_its_connection(engine: Pulsing) -> None:
    job = define_job(name="x", handler=anyio.sleep_forever)
    async with Queue(engine, [job]) as queue:
        await queue.enqueue(job)
        worker = queue.worker(lease=0.15)
        async with worker:
            await until(lambda: any(held == 1 for _, held in engine.fake.beats))
            await worker.stop(grace=0)

    (thread,) = {thread for thread, _ in engine.fake.beats}
    assert thread != threading.get_ident()
    assert engine.fake.closed_by == thread


async def test_heartbeat_goes_on_while_the_loop_is_blocked(engine: Pulsing) -> None:
    async def blocks() -> int:
        before = len(engine.fake.beats)
        time.sleep(0.5)
        return len(engine.fake.beats) - before

    job = define_job(name="x", handler=blocks)
    async with Queue(engine, [job]) as queue:
        handle = await queue.enqueue(job)
        async with queue.worker(lease=0.15):
            assert await handle.result("5s") >= 5


async def test_blocked_loop_is_named_once_with_its_job_and_its_line(
    engine: Pulsing, caplog: pytest.LogCaptureFixture
) -> None:
    async def blocks() -> None:
        time.sleep(3)

    blocking = define_job(name="blocks", handler=blocks)
    innocent = define_job(name="innocent", handler=anyio.sleep_forever)
    async with Queue(engine, [blocking, innocent]) as queue:
        with caplog.at_level(logging.INFO, logger="undercroft.queue"):
            await queue.enqueue(innocent)
            handle = await queue.enqueue(blocking)
            async with queue.worker(grace=0) as worker:
                await handle.result("10s")
                assert worker.health().loop_lag_s > 2
                assert "event loop was blocked" in worker.health().problems[0]
                await until(lambda: "event loop runs again" in caplog.text)

    (line,) = [record for record in caplog.records if "event loop is blocked" in record.getMessage()]
    assert line.__dict__["jobs"] == f"blocks {handle.id}"
    assert "test_worker_heartbeat.py" in line.__dict__["at"]
    assert line.__dict__["at"].endswith(" blocks")
    assert 2 < line.__dict__["blocked_s"] < 3


@pytest.mark.parametrize("how", ["lost", "cancelled"])
async def test_what_the_thread_hears_reaches_the_run(engine: Pulsing, how: str) -> None:
    ended: list[str] = []

    async def handler() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("cancelled")

    job = define_job(name="x", handler=handler, options={"timeout": None})
    async with Queue(engine, [job]) as queue:
        handle = await queue.enqueue(job)
        engine.fake.answer = lambda jobs: Beat(**{how: tuple(jobs)})  # type: ignore[arg-type]
        async with queue.worker(lease=0.15) as worker:
            await until(lambda: worker.runs == 1)
        state = await handle.state()

    assert ended == ["cancelled"]
    assert state is (JobState.FAILED if how == "cancelled" else JobState.ACTIVE)


async def test_heartbeat_survives_a_store_that_is_away_and_health_says_so(
    engine: Pulsing, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(jobs: Sequence[ClaimedJob]) -> Beat:
        raise QueueUnavailableError("connection refused")

    engine.fake.answer = refuse
    job = define_job(name="x", handler=lambda: None)
    async with Queue(engine, [job]) as queue, queue.worker(lease=0.15) as worker:
        await until(lambda: len(engine.fake.beats) > 3)
        failing_since = worker._heartbeat.failing_since
        assert failing_since is not None
        worker._heartbeat.failing_since = failing_since - 6
        assert "no heartbeat has got through" in worker.health().problems[0]
        engine.fake.answer = lambda jobs: Beat()
        await until(lambda: worker.health().is_ok)

    assert caplog.text.count("heartbeat does not get through") == 1


async def test_idle_worker_with_a_thread_stops_within_a_tenth_of_a_second(engine: Pulsing) -> None:
    job = define_job(name="x", handler=lambda: None)
    async with Queue(engine, [job]) as queue, anyio.create_task_group() as group:
        worker = queue.worker()
        group.start_soon(worker.run)
        await until(lambda: engine.fake.beats)
        with anyio.fail_after(0.1):
            await worker.stop()


async def test_beat_in_the_loop_goes_by_the_workers_clock() -> None:
    clock = VirtualClock()
    beats: list[float] = []

    class Beating(MemoryQueue):
        async def beat(self, *args: Any, **kwargs: Any) -> Beat:
            beats.append(clock.time())
            return await super().beat(*args, **kwargs)

    job = define_job(name="x", handler=anyio.sleep_forever, options={"timeout": None})
    async with Queue(Beating(clock=clock), [job], clock=clock) as queue:
        handle = await queue.enqueue(job)
        async with queue.worker(grace=0):
            await clock.advance(60)  # past its lease
            record = await handle.info()

    assert 60 <= len(beats) <= 67
    assert record is not None
    assert (record.state, record.crashes) == (JobState.ACTIVE, 0)


async def test_heartbeat_of_a_lost_job_raises_and_ends_the_run() -> None:
    clock = VirtualClock()
    raised: list[BaseException] = []

    async def handler() -> None:
        if raised:
            return
        clock._now += 31  # the process was stopped past its lease
        await engine.rescue(queues=["default"], max_crashes=3, again_after_s=1)
        try:
            await current_job().heartbeat()
        except JobLostError as exc:
            raised.append(exc)
            raise

    job = define_job(name="x", handler=handler)
    engine = MemoryQueue(clock=clock)
    async with Queue(engine, [job], clock=clock) as queue:
        handle = await queue.enqueue(job)
        with anyio.fail_after(5):
            await Worker(engine, {"x": job}, clock=clock).drain()
        record = await handle.info()

    assert isinstance(raised[0], JobLostError)
    assert raised[0].job_id == handle.id
    assert record is not None
    assert (record.state, record.failures, record.crashes) == (JobState.COMPLETED, 0, 1)
