"""Whole queues: names, counts, drain, clean, obliterate."""

from __future__ import annotations

import pytest

from undercroft._core.clock import VirtualClock
from undercroft.queue._errors import QueueInUseError
from undercroft.queue._protocol import Engine
from undercroft.queue._values import Completed, Counts, JobState, QueueSettings
from undercroft.testing.conformance.queue._base import (
    LEASE_S,
    NewJobs,
    PassTime,
    Promises,
    claim,
    claim_one,
    complete,
    fail,
    state_of,
    worker,
)


class QueuePromises(Promises):
    """Whole queues."""

    async def test_queues_are_named_in_order(self, engine: Engine, jobs: NewJobs) -> None:
        assert await engine.queues() == []

        await engine.add([jobs(queue="mail"), jobs(queue="default"), jobs(queue="mail"), jobs(queue="a/b")])

        assert await engine.queues() == ["a/b", "default", "mail"]

    async def test_emptied_queue_is_still_named(self, engine: Engine, jobs: NewJobs) -> None:
        new = jobs()
        await engine.add([new])
        await engine.remove(new.id)

        assert await engine.queues() == ["default"]

    async def test_counts_are_per_queue_and_in_all(self, engine: Engine, jobs: NewJobs) -> None:
        await engine.add([jobs(), jobs(queue="mail"), jobs.later(5, queue="mail")])

        assert await engine.counts() == Counts(waiting=2, delayed=1)
        assert await engine.counts(queue="mail") == Counts(waiting=1, delayed=1)
        assert await engine.counts(queue="nothing") == Counts()

    async def test_every_state_is_counted(self, engine: Engine, jobs: NewJobs) -> None:
        async with worker(engine) as me:
            await engine.add([jobs(), jobs(), jobs()])
            done, broken, _ = await claim(engine, me)
            await complete(engine, done)
            await fail(engine, broken)
            await engine.add([jobs(name="stranger")])
            await engine.park_unknown(queues=["default"], names=["job", "parent"])
            await engine.add([jobs(priority=4), jobs.later(5), *jobs.family({})])

            assert await engine.counts() == Counts(
                waiting=2, delayed=1, blocked=1, active=1, completed=1, failed=1, parked=1
            )

    async def test_drain_deletes_what_waits(self, engine: Engine, jobs: NewJobs) -> None:
        async with worker(engine) as me:
            await engine.add([jobs(), jobs()])
            active, done = await claim(engine, me)
            await complete(engine, done)
            await engine.add([jobs(), jobs(priority=3), jobs.later(60), jobs(queue="mail")])

            assert await engine.drain("default", delayed=False) == 2

            assert await engine.counts(queue="default") == Counts(delayed=1, active=1, completed=1)
            assert await engine.counts(queue="mail") == Counts(waiting=1)
            assert await claim(engine, me) == ()
            await complete(engine, active)

    async def test_drain_deletes_parked_jobs(self, engine: Engine, jobs: NewJobs) -> None:
        await engine.add([jobs(name="stranger")])
        await engine.park_unknown(queues=["default"], names=["job"])

        assert await engine.drain("default", delayed=False) == 1
        assert await engine.counts() == Counts()

    async def test_drain_deletes_delayed_jobs_if_told(self, engine: Engine, jobs: NewJobs, pass_time: PassTime) -> None:
        await engine.add([jobs(), jobs.later(60), jobs.later(90)])

        assert await engine.drain("default", delayed=True) == 3

        assert await engine.counts() == Counts()
        await pass_time(100)
        async with worker(engine) as me:
            assert await claim(engine, me) == ()

    async def test_drain_of_an_unknown_queue_deletes_nothing(self, engine: Engine) -> None:
        assert await engine.drain("nothing", delayed=True) == 0

    async def test_clean_deletes_what_came_into_a_state_before(
        self, engine: Engine, jobs: NewJobs, clock: VirtualClock, pass_time: PassTime
    ) -> None:
        async with worker(engine) as me:
            await engine.add([jobs(), jobs(), jobs()])
            old, broken, new = await claim(engine, me)
            await complete(engine, old)
            await fail(engine, broken)
            await pass_time(20)
            await complete(engine, new)

        assert await engine.clean("default", JobState.COMPLETED, before=clock.time() - 10, limit=100) == [old.id]

        assert await engine.counts() == Counts(completed=1, failed=1)
        assert await engine.clean("default", JobState.FAILED, before=clock.time() + 1, limit=100) == [broken.id]
        assert await state_of(engine, new.id) is JobState.COMPLETED

    async def test_clean_deletes_a_bounded_number(
        self, engine: Engine, jobs: NewJobs, clock: VirtualClock, pass_time: PassTime
    ) -> None:
        new = [jobs() for _ in range(5)]
        await engine.add(new)
        await pass_time(10)

        first = await engine.clean("default", JobState.WAITING, before=clock.time(), limit=3)
        rest = await engine.clean("default", JobState.WAITING, before=clock.time(), limit=3)

        assert (len(first), len(rest)) == (3, 2)
        assert {*first, *rest} == {job.id for job in new}
        assert await engine.counts() == Counts()

    async def test_clean_leaves_other_queues(
        self, engine: Engine, jobs: NewJobs, clock: VirtualClock, pass_time: PassTime
    ) -> None:
        await engine.add([jobs(queue="mail")])
        await pass_time(10)

        assert await engine.clean("default", JobState.WAITING, before=clock.time(), limit=9) == []
        assert await engine.counts() == Counts(waiting=1)

    async def test_obliterated_queue_is_gone_with_all_it_held(self, engine: Engine, jobs: NewJobs) -> None:
        async with worker(engine) as me:
            await engine.add([jobs(), jobs()])
            done, broken = await claim(engine, me)
            await complete(engine, done)
            await fail(engine, broken)
        await engine.add([jobs(), jobs.later(60), jobs(priority=3), *jobs.family({}), jobs(queue="mail")])
        await engine.configure("default", QueueSettings(max_active=3))
        await engine.save_entry("default", "cron:a", b"1", version=0)

        await engine.obliterate("default", force=False)

        assert await engine.counts() == Counts(waiting=1)
        assert await engine.queues() == ["mail"]
        assert await engine.settings("default") == QueueSettings()
        assert await engine.entries("default") == {}
        assert await engine.get(done.id) is None

    async def test_obliterated_queue_can_be_used_again(self, engine: Engine, jobs: NewJobs) -> None:
        new = jobs()
        await engine.add([new])
        await engine.obliterate("default", force=False)

        async with worker(engine) as me:
            assert [added.is_new for added in await engine.add([new])] == [True]
            await complete(engine, await claim_one(engine, me))

    async def test_queue_with_active_jobs_is_not_obliterated(self, engine: Engine, jobs: NewJobs) -> None:
        async with worker(engine) as me:
            await engine.add([jobs(), jobs()])
            job = await claim_one(engine, me)

            with pytest.raises(QueueInUseError):
                await engine.obliterate("default", force=False)

            assert await engine.counts() == Counts(waiting=1, active=1)
            assert await engine.settings("default") == QueueSettings()
            await complete(engine, job)
            assert len(await claim(engine, me)) == 1

    async def test_queue_with_active_jobs_is_obliterated_by_force(self, engine: Engine, jobs: NewJobs) -> None:
        async with worker(engine) as me:
            await engine.add([jobs(), jobs()])
            job = await claim_one(engine, me)

            await engine.obliterate("default", force=True)

            assert await engine.counts() == Counts()
            assert (await engine.beat(me, [job], lease_s=LEASE_S)).lost == (job,)
            assert not (await engine.finish(job, Completed(result=b"1"))).is_recorded
        assert await engine.counts() == Counts()

    async def test_obliterating_nothing_is_no_error(self, engine: Engine) -> None:
        await engine.obliterate("nothing", force=False)
