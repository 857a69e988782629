"""What a worker does with jobs: run, retry, time out, give back, survive."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import pairwise
from typing import Any

import anyio
import pytest

from undercroft._core.clock import VirtualClock
from undercroft._core.context import Correlation, correlate, correlation
from undercroft._core.errors import NotOpenError, UndercroftError
from undercroft.queue import (
    Backoff,
    Job,
    JobFailedError,
    JobState,
    NotInJobError,
    Queue,
    QueueUnavailableError,
    ResultTimeoutError,
    current_job,
    define_job,
)
from undercroft.queue.memory import MemoryQueue

pytestmark = pytest.mark.anyio
Open = Callable[..., Any]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@asynccontextmanager
async def opened(*jobs: Job[..., Any], engine: Any = None, clock: VirtualClock | None = None) -> AsyncIterator[Queue]:
    async with Queue(engine or MemoryQueue(clock=clock), jobs, clock=clock) as queue:
        yield queue


async def test_drain_runs_what_is_due_and_what_it_adds() -> None:
    ran: list[int] = []

    async def count_down(number: int) -> None:
        ran.append(number)
        if number:
            await queue.enqueue(counting, number - 1)

    counting = define_job(name="count", handler=count_down)
    async with opened(counting) as queue:
        await queue.enqueue(counting, 3)
        assert await queue.worker().drain() == 4

    assert ran == [3, 2, 1, 0]


async def test_plain_function_runs_in_a_thread_with_the_context() -> None:
    seen: list[tuple[int, str | None]] = []
    define = define_job(name="plain", handler=lambda: seen.append((current_job().attempt, correlation().request_id)))
    async with opened(define) as queue:
        with correlate(Correlation(request_id="r-9")):
            await queue.enqueue(define)
        await queue.worker().drain()

    assert seen == [(1, "r-9")]


async def test_job_sees_its_own_run() -> None:
    async def look() -> list[Any]:
        context = current_job()
        return [context.name, context.queue, context.attempt, context.attempts, context.id == correlation().job_id]

    looking = define_job(name="look", handler=look, options={"attempts": 5, "queue": "eyes"})
    async with opened(looking) as queue:
        handle = await queue.enqueue(looking)
        await queue.worker().drain()
        assert await handle.result() == ["look", "eyes", 1, 5, True]


def test_current_job_outside_of_one_is_an_error() -> None:
    with pytest.raises(NotInJobError):
        current_job()


async def test_failed_job_is_retried_with_backoff_until_it_succeeds(clock: VirtualClock) -> None:
    at: list[float] = []

    async def flaky() -> str:
        at.append(clock.time())
        if len(at) < 3:
            raise ConnectionError("no route to host")
        return "sent"

    job = define_job(
        name="flaky", handler=flaky, options={"retries": 3, "backoff": Backoff.exponential("10s", jitter=False)}
    )
    async with opened(job, clock=clock) as queue:
        handle = await queue.enqueue(job)
        for _ in range(3):
            await queue.worker().drain()
            await clock.advance(20)

        record = await handle.info()
    assert [round(b - a) for a, b in pairwise(at)] == [20, 20]
    assert record is not None
    assert (record.state, record.failures, record.result) == (JobState.COMPLETED, 2, b'"sent"')


async def test_job_fails_for_good_after_its_attempts(clock: VirtualClock) -> None:
    async def broken() -> None:
        raise ValueError("wrong number")

    job = define_job(name="broken", handler=broken, options={"attempts": 2, "backoff": 1})
    async with opened(job, clock=clock) as queue:
        handle = await queue.enqueue(job)
        assert await queue.worker().drain() == 1
        await clock.advance(1)
        assert await queue.worker().drain() == 1
        with pytest.raises(JobFailedError, match="wrong number") as caught:
            await handle.result()

    assert caught.value.error_type == "ValueError"


async def test_backoff_function_of_the_definition_is_asked(clock: VirtualClock) -> None:
    async def broken() -> None:
        raise OSError("x")

    def slower(failures: int, error: Exception) -> timedelta:
        assert isinstance(error, OSError)
        return timedelta(minutes=failures)

    job = define_job(name="broken", handler=broken, options={"backoff": slower})
    async with opened(job, clock=clock) as queue:
        handle = await queue.enqueue(job)
        await queue.worker().drain()
        record = await handle.info()

    assert record is not None
    assert record.due_at.timestamp() - clock.time() == 60


async def test_backoff_function_that_fails_does_not_take_the_worker_down(clock: VirtualClock) -> None:
    async def broken() -> None:
        raise OSError("x")

    def bad(failures: int, error: Exception) -> float:
        raise ZeroDivisionError

    job = define_job(name="broken", handler=broken, options={"backoff": bad})
    async with opened(job, clock=clock) as queue:
        handle = await queue.enqueue(job)
        await queue.worker().drain()
        record = await handle.info()

    assert record is not None
    assert record.failures == 1
    assert 0 <= record.due_at.timestamp() - clock.time() <= 1


async def test_error_that_asks_for_a_later_retry_gets_it(clock: VirtualClock) -> None:
    async def limited() -> None:
        raise UndercroftError("slow down", retry_after=500)

    job = define_job(name="limited", handler=limited, options={"backoff": 1})
    async with opened(job, clock=clock) as queue:
        handle = await queue.enqueue(job)
        await queue.worker().drain()
        record = await handle.info()

    assert record is not None
    assert record.due_at.timestamp() - clock.time() == 500


async def test_job_that_takes_too_long_is_cancelled_and_retried(clock: VirtualClock) -> None:
    cancelled: list[bool] = []

    async def slow() -> None:
        try:
            await clock.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    job = define_job(name="slow", handler=slow, options={"timeout": "5s", "attempts": 2, "backoff": 1})
    async with opened(job, clock=clock) as queue:
        handle = await queue.enqueue(job)
        async with queue.worker():
            await until(lambda: bool(clock._timers), clock)
            await clock.advance(5)
            await until_async(lambda: not_active(handle), clock)
        record = await handle.info()

    assert cancelled
    assert record is not None
    assert (record.error_type, record.failures) == ("JobTimeoutError", 1)
    assert "5s" in (record.error or "")


@pytest.mark.parametrize("error", [SystemExit(1), asyncio.CancelledError(), RecursionError()])
async def test_whatever_a_handler_raises_is_a_failed_run(error: BaseException) -> None:
    async def odd() -> None:
        raise error

    job = define_job(name="odd", handler=odd, options={"attempts": 1})
    async with opened(job) as queue:
        handle = await queue.enqueue(job)
        with anyio.fail_after(10):
            await queue.worker().drain()
        assert await handle.state() is JobState.FAILED


async def test_stored_data_that_does_not_fit_any_more_fails_at_once() -> None:
    async def old(number: int) -> None: ...

    async def new(number: int, unit: str) -> None: ...

    engine = MemoryQueue()
    async with opened(define_job(name="x", handler=old), engine=engine) as queue:
        handle = await queue.enqueue("x", {"number": 1})
    async with opened(define_job(name="x", handler=new), engine=engine) as queue:
        await queue.worker().drain()
        record = await queue.get_job(handle.id)

    assert record is not None
    assert (record.state, record.failures) == (JobState.FAILED, 1)
    assert "unit" in (record.error or "")


async def test_result_that_is_not_json_does_not_fail_the_job(caplog: pytest.LogCaptureFixture) -> None:
    async def odd() -> object:
        return object()

    job = define_job(name="odd", handler=odd)
    async with opened(job) as queue:
        handle = await queue.enqueue(job)
        with caplog.at_level(logging.WARNING):
            await queue.worker().drain()
        assert await handle.result() is None
    assert "not JSON" in caplog.text


async def test_unknown_job_is_parked_and_run_by_a_worker_that_knows_it() -> None:
    async def hello() -> str:
        return "hello"

    known = define_job(name="known", handler=hello)
    later = define_job(name="later", handler=hello)
    async with opened(known, later) as queue:
        handle = await queue.enqueue(later)
        with anyio.fail_after(10):
            async with queue.worker([known]):
                while (await queue.counts()).parked != 1:
                    await anyio.sleep(0.01)
            async with queue.worker([later]):
                assert await handle.result() == "hello"


async def test_concurrency_is_the_most_that_run_at_once() -> None:
    running, most = 0, 0
    gate = anyio.Event()

    async def count() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 3:
            gate.set()
        await gate.wait()
        await anyio.sleep(0)
        running -= 1

    job = define_job(name="count", handler=count)
    async with opened(job) as queue:
        for _ in range(20):
            await queue.enqueue(job)
        with anyio.fail_after(10):
            assert await queue.worker(concurrency=3).drain() == 20

    assert most == 3


async def test_stop_lets_a_running_job_finish() -> None:
    started, finish = anyio.Event(), anyio.Event()

    async def work() -> str:
        started.set()
        await finish.wait()
        return "done"

    job = define_job(name="work", handler=work)
    async with opened(job) as queue, anyio.create_task_group() as tasks:
        handle = await queue.enqueue(job)
        worker = queue.worker()
        tasks.start_soon(worker.run)
        await started.wait()
        tasks.start_soon(worker.stop)
        await queue.enqueue(job)
        finish.set()
        assert await handle.result("5s") == "done"

        with anyio.fail_after(5):
            await worker.stop()
        assert (await queue.counts()).waiting == 1


async def test_job_that_outlasts_the_grace_is_given_back_uncounted() -> None:
    started = anyio.Event()

    async def endless() -> None:
        started.set()
        await anyio.sleep_forever()

    job = define_job(name="endless", handler=endless)
    async with opened(job) as queue:
        handle = await queue.enqueue(job)
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                worker = queue.worker(grace=0.05)
                tasks.start_soon(worker.run)
                await started.wait()
                await worker.stop()
        record = await handle.info()

    assert record is not None
    assert (record.state, record.failures, record.crashes) == (JobState.WAITING, 0, 0)


async def test_block_whose_end_runs_out_of_time_gives_its_jobs_back() -> None:
    started = anyio.Event()

    async def endless() -> None:
        started.set()
        await anyio.sleep_forever()

    job = define_job(name="endless", handler=endless, options={"timeout": None})
    async with opened(job) as queue:
        handle = await queue.enqueue(job)
        worker = queue.worker(grace="1h")
        await worker.__aenter__()
        await started.wait()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await worker.__aexit__(None, None, None)
        record = await handle.info()

    assert not worker.is_running
    assert record is not None
    assert (record.state, record.failures, record.crashes) == (JobState.WAITING, 0, 0)


async def test_second_stop_cuts_the_grace_short() -> None:
    started = anyio.Event()

    async def endless() -> None:
        started.set()
        await anyio.sleep_forever()

    job = define_job(name="endless", handler=endless)
    async with opened(job) as queue:
        await queue.enqueue(job)
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                worker = queue.worker(grace="1h")
                tasks.start_soon(worker.run)
                await started.wait()
                tasks.start_soon(worker.stop)
                await anyio.sleep(0)
                await worker.stop(grace=0)
        assert (await queue.counts()).waiting == 1


@pytest.mark.parametrize("native", [True, False])
async def test_cancelling_the_worker_gives_its_jobs_back(native: bool) -> None:
    started = anyio.Event()

    async def endless() -> None:
        started.set()
        await anyio.sleep_forever()

    job = define_job(name="endless", handler=endless)
    async with opened(job) as queue:
        await queue.enqueue(job)
        with anyio.fail_after(10):
            if native:
                task = asyncio.create_task(queue.worker().run())
                await started.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            else:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(queue.worker().run)
                    await started.wait()
                    tasks.cancel_scope.cancel()
        assert (await queue.counts()).waiting == 1


async def test_idle_worker_stops_within_a_tenth_of_a_second() -> None:
    async with opened(define_job(name="x", handler=lambda: None)) as queue:
        worker = queue.worker()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            while not worker.is_running:
                await anyio.sleep(0)
            await queue._engine.ping()
            with anyio.fail_after(0.1):
                await worker.stop()


async def test_worker_that_is_stopped_before_it_runs_does_nothing() -> None:
    job = define_job(name="x", handler=lambda: None)
    async with opened(job) as queue:
        await queue.enqueue(job)
        worker = queue.worker()
        await worker.stop()
        await worker.run()
        assert (await queue.counts()).waiting == 1


async def test_worker_has_one_life() -> None:
    async with opened(define_job(name="x", handler=lambda: None)) as queue:
        worker = queue.worker()
        await worker.drain()
        with pytest.raises(NotOpenError, match="one life"):
            await worker.run()


async def test_run_that_lost_its_job_is_cancelled_and_its_outcome_dropped(clock: VirtualClock) -> None:
    started = anyio.Event()
    ended: list[str] = []

    async def slow() -> None:
        if started.is_set():
            return
        started.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("cancelled")

    job = define_job(name="slow", handler=slow, options={"timeout": None})
    async with opened(job, clock=clock) as queue:
        handle = await queue.enqueue(job)
        with anyio.fail_after(10):
            async with queue.worker(lease="30s"):
                await started.wait()
                clock._now += 31  # this process was stopped past its lease: nothing in it ran meanwhile
                (rescued,) = await queue._engine.rescue(queues=["default"], max_crashes=3, again_after_s=10)
                assert rescued.id == handle.id
                await clock.advance(10)
                await until(lambda: bool(ended), clock)
                await until_async(lambda: is_completed(handle), clock)
        record = await handle.info()

    assert ended == ["cancelled"]
    assert record is not None
    assert (record.state, record.crashes) == (JobState.COMPLETED, 1)


async def test_result_gives_up_after_its_timeout() -> None:
    job = define_job(name="x", handler=lambda: None)
    async with opened(job) as queue:
        handle = await queue.enqueue(job)
        with pytest.raises(ResultTimeoutError, match="20ms"):
            await handle.result(timeout="20ms")


class Stuttering(MemoryQueue):
    """An engine whose store does not answer for a while."""

    refusals = 0

    async def claim(self, **kwargs: Any) -> Any:
        self._maybe_refuse()
        return await super().claim(**kwargs)

    async def finish(self, *args: Any, **kwargs: Any) -> Any:
        self._maybe_refuse()
        return await super().finish(*args, **kwargs)

    def _maybe_refuse(self) -> None:
        if self.refusals:
            self.refusals -= 1
            raise QueueUnavailableError("connection refused")


async def test_worker_outlives_a_store_that_is_away_and_runs_the_job_once() -> None:
    ran: list[int] = []
    job = define_job(name="x", handler=lambda: ran.append(1))
    engine = Stuttering()
    async with Queue(engine, [job]) as queue:
        handle = await queue.enqueue(job)
        engine.refusals = 2
        with anyio.fail_after(10):
            async with queue.worker():
                await handle.result()
    assert ran == [1]


async def test_outcome_is_recorded_when_the_store_is_back() -> None:
    engine = Stuttering()
    ran: list[int] = []

    def once() -> None:
        ran.append(1)
        engine.refusals = 2

    job = define_job(name="x", handler=once)
    async with Queue(engine, [job]) as queue:
        handle = await queue.enqueue(job)
        with anyio.fail_after(10):
            async with queue.worker():
                await handle.result()
    assert ran == [1]


# Helpers


async def until(condition: Callable[[], bool], clock: VirtualClock) -> None:
    with anyio.fail_after(5):
        while not condition():
            await anyio.sleep(0.001)


async def until_async(condition: Callable[[], Any], clock: VirtualClock) -> None:
    with anyio.fail_after(5):
        while not await condition():
            await clock.advance(0.1)


async def not_active(handle: Any) -> bool:
    return await handle.state() is not JobState.ACTIVE


async def is_completed(handle: Any) -> bool:
    return await handle.state() is JobState.COMPLETED
