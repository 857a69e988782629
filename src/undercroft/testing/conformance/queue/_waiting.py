"""Waiting: for work, and for the end of a job."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import pytest

from undercroft._core.clock import VirtualClock
from undercroft.queue._protocol import Engine
from undercroft.queue._values import QueueSettings
from undercroft.testing.conformance.queue._base import (
    LEASE_S,
    NewJobs,
    PassTime,
    Promises,
    claim,
    claim_one,
    complete,
    fail,
    rescue,
    worker,
)

FOREVER = 3600.0


@asynccontextmanager
async def waking(wait: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Start to wait, run the block, and require that the wait is over soon after."""
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:

            async def waiting() -> None:
                await wait()

            tasks.start_soon(waiting)
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
            yield


def for_work(engine: Engine, *queues: str) -> Callable[[], Awaitable[None]]:
    """Wait for work that is not there now."""
    since = engine.changes
    return lambda: engine.wait_for_work([*(queues or ("default",))], since=since, timeout=FOREVER)


class WaitingPromises(Promises):
    """Waiting."""

    async def test_wait_for_work_ends_when_a_job_is_added(self, engine: Engine, jobs: NewJobs) -> None:
        before = engine.changes
        async with waking(for_work(engine)):
            await engine.add([jobs()])

        assert engine.changes > before

    async def test_wait_for_work_ends_when_a_job_of_any_of_its_queues_is_added(
        self, engine: Engine, jobs: NewJobs
    ) -> None:
        async with waking(for_work(engine, "default", "mail")):
            await engine.add([jobs(queue="mail")])

    async def test_change_before_the_wait_is_not_missed(self, engine: Engine, jobs: NewJobs) -> None:
        wait = for_work(engine)
        await engine.add([jobs()])

        with anyio.fail_after(10):
            await wait()

    async def test_wait_for_work_ends_when_a_job_is_released(self, engine: Engine, jobs: NewJobs) -> None:
        async with worker(engine) as me:
            await engine.add([jobs()])
            job = await claim_one(engine, me)

            async with waking(for_work(engine)):
                await engine.release([job])

    async def test_wait_for_work_ends_when_a_run_may_be_tried_again_at_once(
        self, engine: Engine, jobs: NewJobs, clock: VirtualClock
    ) -> None:
        async with worker(engine) as me:
            await engine.add([jobs()])
            job = await claim_one(engine, me)

            async with waking(for_work(engine)):
                await fail(engine, job, retry_at=clock.time())

    async def test_wait_for_work_ends_when_a_job_is_rescued(
        self, engine: Engine, jobs: NewJobs, pass_time: PassTime
    ) -> None:
        async with worker(engine) as me:
            await engine.add([jobs()])
            await claim_one(engine, me)
            await pass_time(LEASE_S + 1)

            async with waking(for_work(engine)):
                await rescue(engine)

    async def test_wait_for_work_ends_when_a_queue_is_resumed(self, engine: Engine, jobs: NewJobs) -> None:
        await engine.configure("default", QueueSettings(is_paused=True))
        await engine.add([jobs()])

        async with waking(for_work(engine)):
            await engine.configure("default", QueueSettings())

    async def test_wait_for_work_ends_when_a_job_is_promoted_or_retried(self, engine: Engine, jobs: NewJobs) -> None:
        delayed = jobs.later(60)
        async with worker(engine) as me:
            await engine.add([delayed])
            async with waking(for_work(engine)):
                await engine.promote(delayed.id)
            await fail(engine, await claim_one(engine, me))

            async with waking(for_work(engine)):
                await engine.retry(delayed.id)

    async def test_wait_for_work_ends_when_a_parent_is_unblocked(self, engine: Engine, jobs: NewJobs) -> None:
        parent, child = jobs.family({"queue": "mail"})
        async with worker(engine, "default", "mail") as me:
            await engine.add([parent, child])
            job = await claim_one(engine, me, queue="mail")

            async with waking(for_work(engine, "default")):
                await complete(engine, job)

    async def test_wait_for_work_ends_when_a_place_is_free(self, engine: Engine, jobs: NewJobs) -> None:
        await engine.configure("default", QueueSettings(max_active=1))
        async with worker(engine) as me:
            await engine.add([jobs(), jobs()])
            job = await claim_one(engine, me)

            async with waking(for_work(engine)):
                await complete(engine, job)

    async def test_wait_for_work_ends_after_its_time(self, engine: Engine, clock: VirtualClock) -> None:
        since = engine.changes
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:

                async def waiting() -> None:
                    await engine.wait_for_work(["default"], since=since, timeout=0.5)
                    tasks.cancel_scope.cancel()

                tasks.start_soon(waiting)
                while True:
                    await clock.advance(0.25)
                    await anyio.sleep(0.01)  # an engine may wait by its server's clock

    async def test_empty_claim_is_no_change(self, engine: Engine) -> None:
        async with worker(engine) as me:
            await claim(engine, me)
            seen = engine.changes
            await claim(engine, me)

        assert engine.changes == seen

    @pytest.mark.parametrize("is_failed", [False, True])
    async def test_wait_for_end_ends_with_the_job(self, engine: Engine, jobs: NewJobs, *, is_failed: bool) -> None:
        async with worker(engine) as me:
            await engine.add([jobs()])
            job = await claim_one(engine, me)

            async with waking(lambda: engine.wait_for_end(job.id, queue="default", timeout=FOREVER)):
                await (fail(engine, job) if is_failed else complete(engine, job))

    async def test_wait_for_the_end_of_a_finished_job_ends_at_once(self, engine: Engine, jobs: NewJobs) -> None:
        async with worker(engine) as me:
            await engine.add([jobs()])
            job = await claim_one(engine, me)
            await complete(engine, job)

        with anyio.fail_after(10):
            await engine.wait_for_end(job.id, queue="default", timeout=FOREVER)

    async def test_wait_for_the_end_of_a_removed_job_ends(self, engine: Engine, jobs: NewJobs) -> None:
        new = jobs()
        await engine.add([new])

        async with waking(lambda: engine.wait_for_end(new.id, queue="default", timeout=FOREVER)):
            await engine.remove(new.id)
        with anyio.fail_after(10):
            await engine.wait_for_end(new.id, queue="default", timeout=FOREVER)

    async def test_waits_can_be_cancelled(self, engine: Engine, jobs: NewJobs) -> None:
        new = jobs.later(60)
        await engine.add([new])
        with anyio.fail_after(10):
            for wait in (
                for_work(engine),
                lambda: engine.wait_for_end(new.id, queue="default", timeout=FOREVER),
            ):
                with anyio.move_on_after(0.05):
                    await wait()
            await engine.ping()
