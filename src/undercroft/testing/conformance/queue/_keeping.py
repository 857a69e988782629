"""Keeping: which finished jobs stay, and for how long."""

from __future__ import annotations

import pytest

from undercroft.queue._protocol import Engine
from undercroft.queue._values import Completed, Counts, JobState, Keep
from undercroft.testing.conformance.queue._base import (
    NewJobs,
    PassTime,
    Promises,
    claim_one,
    complete,
    fail,
    fetch,
    state_of,
    worker,
)


async def finish_one(engine: Engine, *, is_failed: bool = False) -> str:
    """Claim one job and finish it; its id."""
    async with worker(engine) as me:
        job = await claim_one(engine, me)
        await (fail(engine, job) if is_failed else complete(engine, job))
    return job.id


async def prune(engine: Engine) -> None:
    """Prune until nothing is left to prune."""
    for _ in range(100):
        if not await engine.prune(queues=["default"]):
            return
    raise AssertionError("prune never ends")


class KeepingPromises(Promises):
    """Keeping."""

    async def test_finished_jobs_are_kept_without_a_limit(
        self, engine: Engine, jobs: NewJobs, pass_time: PassTime
    ) -> None:
        await engine.add([jobs(), jobs()])
        await finish_one(engine)
        await finish_one(engine, is_failed=True)
        await pass_time(100 * 86400)

        await prune(engine)

        assert await engine.counts() == Counts(completed=1, failed=1)

    async def test_job_that_is_not_kept_is_deleted_as_it_finishes(self, engine: Engine, jobs: NewJobs) -> None:
        done, broken = jobs(keep_completed=Keep(count=0)), jobs(keep_failed=Keep(count=0))
        await engine.add([done])
        await finish_one(engine)
        assert await engine.get(done.id) is None
        await engine.add([broken])
        await finish_one(engine, is_failed=True)
        assert await engine.get(broken.id) is None

        assert await engine.counts() == Counts()

    async def test_job_that_is_not_kept_may_still_fetch_the_next(self, engine: Engine, jobs: NewJobs) -> None:
        async with worker(engine) as me:
            await engine.add([jobs(keep_completed=Keep(count=0)), jobs()])

            done = await engine.finish(await claim_one(engine, me), Completed(result=b"1"), fetch=fetch(me))

        assert done.is_recorded
        assert done.next is not None
        assert await engine.counts() == Counts(active=1)

    @pytest.mark.parametrize("is_failed", [False, True])
    async def test_what_is_kept_depends_on_how_a_job_ended(
        self, engine: Engine, jobs: NewJobs, *, is_failed: bool
    ) -> None:
        await engine.add([jobs(keep_completed=Keep(count=0), keep_failed=Keep())])

        await finish_one(engine, is_failed=is_failed)
        await prune(engine)

        assert await engine.counts() == (Counts(failed=1) if is_failed else Counts())

    async def test_job_is_kept_for_its_time(self, engine: Engine, jobs: NewJobs, pass_time: PassTime) -> None:
        keep = Keep(age_s=100)
        await engine.add([jobs(keep_completed=keep), jobs(keep_completed=keep)])
        old = await finish_one(engine)
        await pass_time(60)
        new = await finish_one(engine)
        await prune(engine)
        assert await engine.counts() == Counts(completed=2)
        await pass_time(60)

        await prune(engine)

        assert await state_of(engine, old) is None
        assert await state_of(engine, new) is JobState.COMPLETED

    @pytest.mark.parametrize("is_failed", [False, True])
    async def test_newest_jobs_are_kept(self, engine: Engine, jobs: NewJobs, *, is_failed: bool) -> None:
        keep = Keep(count=3)
        await engine.add([jobs(keep_completed=keep, keep_failed=keep) for _ in range(8)])
        done = [await finish_one(engine, is_failed=is_failed) for _ in range(8)]

        await prune(engine)

        kept = [job_id for job_id in done if await engine.get(job_id) is not None]
        assert kept == done[-3:]

    async def test_both_limits_hold(self, engine: Engine, jobs: NewJobs, pass_time: PassTime) -> None:
        keep = Keep(age_s=100, count=2)
        await engine.add([jobs(keep_completed=keep) for _ in range(4)])
        for _ in range(3):
            await finish_one(engine)
        await prune(engine)
        assert await engine.counts() == Counts(waiting=1, completed=2)
        await pass_time(120)
        last = await finish_one(engine)
        await prune(engine)

        assert await engine.counts() == Counts(completed=1)
        assert await state_of(engine, last) is JobState.COMPLETED

    async def test_completed_and_failed_jobs_are_counted_apart(self, engine: Engine, jobs: NewJobs) -> None:
        keep = Keep(count=1)
        await engine.add([jobs(keep_completed=keep, keep_failed=keep) for _ in range(2)])
        await finish_one(engine)
        await finish_one(engine, is_failed=True)

        await prune(engine)

        assert await engine.counts() == Counts(completed=1, failed=1)

    async def test_pruning_deletes_finished_jobs_only(self, engine: Engine, jobs: NewJobs, pass_time: PassTime) -> None:
        keep = Keep(age_s=1)
        await engine.add([jobs(keep_completed=keep), jobs.later(1000, keep_completed=keep)])
        await pass_time(100)

        await prune(engine)

        assert await engine.counts() == Counts(waiting=1, delayed=1)

    async def test_retried_job_is_not_pruned(self, engine: Engine, jobs: NewJobs, pass_time: PassTime) -> None:
        new = jobs(keep_failed=Keep(age_s=10))
        await engine.add([new])
        await finish_one(engine, is_failed=True)
        await engine.retry(new.id)
        await pass_time(60)

        await prune(engine)

        assert await state_of(engine, new.id) is JobState.WAITING
