"""What may be done to one job: cancel, retry, promote, reprioritise, remove."""

from __future__ import annotations

import pytest

from undercroft._core.clock import VirtualClock
from undercroft.queue._protocol import Engine
from undercroft.queue._values import Counts, Doom, JobState
from undercroft.testing.conformance.queue._base import (
    LEASE_S,
    MAX_CRASHES,
    NewJobs,
    PassTime,
    Promises,
    claim,
    claim_one,
    complete,
    fail,
    require,
    state_of,
    worker,
)

CANCELLED = Doom(error_type="Cancelled", error="cancelled")


class OneJobPromises(Promises):
    """One job."""

    async def test_nothing_can_be_done_to_a_job_that_is_not_there(self, engine: Engine) -> None:
        assert not await engine.cancel("nothing")
        assert not await engine.retry("nothing")
        assert not await engine.promote("nothing")
        assert not await engine.reprioritise("nothing", 1)
        assert not await engine.remove("nothing")

    async def test_only_the_queue_given_is_looked_into(self, engine: Engine, jobs: NewJobs) -> None:
        new = jobs.later(60)
        await engine.add([new, jobs(queue="mail")])

        assert not await engine.cancel(new.id, queue="mail")
        assert not await engine.promote(new.id, queue="mail")
        assert not await engine.reprioritise(new.id, 1, queue="mail")
        assert not await engine.remove(new.id, queue="mail")
        assert await engine.promote(new.id, queue="default")

    @pytest.mark.parametrize("delay", [0, 600])
    async def test_cancelled_job_is_handed_out_to_fail_at_once(
        self, engine: Engine, jobs: NewJobs, delay: float
    ) -> None:
        new = jobs.later(delay, priority=9)
        async with worker(engine) as me:
            await engine.add([new])

            assert await engine.cancel(new.id)

            assert await state_of(engine, new.id) is JobState.WAITING
            job = await claim_one(engine, me)
            assert (job.id, job.doom) == (new.id, CANCELLED)
            await fail(engine, job)
        assert await state_of(engine, new.id) is JobState.FAILED

    async def test_cancelled_parent_waits_for_its_children_no_longer(self, engine: Engine, jobs: NewJobs) -> None:
        parent, child = jobs.family({})
        async with worker(engine) as me:
            await engine.add([parent, child])

            assert await engine.cancel(parent.id)

            assert (await claim_one(engine, me, "parent")).doom == CANCELLED
            assert await state_of(engine, child.id) is JobState.WAITING

    async def test_holder_of_a_cancelled_job_is_told_by_its_next_beat(self, engine: Engine, jobs: NewJobs) -> None:
        async with worker(engine) as me:
            await engine.add([jobs(), jobs()])
            job, other = await claim(engine, me)

            assert await engine.cancel(job.id)

            beat = await engine.beat(me, [job, other], lease_s=LEASE_S)
            assert (beat.lost, beat.cancelled) == ((), (job,))
            await fail(engine, job)
            beat = await engine.beat(me, [other], lease_s=LEASE_S)
            assert (beat.lost, beat.cancelled) == ((), ())

    async def test_active_job_that_was_cancelled_may_still_complete(self, engine: Engine, jobs: NewJobs) -> None:
        async with worker(engine) as me:
            await engine.add([jobs()])
            job = await claim_one(engine, me)
            await engine.cancel(job.id)

            await complete(engine, job, b"1")

        assert await state_of(engine, job.id) is JobState.COMPLETED

    async def test_active_job_that_was_cancelled_does_not_run_again(
        self, engine: Engine, jobs: NewJobs, clock: VirtualClock
    ) -> None:
        async with worker(engine) as me:
            await engine.add([jobs(), jobs()])
            released, retried = await claim(engine, me)
            await engine.cancel(released.id)
            await engine.cancel(retried.id)
            await engine.release([released])
            await fail(engine, retried, retry_at=clock.time() + 60)

            again = await claim(engine, me)

        assert sorted(job.id for job in again) == sorted([released.id, retried.id])
        assert [job.doom for job in again] == [CANCELLED, CANCELLED]

    async def test_job_is_doomed_once(self, engine: Engine, jobs: NewJobs) -> None:
        new = jobs()
        async with worker(engine) as me:
            await engine.add([new])
            assert await engine.cancel(new.id)

            assert not await engine.cancel(new.id)
            await fail(engine, await claim_one(engine, me))
            assert not await engine.cancel(new.id)

        assert await engine.counts() == Counts(failed=1)

    async def test_completed_job_cannot_be_cancelled(self, engine: Engine, jobs: NewJobs) -> None:
        async with worker(engine) as me:
            await engine.add([jobs()])
            job = await claim_one(engine, me)
            await complete(engine, job)

        assert not await engine.cancel(job.id)
        assert await state_of(engine, job.id) is JobState.COMPLETED

    @pytest.mark.parametrize("how", ["completed", "failed"])
    async def test_retried_job_runs_again_from_the_beginning(
        self, engine: Engine, jobs: NewJobs, clock: VirtualClock, how: str
    ) -> None:
        async with worker(engine) as me:
            await engine.add([jobs()])
            await fail(engine, await claim_one(engine, me), retry_at=clock.time())
            job = await claim_one(engine, me)
            await (complete(engine, job, b"1") if how == "completed" else fail(engine, job))

            assert await engine.retry(job.id)

            assert await engine.counts() == Counts(waiting=1)
            record = await require(engine, job.id)
            assert (record.result, record.finished_at, record.failures) == (None, None, 0)
            again = await claim_one(engine, me)
            assert (again.attempt, again.failures, again.crashes, again.doom) == (1, 0, 0, None)
            assert again.token > job.token
            await complete(engine, again, b"2")
        assert (await require(engine, job.id)).result == b"2"

    async def test_retried_job_forgets_its_doom_and_its_crashes(self, engine: Engine, jobs: NewJobs) -> None:
        new = jobs()
        await engine.add([new])
        for _ in range(MAX_CRASHES):
            async with worker(engine) as me:
                await claim_one(engine, me)
            await engine.rescue(queues=["default"], max_crashes=MAX_CRASHES, again_after_s=0)
        async with worker(engine) as me:
            doomed = await claim_one(engine, me)
            assert doomed.doom is not None
            await fail(engine, doomed)

            assert await engine.retry(new.id)

            again = await claim_one(engine, me)
        assert (again.doom, again.crashes, again.attempt) == (None, 0, 1)

    async def test_job_that_is_not_finished_cannot_be_retried(self, engine: Engine, jobs: NewJobs) -> None:
        delayed, waiting = jobs.later(60), jobs()
        async with worker(engine) as me:
            await engine.add([delayed, waiting])
            assert not await engine.retry(delayed.id)
            assert not await engine.retry(waiting.id)
            await claim_one(engine, me)

            assert not await engine.retry(waiting.id)

        assert await engine.counts() == Counts(delayed=1, active=1)

    async def test_promoted_job_waits_at_once(self, engine: Engine, jobs: NewJobs) -> None:
        new = jobs.later(3600)
        async with worker(engine) as me:
            await engine.add([new])

            assert await engine.promote(new.id)

            assert await engine.counts() == Counts(waiting=1)
            assert (await claim_one(engine, me)).id == new.id

    async def test_only_a_delayed_job_can_be_promoted(self, engine: Engine, jobs: NewJobs) -> None:
        new = jobs()
        async with worker(engine) as me:
            await engine.add([new])
            assert not await engine.promote(new.id)
            job = await claim_one(engine, me)
            assert not await engine.promote(new.id)
            await complete(engine, job)
            assert not await engine.promote(new.id)

        assert await engine.counts() == Counts(completed=1)

    async def test_waiting_job_moves_to_its_new_priority(self, engine: Engine, jobs: NewJobs) -> None:
        one, two, three = jobs(priority=5), jobs(priority=5), jobs(priority=3)
        await engine.add([one, two, three])

        assert await engine.reprioritise(two.id, 1)
        assert await engine.reprioritise(three.id, 9)

        assert (await require(engine, two.id)).priority == 1
        async with worker(engine) as me:
            claimed = await claim(engine, me)
        assert [(job.id, job.priority) for job in claimed] == [(two.id, 1), (one.id, 5), (three.id, 9)]

    async def test_most_urgent_and_least_urgent_change_places(self, engine: Engine, jobs: NewJobs) -> None:
        one, two = jobs(priority=0), jobs(priority=4)
        await engine.add([one, two])

        assert await engine.reprioritise(one.id, 7)
        assert await engine.reprioritise(two.id, 0)

        async with worker(engine) as me:
            assert [job.id for job in await claim(engine, me)] == [two.id, one.id]

    async def test_delayed_job_has_its_new_priority_when_it_is_due(
        self, engine: Engine, jobs: NewJobs, pass_time: PassTime
    ) -> None:
        usual, delayed = jobs(priority=5), jobs.later(10, priority=9)
        await engine.add([usual, delayed])

        assert await engine.reprioritise(delayed.id, 1)

        assert (await engine.counts()).delayed == 1
        await pass_time(11)
        async with worker(engine) as me:
            assert [job.id for job in await claim(engine, me)] == [delayed.id, usual.id]

    async def test_finished_job_has_no_priority_to_change(self, engine: Engine, jobs: NewJobs) -> None:
        async with worker(engine) as me:
            await engine.add([jobs()])
            job = await claim_one(engine, me)
            await complete(engine, job)

        assert not await engine.reprioritise(job.id, 1)

    async def test_removed_job_is_gone_with_its_log(self, engine: Engine, jobs: NewJobs, clock: VirtualClock) -> None:
        new = jobs()
        async with worker(engine) as me:
            await engine.add([new])
            job = await claim_one(engine, me)
            await engine.add_log(job, "line", keep=5)
            await fail(engine, job, retry_at=clock.time() + 60)

            assert await engine.remove(new.id)

            assert await engine.get(new.id) is None
            assert await engine.logs(new.id) == []
            assert await engine.counts() == Counts()
            assert not await engine.remove(new.id)
            await engine.add([new])
            assert await engine.logs(new.id) == []

    @pytest.mark.parametrize("state", ["waiting", "delayed", "completed", "failed", "parked"])
    async def test_job_in_any_state_but_active_can_be_removed(self, engine: Engine, jobs: NewJobs, state: str) -> None:
        new = jobs.later(60 if state == "delayed" else 0, name="stranger" if state == "parked" else "job")
        async with worker(engine) as me:
            await engine.add([new])
            if state == "parked":
                await engine.park_unknown(queues=["default"], names=["job"])
            if state in ("completed", "failed"):
                job = await claim_one(engine, me)
                await (complete(engine, job) if state == "completed" else fail(engine, job))
            assert await engine.counts() == Counts(**{state: 1})

            assert await engine.remove(new.id)

            assert await engine.counts() == Counts()
            assert await claim(engine, me, names=["job", "stranger"]) == ()

    async def test_active_job_is_not_removed(self, engine: Engine, jobs: NewJobs) -> None:
        async with worker(engine) as me:
            await engine.add([jobs()])
            job = await claim_one(engine, me)

            assert not await engine.remove(job.id)
            await complete(engine, job)

    async def test_parked_job_can_be_cancelled(self, engine: Engine, jobs: NewJobs) -> None:
        new = jobs(name="stranger")
        await engine.add([new])
        await engine.park_unknown(queues=["default"], names=["job"])

        assert await engine.cancel(new.id)

        async with worker(engine) as me:
            await engine.park_unknown(queues=["default"], names=["stranger"])
            assert (await claim_one(engine, me, "stranger")).doom == CANCELLED
