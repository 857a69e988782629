"""Limits: pausing, how many at once, how many in a time."""

from __future__ import annotations

import anyio
import pytest

from undercroft._core.clock import VirtualClock
from undercroft.queue._protocol import Engine
from undercroft.queue._values import Completed, Counts, QueueSettings, RateLimit
from undercroft.testing.conformance.queue._base import (
    LEASE_S,
    NewJobs,
    PassTime,
    Promises,
    claim,
    claim_one,
    complete,
    fetch,
    rescue,
    worker,
)


class LimitPromises(Promises):
    """Limits."""

    async def test_queue_has_no_limits_at_first(self, engine: Engine) -> None:
        assert await engine.settings("default") == QueueSettings()

    async def test_settings_are_stored_for_one_queue(self, engine: Engine) -> None:
        limits = QueueSettings(is_paused=True, max_active=3, rate=RateLimit(max=5, per_s=2.5))

        await engine.configure("mail", limits)

        assert await engine.settings("mail") == limits
        assert await engine.settings("default") == QueueSettings()
        await engine.configure("mail", QueueSettings())
        assert await engine.settings("mail") == QueueSettings()

    async def test_paused_queue_hands_out_nothing_and_takes_on(self, engine: Engine, jobs: NewJobs) -> None:
        first, second = jobs(), jobs()
        async with worker(engine) as me:
            await engine.add([first])
            await engine.configure("default", QueueSettings(is_paused=True))
            await engine.add([second])

            assert await claim(engine, me) == ()
            assert await engine.counts() == Counts(waiting=2)
            await engine.configure("default", QueueSettings())
            assert [job.id for job in await claim(engine, me)] == [first.id, second.id]

    async def test_delayed_job_of_a_paused_queue_stays(
        self, engine: Engine, jobs: NewJobs, pass_time: PassTime
    ) -> None:
        async with worker(engine) as me:
            await engine.configure("default", QueueSettings(is_paused=True))
            await engine.add([jobs.later(5)])
            await pass_time(10)

            assert await claim(engine, me) == ()
            await engine.configure("default", QueueSettings())
            assert len(await claim(engine, me)) == 1

    async def test_active_jobs_of_a_paused_queue_go_on(self, engine: Engine, jobs: NewJobs) -> None:
        async with worker(engine) as me:
            await engine.add([jobs()])
            job = await claim_one(engine, me)
            await engine.configure("default", QueueSettings(is_paused=True))

            assert (await engine.beat(me, [job], lease_s=LEASE_S)).lost == ()
            await complete(engine, job)

    async def test_pausing_one_queue_leaves_the_others(self, engine: Engine, jobs: NewJobs) -> None:
        mail = jobs(queue="mail")
        await engine.add([jobs(), mail])
        await engine.configure("default", QueueSettings(is_paused=True))

        async with worker(engine, "default", "mail") as me:
            claimed = await claim(engine, me, queues=("default", "mail"))

        assert [job.id for job in claimed] == [mail.id]

    async def test_no_more_jobs_are_active_than_allowed(self, engine: Engine, jobs: NewJobs) -> None:
        await engine.configure("default", QueueSettings(max_active=2))
        await engine.add([jobs() for _ in range(5)])
        async with worker(engine) as me, worker(engine) as other:
            held = [*await claim(engine, me, limit=1), *await claim(engine, other)]

            assert len(held) == 2
            assert await claim(engine, me) == ()
            await complete(engine, held[0])
            assert len(await claim(engine, me)) == 1

    async def test_released_and_rescued_jobs_make_room(self, engine: Engine, jobs: NewJobs) -> None:
        await engine.configure("default", QueueSettings(max_active=1))
        await engine.add([jobs()])
        async with worker(engine) as survivor:
            async with worker(engine) as me:
                await engine.release([await claim_one(engine, me)])
                await claim_one(engine, me)
                assert await claim(engine, survivor) == ()
            assert len(await rescue(engine)) == 1

            assert len(await claim(engine, survivor)) == 1

    async def test_many_contenders_keep_to_the_limit(self, engine: Engine, jobs: NewJobs) -> None:
        await engine.configure("default", QueueSettings(max_active=7))
        await engine.add([jobs() for _ in range(60)])
        got: list[str] = []

        async def contend(me: str) -> None:
            got.extend(job.id for job in await claim(engine, me, limit=2))

        async with worker(engine) as me:
            async with anyio.create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(contend, me)

            assert (await engine.counts()).active == 7
        assert len(got) == len(set(got)) == 7

    async def test_limit_that_is_lifted_holds_no_longer(self, engine: Engine, jobs: NewJobs) -> None:
        await engine.configure("default", QueueSettings(max_active=1))
        await engine.add([jobs() for _ in range(3)])
        async with worker(engine) as me:
            assert len(await claim(engine, me)) == 1

            await engine.configure("default", QueueSettings())

            assert len(await claim(engine, me)) == 2

    async def test_no_more_runs_begin_in_a_time_than_allowed(
        self, engine: Engine, jobs: NewJobs, pass_time: PassTime
    ) -> None:
        await engine.configure("default", QueueSettings(rate=RateLimit(max=3, per_s=10)))
        await engine.add([jobs() for _ in range(10)])
        begun = []
        async with worker(engine) as me:
            for _ in range(4):
                begun.append(len([job for _ in range(5) for job in await claim(engine, me, limit=2)]))
                await pass_time(10.1)

        assert begun == [3, 3, 3, 1]

    async def test_time_of_a_rate_limit_is_counted_from_the_first_run(
        self, engine: Engine, jobs: NewJobs, clock: VirtualClock, pass_time: PassTime
    ) -> None:
        await engine.configure("default", QueueSettings(rate=RateLimit(max=2, per_s=10)))
        await engine.add([jobs() for _ in range(6)])
        async with worker(engine) as me:
            assert len(await claim(engine, me, limit=1)) == 1
            await pass_time(7)
            assert len(await claim(engine, me)) == 1
            await pass_time(2)
            found = await engine.claim(queues=["default"], names=["job"], limit=5, worker_id=me, lease_s=LEASE_S)
            assert found.jobs == ()
            assert found.next_due_at == pytest.approx(clock.time() + 1, abs=0.2)
            await pass_time(1.2)
            assert len(await claim(engine, me)) == 2

    async def test_fetched_runs_count_towards_the_rate_limit(self, engine: Engine, jobs: NewJobs) -> None:
        await engine.configure("default", QueueSettings(rate=RateLimit(max=2, per_s=10)))
        await engine.add([jobs() for _ in range(3)])
        async with worker(engine) as me:
            first = await engine.finish(await claim_one(engine, me), Completed(result=b"1"), fetch=fetch(me))
            assert first.next is not None

            assert (await engine.finish(first.next, Completed(result=b"1"), fetch=fetch(me))).next is None
            assert await claim(engine, me) == ()
        assert await engine.counts() == Counts(waiting=1, completed=2)

    async def test_rate_limit_holds_up_its_queue_only(self, engine: Engine, jobs: NewJobs) -> None:
        await engine.configure("default", QueueSettings(rate=RateLimit(max=1, per_s=10)))
        await engine.add([jobs(), jobs(), jobs(queue="mail"), jobs(queue="mail")])

        async with worker(engine, "default", "mail") as me:
            claimed = await claim(engine, me, queues=("default", "mail"))

        assert [job.queue for job in claimed] == ["default", "mail", "mail"]
