"""Crashes: the jobs of dead workers come back, and a job that kills its workers is quarantined."""

from __future__ import annotations

from undercroft._core.clock import VirtualClock
from undercroft.queue._protocol import Engine
from undercroft.queue._values import Completed, Counts, Doom, JobState
from undercroft.testing.conformance.queue._base import (
    CRASH_DELAY_S,
    LEASE_S,
    MAX_CRASHES,
    NewJobs,
    PassTime,
    Promises,
    claim,
    claim_one,
    complete,
    die,
    fail,
    failed,
    require,
    rescue,
    state_of,
    worker,
)


class CrashPromises(Promises):
    """Crashes."""

    async def test_job_is_rescued_when_its_lease_ends(self, engine: Engine, jobs: NewJobs, pass_time: PassTime) -> None:
        async with worker(engine) as me:
            await engine.add([jobs()])
            job = await claim_one(engine, me)

            await pass_time(LEASE_S - 1)
            assert await rescue(engine) == []
            await pass_time(2)
            (rescued,) = await rescue(engine)

            assert (rescued.id, rescued.name, rescued.queue) == (job.id, "job", "default")
            assert (rescued.worker_id, rescued.is_quarantined) == (me, False)
            assert await rescue(engine) == []
            assert not (await engine.finish(job, Completed(result=b"1"))).is_recorded

    async def test_after_the_first_crash_the_job_is_due_at_once(
        self, engine: Engine, jobs: NewJobs, pass_time: PassTime
    ) -> None:
        await engine.add([jobs()])
        died = await die(engine, pass_time)

        async with worker(engine) as me:
            again = await claim_one(engine, me)

        assert (again.id, again.attempt, again.failures, again.crashes) == (died.id, 2, 0, 1)
        assert again.token > died.token

    async def test_after_the_second_crash_the_job_is_due_later(
        self, engine: Engine, jobs: NewJobs, pass_time: PassTime
    ) -> None:
        await engine.add([jobs()])
        await die(engine, pass_time)
        await die(engine, pass_time)

        async with worker(engine) as me:
            await pass_time(CRASH_DELAY_S - 0.5)
            assert await claim(engine, me) == ()
            await pass_time(1)
            again = await claim_one(engine, me)

        assert (again.crashes, again.attempt, again.doom) == (2, 3, None)

    async def test_job_that_crashed_too_often_is_doomed_and_handed_out_to_fail(
        self, engine: Engine, jobs: NewJobs, pass_time: PassTime
    ) -> None:
        poison, neighbour = jobs(name="poison"), jobs()
        await engine.add([poison, neighbour])
        quarantined = []
        for crash in (1, 2, 3):
            async with worker(engine) as me:
                job = await claim_one(engine, me, "poison")
                assert (job.crashes, job.doom) == (crash - 1, None)
                await pass_time(LEASE_S + 1)
                quarantined += [rescued.is_quarantined for rescued in await rescue(engine)]
            if crash == 2:
                await pass_time(CRASH_DELAY_S + 0.1)
        assert quarantined == [False, False, True]

        async with worker(engine) as me:
            doomed = await claim_one(engine, me, "poison")
            assert doomed.doom is not None
            assert doomed.doom.error_type == "WorkerDied"
            assert "quarantined: 3 workers" in doomed.doom.error
            await fail(engine, doomed)
            record = await require(engine, poison.id)
            assert (record.state, record.crashes) == (JobState.FAILED, 3)
            # Parked where an engine cannot leave a job of another name where it is.
            assert await state_of(engine, neighbour.id) in (JobState.WAITING, JobState.PARKED)
            assert (await claim_one(engine, me)).id == neighbour.id

    async def test_worker_that_left_is_dead_at_once(self, engine: Engine, jobs: NewJobs) -> None:
        new = jobs()
        await engine.add([new])
        async with worker(engine) as survivor:
            async with worker(engine) as me:
                await claim_one(engine, me)
                assert await rescue(engine) == []

            (rescued,) = await rescue(engine)
            assert (rescued.id, rescued.worker_id) == (new.id, me)
            assert (await claim_one(engine, survivor)).crashes == 1

    async def test_living_workers_jobs_are_left_alone(self, engine: Engine, jobs: NewJobs) -> None:
        await engine.add([jobs(), jobs()])
        async with worker(engine) as survivor:
            mine = await claim_one(engine, survivor)
            async with worker(engine) as me:
                lost = await claim_one(engine, me)

            assert [rescued.id for rescued in await rescue(engine)] == [lost.id]
            await complete(engine, mine)

    async def test_rescue_looks_into_the_queues_given_only(self, engine: Engine, jobs: NewJobs) -> None:
        here, there = jobs(), jobs(queue="mail")
        await engine.add([here, there])
        async with worker(engine, "default", "mail") as me:
            await claim(engine, me, queues=("default", "mail"))

        assert [rescued.id for rescued in await rescue(engine, "mail")] == [there.id]
        assert [rescued.id for rescued in await rescue(engine)] == [here.id]

    async def test_crashes_and_failures_are_counted_apart(
        self, engine: Engine, jobs: NewJobs, clock: VirtualClock, pass_time: PassTime
    ) -> None:
        async with worker(engine) as me:
            await engine.add([jobs()])
            await fail(engine, await claim_one(engine, me), retry_at=clock.time())
        await die(engine, pass_time)

        async with worker(engine) as me:
            job = await claim_one(engine, me)

        assert (job.failures, job.crashes, job.attempt) == (1, 1, 3)

    async def test_many_rescuers_count_one_crash(self, engine: Engine, jobs: NewJobs) -> None:
        await engine.add([jobs()])
        async with worker(engine) as me:
            await claim_one(engine, me)

        found = [rescued for _ in range(5) for rescued in await rescue(engine)]

        assert len(found) == 1
        async with worker(engine) as me:
            assert (await claim_one(engine, me)).crashes == 1

    async def test_job_whose_holder_was_to_cancel_it_is_doomed_when_the_holder_dies(
        self, engine: Engine, jobs: NewJobs
    ) -> None:
        await engine.add([jobs()])
        async with worker(engine) as me:
            job = await claim_one(engine, me)
            assert await engine.cancel(job.id)
        await rescue(engine)

        async with worker(engine) as me:
            assert (await claim_one(engine, me)).doom == Doom(error_type="Cancelled", error="cancelled")

    async def test_doomed_job_whose_workers_die_keeps_its_doom(
        self, engine: Engine, jobs: NewJobs, pass_time: PassTime
    ) -> None:
        new = jobs()
        await engine.add([new])
        await engine.cancel(new.id)
        for _ in range(MAX_CRASHES):
            async with worker(engine) as me:
                await claim_one(engine, me)
            await rescue(engine)
            await pass_time(CRASH_DELAY_S + 0.1)

        async with worker(engine) as me:
            job = await claim_one(engine, me)
            assert job.doom == Doom(error_type="Cancelled", error="cancelled")
            assert (await engine.finish(job, failed())).is_recorded
        assert await engine.counts() == Counts(failed=1)
