"""What a worker says of itself, and the failure that shows nowhere else: it claims nothing while work waits."""

import logging
from typing import Any

import anyio
import pytest

from undercroft._core.clock import VirtualClock
from undercroft.queue import JobState, Queue, QueueSettings, QueueUnavailableError, define_job
from undercroft.queue._values import Claim
from undercroft.queue.memory import MemoryQueue

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


class Deaf(MemoryQueue):
    """An engine whose connection for claims is dead and does not say so."""

    is_deaf = True
    hangs = False

    async def claim(self, **kwargs: Any) -> Claim:
        if self.is_deaf and self.hangs:
            await anyio.sleep_forever()
        return Claim(jobs=(), next_due_at=None) if self.is_deaf else await super().claim(**kwargs)

    async def wait_for_work(self, *args: Any, **kwargs: Any) -> None:
        await anyio.sleep_forever()


async def test_health_of_a_worker_that_works(clock: VirtualClock) -> None:
    job = define_job(name="x", handler=anyio.sleep_forever, options={"timeout": None})
    async with Queue(MemoryQueue(clock=clock), [job], clock=clock) as queue:
        worker = queue.worker(grace=0)
        assert worker.health().problems == ("it does not run",)
        await queue.enqueue(job)
        async with worker:
            await clock.advance(1)
            health = worker.health()
        assert not worker.health().is_ok

    assert health.is_ok
    assert (health.active, health.runs) == (1, 0)
    assert health.last_claim_at is not None
    assert health.last_claim_at.timestamp() == clock.time() - 1
    assert health.rss_bytes > 10**6


@pytest.mark.parametrize("hangs", [False, True])
async def test_worker_that_claims_nothing_while_work_waits_says_so_and_heals(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture, hangs: bool
) -> None:
    engine = Deaf(clock=clock)
    engine.hangs = hangs
    job = define_job(name="x", handler=lambda: None)
    async with Queue(engine, [job], clock=clock) as queue:
        handle = await queue.enqueue(job)
        with anyio.fail_after(10), caplog.at_level(logging.ERROR):
            async with queue.worker() as worker:
                await clock.advance(9)
                assert worker.health().is_ok
                await clock.advance(17)
                assert "claims nothing, while work in queue 'default'" in worker.health().problems[0]
                engine.is_deaf = False
                while await handle.state() is not JobState.COMPLETED:
                    await clock.advance(1)
                await clock.advance(6)
                assert worker.health().is_ok

    assert caplog.text.count("claims nothing while work waits") == 1


@pytest.mark.parametrize("settings", [QueueSettings(is_paused=True), QueueSettings(max_active=1)])
async def test_work_that_is_meant_to_wait_is_no_problem(clock: VirtualClock, settings: QueueSettings) -> None:
    job = define_job(name="x", handler=lambda: None)
    engine = Deaf(clock=clock)
    async with Queue(engine, [job], clock=clock) as queue:
        await queue.enqueue(job)
        await engine.configure("default", settings)
        async with queue.worker() as worker:
            await clock.advance(30)
            assert worker.health().is_ok


async def test_store_that_does_not_answer_is_a_problem_until_it_does(clock: VirtualClock) -> None:
    class Away(MemoryQueue):
        is_away = True

        async def claim(self, **kwargs: Any) -> Claim:
            if self.is_away:
                raise QueueUnavailableError("connection refused")
            return await super().claim(**kwargs)

    engine = Away(clock=clock)
    job = define_job(name="x", handler=lambda: None)
    async with Queue(engine, [job], clock=clock) as queue, queue.worker() as worker:
        await clock.advance(8)
        assert "the queue has not answered" in worker.health().problems[0]
        engine.is_away = False
        await clock.advance(8)
        assert worker.health().is_ok


@pytest.mark.parametrize("method", ["rescue", "park_unknown", "prune"])
async def test_care_that_fails_is_tried_again(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    calls: list[int] = []

    async def broken(**_: Any) -> Any:
        calls.append(1)
        raise ZeroDivisionError

    engine = MemoryQueue(clock=clock)
    setattr(engine, method, broken)
    job = define_job(name="x", handler=lambda: None)
    async with Queue(engine, [job], clock=clock) as queue, queue.worker() as worker:
        await clock.advance(3.5)
        assert worker.is_running

    assert 3 <= len(calls) <= 5
    assert "queue care failed, will try again" in caplog.text


async def test_claims_that_fail_oddly_are_tried_again(clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> None:
    class Odd(MemoryQueue):
        failures = 2

        async def claim(self, **kwargs: Any) -> Claim:
            if self.failures:
                self.failures -= 1
                raise ZeroDivisionError
            return await super().claim(**kwargs)

    job = define_job(name="x", handler=lambda: None)
    async with Queue(Odd(clock=clock), [job], clock=clock) as queue:
        handle = await queue.enqueue(job)
        with anyio.fail_after(5):
            async with queue.worker():
                while await handle.state() is not JobState.COMPLETED:
                    await clock.advance(0.1)

    assert "claiming failed, will try again" in caplog.text
