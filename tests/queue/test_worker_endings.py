"""How a run ends: what its handler says, what ends it from outside, and what follows a failure."""

import asyncio
from contextvars import ContextVar
from typing import Any

import anyio
import msgspec
import pytest

from undercroft._core.clock import VirtualClock
from undercroft.queue import Discard, Job, JobState, Queue, RetryLater, Unrecoverable, define_job
from undercroft.queue._values import Doom
from undercroft.queue.memory import MemoryQueue

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


def opened(clock: VirtualClock, *jobs: Job[..., Any]) -> Queue:
    return Queue(MemoryQueue(clock=clock), jobs, clock=clock)


async def ends_as(clock: VirtualClock, error: BaseException, **options: Any) -> Any:
    """Run a job that raises `error`, and return it as it is stored then."""

    async def handler() -> None:
        raise error

    job = define_job(name="x", handler=handler, options=options)  # type: ignore[arg-type]
    async with opened(clock, job) as queue:
        handle = await queue.enqueue(job)
        await queue.worker().drain()
        record = await handle.info()
        assert record is not None
        return record, await queue._engine.logs(handle.id)


async def test_retry_later_postpones_without_counting_the_run(clock: VirtualClock) -> None:
    record, _ = await ends_as(clock, RetryLater("90s"), attempts=1)

    assert (record.state, record.failures, record.crashes) == (JobState.DELAYED, 0, 0)
    assert record.due_at.timestamp() - clock.time() == 90


async def test_unrecoverable_fails_at_once_with_attempts_left(clock: VirtualClock) -> None:
    record, _ = await ends_as(clock, Unrecoverable("the account is closed"), attempts=9)

    assert (record.state, record.failures) == (JobState.FAILED, 1)
    assert (record.error_type, record.error) == ("Unrecoverable", "the account is closed")


async def test_discard_completes_with_a_line_in_the_log(clock: VirtualClock) -> None:
    record, logs = await ends_as(clock, Discard("sent already"))

    assert (record.state, record.result) == (JobState.COMPLETED, b"null")
    assert logs == ["discarded: sent already"]


async def test_failure_keeps_where_it_was_raised(clock: VirtualClock) -> None:
    record, _ = await ends_as(clock, ValueError("x"), attempts=1)

    assert "in handler" in (record.stack or "")


async def test_group_of_exits_is_a_failed_run(clock: VirtualClock) -> None:
    record, _ = await ends_as(clock, BaseExceptionGroup("several", [SystemExit(1)]), attempts=1)

    assert record.error_type == "BaseExceptionGroup"


async def test_handler_that_cancels_its_own_task_fails_and_the_next_job_runs(clock: VirtualClock) -> None:
    async def cancels(wait: bool) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        if wait:
            await anyio.sleep(0)

    async def works() -> str:
        await asyncio.sleep(0)
        return "done"

    bad = define_job(name="bad", handler=cancels, options={"attempts": 1})
    good = define_job(name="good", handler=works)
    async with opened(clock, bad, good) as queue:
        waits = await queue.enqueue(bad, wait=True)
        returns = await queue.enqueue(bad, wait=False)
        after = await queue.enqueue(good)
        await queue.worker(concurrency=1).drain()
        states = [await handle.state() for handle in (waits, returns, after)]

    assert states == [JobState.FAILED, JobState.COMPLETED, JobState.COMPLETED]


async def test_context_variables_of_a_run_end_with_it(clock: VirtualClock) -> None:
    tenant: ContextVar[str] = ContextVar("tenant", default="none")
    seen: list[str] = []

    async def handler(number: int) -> None:
        seen.append(tenant.get())
        tenant.set(f"tenant {number}")
        await asyncio.sleep(0)
        seen.append(tenant.get())
        async with anyio.create_task_group() as group:
            group.start_soon(look)

    async def look() -> None:
        seen.append(tenant.get())

    job = define_job(name="x", handler=handler)
    async with opened(clock, job) as queue:
        for number in (1, 2):
            await queue.enqueue(job, number)
        await queue.worker(concurrency=1).drain()

    assert seen == ["none", "tenant 1", "tenant 1", "none", "tenant 2", "tenant 2"]


async def timed_out(clock: VirtualClock, handler: Any, seconds: float = 5) -> Any:
    """Run `handler` with a timeout of 5 seconds until it has ended, and return its job."""
    job = define_job(name="x", handler=handler, options={"timeout": "5s", "attempts": 1})
    async with opened(clock, job) as queue:
        handle = await queue.enqueue(job)
        with anyio.fail_after(5):
            async with queue.worker():
                await clock.advance(seconds)
                while not (record := await handle.info()) or not record.state.is_final:
                    await clock.advance(0.1)
    return record


async def test_timeout_is_exact(clock: VirtualClock) -> None:
    started, ended = [], []

    async def handler() -> None:
        started.append(clock.time())
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(clock.time())

    record = await timed_out(clock, handler, 6)
    assert ended[0] - started[0] == 5
    assert record.error_type == "JobTimeoutError"


async def test_result_of_a_handler_that_swallows_its_timeout_is_kept(clock: VirtualClock) -> None:
    async def handler() -> str:
        try:
            await anyio.sleep_forever()
        except asyncio.CancelledError:
            return "half of it"

    record = await timed_out(clock, handler)
    assert (record.state, record.result) == (JobState.COMPLETED, b'"half of it"')


async def test_what_a_handler_raises_on_its_timeout_is_its_error(clock: VirtualClock) -> None:
    async def handler() -> None:
        try:
            await anyio.sleep_forever()
        except asyncio.CancelledError:
            raise ValueError("no time") from None

    record = await timed_out(clock, handler)
    assert record.error_type == "ValueError"


async def test_timeout_waits_for_a_shielded_part(clock: VirtualClock) -> None:
    done: list[str] = []

    async def handler() -> None:
        with anyio.CancelScope(shield=True):
            await clock.sleep(8)
            done.append("commit")
        await anyio.sleep_forever()

    record = await timed_out(clock, handler, 9)
    assert done == ["commit"]
    assert record.error_type == "JobTimeoutError"


async def test_run_after_a_timeout_in_the_same_slot_is_whole(clock: VirtualClock) -> None:
    async def handler(is_slow: bool) -> str:
        if is_slow:
            await anyio.sleep_forever()
        await asyncio.sleep(0)
        async with asyncio.timeout(60):
            await asyncio.sleep(0)
        return "whole"

    job = define_job(name="x", handler=handler, options={"timeout": "5s", "attempts": 1})
    async with opened(clock, job) as queue:
        await queue.enqueue(job, is_slow=True)
        after = await queue.enqueue(job, is_slow=False)
        with anyio.fail_after(5):
            async with queue.worker(concurrency=1):
                await clock.advance(6)
                while await after.state() is not JobState.COMPLETED:
                    await clock.advance(0.1)
        assert await after.result() == "whole"


async def test_cancelling_an_active_job_cancels_its_coroutine_and_fails_it(clock: VirtualClock) -> None:
    ended: list[str] = []

    async def handler() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("cleaned up")

    job = define_job(name="x", handler=handler, options={"timeout": None})
    async with opened(clock, job) as queue:
        handle = await queue.enqueue(job)
        with anyio.fail_after(5):
            async with queue.worker() as worker:
                while not worker.active:
                    await anyio.sleep(0)
                assert await queue._engine.cancel(handle.id)
                while await handle.state() is not JobState.FAILED:
                    await clock.advance(1)
        record = await handle.info()

    assert ended == ["cleaned up"]
    assert record is not None
    assert (record.error_type, record.error, record.failures) == ("Cancelled", "cancelled", 1)


async def test_doomed_job_fails_without_running(clock: VirtualClock) -> None:
    ran: list[int] = []
    job = define_job(name="x", handler=lambda: ran.append(1))
    async with opened(clock, job) as queue:
        handle = await queue.enqueue(job)
        await queue._engine.cancel(handle.id)
        assert await queue.worker().drain() == 0
        record = await handle.info()

    assert ran == []
    assert record is not None
    assert (record.state, record.error_type) == (JobState.FAILED, "Cancelled")


@pytest.mark.parametrize("is_doomed", [False, True])
async def test_final_failure_enqueues_the_job_that_was_asked_for(clock: VirtualClock, is_doomed: bool) -> None:
    told: list[dict[str, Any]] = []

    async def broken(number: int) -> None:
        raise ValueError("broken")

    async def tell(
        job_id: str, name: str, queue: str, error_type: str, error: str, attempts: int, data: dict[str, Any]
    ) -> None:
        told.append({"job_id": job_id, "name": name, "error_type": error_type, "attempts": attempts, "data": data})

    teller = define_job(name="tell", handler=tell, options={"queue": "operators"})
    job = define_job(name="x", handler=broken, options={"attempts": 2, "backoff": 1, "on_failure": teller})
    async with opened(clock, job, teller) as queue:
        handle = await queue.enqueue(job, 7)
        if is_doomed:
            await queue._engine.cancel(handle.id)
        await queue.worker().drain()
        if not is_doomed:
            assert told == []  # it will be tried again
            await clock.advance(1)
            await queue.worker().drain()
        (stored,) = await queue.list_jobs(name="tell")

    error_type = "Cancelled" if is_doomed else "ValueError"
    attempts = 1 if is_doomed else 2
    assert told == [
        {"job_id": handle.id, "name": "x", "error_type": error_type, "attempts": attempts, "data": {"number": 7}}
    ]
    assert stored.id.startswith(f"{handle.id}-failed-")
    assert (stored.queue, stored.state) == ("operators", JobState.COMPLETED)


async def test_job_that_is_retried_and_fails_again_tells_again(clock: VirtualClock) -> None:
    async def broken() -> None:
        raise ValueError("broken")

    told: list[str] = []

    async def tell(job_id: str, name: str, queue: str, error_type: str, error: str, attempts: int, data: Any) -> None:
        told.append(job_id)

    teller = define_job(name="tell", handler=tell)
    job = define_job(name="x", handler=broken, options={"attempts": 1, "on_failure": teller})
    async with opened(clock, job, teller) as queue:
        handle = await queue.enqueue(job)
        await queue.worker().drain()
        await handle.retry()
        await queue.worker().drain()

    assert told == [handle.id, handle.id]


async def test_failure_job_that_is_not_known_here_waits_in_the_same_queue(clock: VirtualClock) -> None:
    async def broken() -> None:
        raise ValueError("broken")

    teller = define_job(name="tell", handler=broken, options={"queue": "operators"})
    job = define_job(name="x", handler=broken, options={"attempts": 1, "queue": "mail", "on_failure": teller})
    async with opened(clock, job, teller) as queue:
        await queue.enqueue(job)
        await queue.worker([job]).drain()
        (stored,) = await queue.list_jobs(name="tell")

    assert (stored.name, stored.queue, stored.state.is_final) == ("tell", "mail", False)


async def test_foreign_job_has_the_timeout_of_the_definition(clock: VirtualClock) -> None:
    class Foreign(MemoryQueue):
        async def claim(self, **kwargs: Any) -> Any:
            claim = await super().claim(**kwargs)
            jobs = tuple(msgspec.structs.replace(job, is_foreign=True, timeout_s=None) for job in claim.jobs)
            return msgspec.structs.replace(claim, jobs=jobs)

    job = define_job(name="x", handler=anyio.sleep_forever, options={"timeout": "3s", "attempts": 1})
    async with Queue(Foreign(clock=clock), [job], clock=clock) as queue:
        handle = await queue.enqueue(job)
        with anyio.fail_after(5):
            async with queue.worker():
                await clock.advance(3)
                while await handle.state() is not JobState.FAILED:
                    await clock.advance(0.1)
        record = await handle.info()

    assert record is not None
    assert record.error_type == "JobTimeoutError"


async def test_doom_of_the_engine_is_what_is_recorded(clock: VirtualClock) -> None:
    class Dooming(MemoryQueue):
        async def claim(self, **kwargs: Any) -> Any:
            claim = await super().claim(**kwargs)
            doom = Doom(error_type="WorkerDied", error="quarantined")
            return msgspec.structs.replace(
                claim, jobs=tuple(msgspec.structs.replace(job, doom=doom) for job in claim.jobs)
            )

    job = define_job(name="x", handler=lambda: None)
    async with Queue(Dooming(clock=clock), [job], clock=clock) as queue:
        handle = await queue.enqueue(job)
        await queue.worker().drain()
        record = await handle.info()

    assert record is not None
    assert (record.state, record.error_type, record.error) == (JobState.FAILED, "WorkerDied", "quarantined")
