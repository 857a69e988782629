"""Order: who comes first, and that nobody comes twice."""

from __future__ import annotations

import anyio

from undercroft.queue._protocol import Engine
from undercroft.testing.conformance.queue._base import NewJobs, PassTime, Promises, claim, complete, worker


class OrderPromises(Promises):
    """Order."""

    async def test_job_is_handed_out_once(self, engine: Engine, jobs: NewJobs) -> None:
        async with worker(engine) as me:
            await engine.add([jobs()])

            assert len(await claim(engine, me)) == 1
            assert await claim(engine, me) == ()

    async def test_hundred_contenders_get_each_job_once(self, engine: Engine, jobs: NewJobs) -> None:
        await engine.add([jobs() for _ in range(300)])
        got: list[str] = []

        async def contend(me: str) -> None:
            while found := await claim(engine, me, limit=2):
                got.extend(job.id for job in found)
                for job in found:
                    await complete(engine, job)

        async with worker(engine) as me, anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(contend, me)

        assert len(got) == 300
        assert len(set(got)) == 300
        assert (await engine.counts()).completed == 300

    async def test_most_urgent_first_then_in_order_of_adding(self, engine: Engine, jobs: NewJobs) -> None:
        new = [jobs(priority=5), jobs(priority=0), jobs(priority=5), jobs(priority=0), jobs(priority=1)]
        for job in new:
            await engine.add([job])

        async with worker(engine) as me:
            claimed = await claim(engine, me, limit=10)

        assert [job.id for job in claimed] == [new[i].id for i in (1, 3, 4, 0, 2)]

    async def test_order_within_one_call_of_add_is_kept(self, engine: Engine, jobs: NewJobs) -> None:
        new = [jobs(id=f"job-{number:03}") for number in (5, 3, 9, 1, 7)]
        await engine.add(new)

        async with worker(engine) as me:
            claimed = await claim(engine, me, limit=10)

        assert [job.id for job in claimed] == [job.id for job in new]

    async def test_last_lifo_job_comes_first_of_its_priority(self, engine: Engine, jobs: NewJobs) -> None:
        new = [jobs(), jobs(lifo=True), jobs(), jobs(lifo=True)]
        for job in new:
            await engine.add([job])

        async with worker(engine) as me:
            claimed = await claim(engine, me, limit=10)

        assert [job.id for job in claimed] == [new[i].id for i in (3, 1, 0, 2)]

    async def test_delayed_jobs_come_in_the_order_in_which_they_are_due(
        self, engine: Engine, jobs: NewJobs, pass_time: PassTime
    ) -> None:
        late, early = jobs.later(20), jobs.later(10)
        await engine.add([late, early])

        got: list[str] = []
        async with worker(engine) as me:
            for _ in range(2):
                await pass_time(10)
                got += [job.id for job in await claim(engine, me)]

        assert got == [early.id, late.id]

    async def test_limit_bounds_a_claim(self, engine: Engine, jobs: NewJobs) -> None:
        await engine.add([jobs() for _ in range(5)])

        async with worker(engine) as me:
            assert len(await claim(engine, me, limit=3)) == 3
            assert len(await claim(engine, me, limit=3)) == 2

    async def test_queues_are_emptied_in_the_order_given(self, engine: Engine, jobs: NewJobs) -> None:
        slow, fast, slow_too = jobs(queue="slow"), jobs(queue="fast", priority=9), jobs(queue="slow")
        await engine.add([slow, fast, slow_too])

        async with worker(engine, "slow", "fast") as me:
            first = await claim(engine, me, limit=1, queues=("fast", "slow"))
            rest = await claim(engine, me, limit=9, queues=("fast", "slow"))

        assert [job.id for job in first] == [fast.id]
        assert [job.id for job in rest] == [slow.id, slow_too.id]

    async def test_one_claim_goes_on_with_the_next_queue(self, engine: Engine, jobs: NewJobs) -> None:
        new = [jobs(queue="b"), jobs(queue="a"), jobs(queue="b")]
        await engine.add(new)

        async with worker(engine, "a", "b") as me:
            claimed = await claim(engine, me, limit=2, queues=("a", "b"))

        assert [job.id for job in claimed] == [new[1].id, new[0].id]

    async def test_claim_leaves_other_queues_and_names_alone(self, engine: Engine, jobs: NewJobs) -> None:
        elsewhere, stranger = jobs(queue="mail"), jobs(name="other")
        await engine.add([elsewhere, stranger])

        async with worker(engine) as me:
            assert await claim(engine, me) == ()

        counts = await engine.counts()
        assert (counts.active, counts.waiting + counts.parked) == (0, 2)

    async def test_stranger_in_front_holds_up_nobody(self, engine: Engine, jobs: NewJobs) -> None:
        mine = jobs()
        await engine.add([*(jobs(name="other") for _ in range(30)), mine])

        async with worker(engine) as me:
            await engine.park_unknown(queues=["default"], names=["job"])
            claimed = [job.id for _ in range(40) for job in await claim(engine, me, limit=1)]

        assert claimed == [mine.id]

    async def test_unknown_job_is_parked_told_once_and_never_dropped(self, engine: Engine, jobs: NewJobs) -> None:
        stranger = jobs(name="stranger")
        async with worker(engine) as me:
            await engine.add([stranger])
            assert await claim(engine, me) == ()

            assert await engine.park_unknown(queues=["default"], names=["job"]) == [(stranger.id, "stranger")]
            assert await engine.park_unknown(queues=["default"], names=["job"]) == []

        assert (await engine.counts()).parked == 1

    async def test_known_jobs_are_not_parked(self, engine: Engine, jobs: NewJobs) -> None:
        await engine.add([jobs(), jobs.later(5), jobs(name="elsewhere", queue="mail")])

        assert await engine.park_unknown(queues=["default"], names=["job"]) == []
        assert (await engine.counts()).parked == 0

    async def test_parked_job_goes_to_a_worker_that_knows_it(self, engine: Engine, jobs: NewJobs) -> None:
        stranger = jobs(name="stranger")
        await engine.add([stranger])
        await engine.park_unknown(queues=["default"], names=["job"])

        async with worker(engine) as me:
            await engine.park_unknown(queues=["default"], names=["job", "stranger"])
            claimed = await claim(engine, me, names=["job", "stranger"])

        assert [(job.id, job.attempt) for job in claimed] == [(stranger.id, 1)]

    async def test_parked_job_waits_again_when_its_name_is_known(self, engine: Engine, jobs: NewJobs) -> None:
        await engine.add([jobs(name="stranger"), jobs(name="other")])
        await engine.park_unknown(queues=["default"], names=["job"])

        assert await engine.park_unknown(queues=["default"], names=["stranger"]) == []

        counts = await engine.counts()
        assert (counts.waiting, counts.parked) == (1, 1)
