"""Deduplication: while a key is held, a job with the same key is not stored. BullMQ's rules."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from undercroft._core.clock import VirtualClock
from undercroft.queue._protocol import Engine
from undercroft.queue._values import Added, Counts, Deduplication, JobState, Keep, NewJob
from undercroft.testing.conformance.queue._base import (
    LEASE_S,
    NewJobs,
    PassTime,
    Promises,
    claim_one,
    complete,
    fail,
    rescue,
    state_of,
    worker,
)


def keyed(key: str = "k", ttl_s: float | None = None, **more: Any) -> dict[str, Deduplication]:
    """Return the changes to a job that give it a key."""
    return {"deduplication": Deduplication(key=key, ttl_s=ttl_s, **more)}


async def add_one(engine: Engine, new: NewJob) -> Added:
    """Add one job."""
    (added,) = await engine.add([new])
    return added


class DeduplicationPromises(Promises):
    """Deduplication."""

    async def test_job_with_a_held_key_is_not_stored(self, engine: Engine, jobs: NewJobs) -> None:
        first, second = jobs(**keyed()), jobs(**keyed())
        assert await add_one(engine, first) == Added(first.id, True)

        assert await add_one(engine, second) == Added(first.id, False)

        assert await engine.counts() == Counts(waiting=1)
        assert await engine.get(second.id) is None

    async def test_key_is_held_within_one_call_too(self, engine: Engine, jobs: NewJobs) -> None:
        first, second, other = jobs(**keyed()), jobs(**keyed()), jobs(**keyed("other"))

        added = await engine.add([first, second, other])

        assert added == [Added(first.id, True), Added(first.id, False), Added(other.id, True)]

    async def test_keys_of_two_queues_are_two_keys(self, engine: Engine, jobs: NewJobs) -> None:
        added = await engine.add([jobs(**keyed()), jobs(queue="mail", **keyed())])

        assert [each.is_new for each in added] == [True, True]

    async def test_of_many_adding_one_key_at_once_one_adds_its_job(self, engine: Engine, jobs: NewJobs) -> None:
        added: list[Added] = []

        async def contend(new: NewJob) -> None:
            added.append(await add_one(engine, new))

        async with anyio.create_task_group() as tasks:
            for _ in range(64):
                tasks.start_soon(contend, jobs(**keyed(ttl_s=60)))

        assert [each.is_new for each in added].count(True) == 1
        assert len({each.id for each in added}) == 1
        assert await engine.counts() == Counts(waiting=1)

    @pytest.mark.parametrize("how", ["completed", "failed"])
    async def test_key_without_ttl_is_free_when_its_job_is_finished(
        self, engine: Engine, jobs: NewJobs, how: str
    ) -> None:
        async with worker(engine) as me:
            await add_one(engine, jobs(**keyed()))
            job = await claim_one(engine, me)
            assert not (await add_one(engine, jobs(**keyed()))).is_new

            await (complete(engine, job) if how == "completed" else fail(engine, job))

            assert (await add_one(engine, jobs(**keyed()))).is_new

    async def test_key_is_held_until_the_last_attempt(
        self, engine: Engine, jobs: NewJobs, clock: VirtualClock, pass_time: PassTime
    ) -> None:
        async with worker(engine) as me:
            await add_one(engine, jobs(**keyed()))
            await fail(engine, await claim_one(engine, me), retry_at=clock.time())
            assert not (await add_one(engine, jobs(**keyed()))).is_new
            await claim_one(engine, me)
            await pass_time(LEASE_S + 1)
            await rescue(engine)

        assert not (await add_one(engine, jobs(**keyed()))).is_new

    async def test_key_without_ttl_is_held_however_long_its_job_waits(
        self, engine: Engine, jobs: NewJobs, pass_time: PassTime
    ) -> None:
        await add_one(engine, jobs(**keyed()))
        await pass_time(86400)

        assert not (await add_one(engine, jobs(**keyed()))).is_new

    @pytest.mark.parametrize("ttl_s", [None, 60.0])
    async def test_key_is_free_when_its_job_is_removed(
        self, engine: Engine, jobs: NewJobs, ttl_s: float | None
    ) -> None:
        first = jobs(**keyed(ttl_s=ttl_s))
        await add_one(engine, first)

        await engine.remove(first.id)

        assert (await add_one(engine, jobs(**keyed(ttl_s=ttl_s)))).is_new

    async def test_key_is_free_when_its_job_is_drained(self, engine: Engine, jobs: NewJobs) -> None:
        await add_one(engine, jobs(**keyed()))

        await engine.drain("default", delayed=True)

        assert (await add_one(engine, jobs(**keyed()))).is_new

    async def test_removing_a_job_does_not_free_the_key_of_another(
        self, engine: Engine, jobs: NewJobs, pass_time: PassTime
    ) -> None:
        first, second = jobs(**keyed(ttl_s=10)), jobs(**keyed(ttl_s=10))
        await add_one(engine, first)
        await pass_time(11)
        await add_one(engine, second)

        await engine.remove(first.id)

        assert await add_one(engine, jobs(**keyed(ttl_s=10))) == Added(second.id, False)

    async def test_throttle_takes_one_job_in_its_time(self, engine: Engine, jobs: NewJobs, pass_time: PassTime) -> None:
        assert (await add_one(engine, jobs(**keyed(ttl_s=60)))).is_new
        await pass_time(59)
        assert not (await add_one(engine, jobs(**keyed(ttl_s=60)))).is_new
        await pass_time(2)
        assert (await add_one(engine, jobs(**keyed(ttl_s=60)))).is_new

    async def test_key_with_ttl_is_held_after_the_end(self, engine: Engine, jobs: NewJobs, pass_time: PassTime) -> None:
        first = jobs(**keyed(ttl_s=60))
        async with worker(engine) as me:
            await add_one(engine, first)
            await complete(engine, await claim_one(engine, me))

        assert await add_one(engine, jobs(**keyed(ttl_s=60))) == Added(first.id, False)
        await pass_time(61)
        assert (await add_one(engine, jobs(**keyed(ttl_s=60)))).is_new

    async def test_key_with_ttl_is_held_when_its_job_is_not_kept(self, engine: Engine, jobs: NewJobs) -> None:
        first = jobs(keep_completed=Keep(count=0), **keyed(ttl_s=60))
        async with worker(engine) as me:
            await add_one(engine, first)
            await complete(engine, await claim_one(engine, me))

        assert await engine.get(first.id) is None
        assert await add_one(engine, jobs(**keyed(ttl_s=60))) == Added(first.id, False)

    async def test_duplicate_extends_the_time_if_it_says_so(
        self, engine: Engine, jobs: NewJobs, pass_time: PassTime
    ) -> None:
        new = [jobs(**keyed(ttl_s=60, extend=True)) for _ in range(4)]
        assert (await add_one(engine, new[0])).is_new
        await pass_time(50)
        assert await add_one(engine, new[1]) == Added(new[0].id, False)
        await pass_time(50)
        assert await add_one(engine, new[2]) == Added(new[0].id, False)
        await pass_time(61)
        assert (await add_one(engine, new[3])).is_new

    async def test_duplicate_of_a_delayed_job_takes_its_place(
        self, engine: Engine, jobs: NewJobs, pass_time: PassTime
    ) -> None:
        old = jobs.later(10, data=b"1", **keyed(ttl_s=10, extend=True, replace=True))
        await add_one(engine, old)
        await pass_time(6)
        new = jobs.later(10, data=b"2", **keyed(ttl_s=10, extend=True, replace=True))

        assert await add_one(engine, new) == Added(new.id, True)

        assert await engine.get(old.id) is None
        assert await engine.counts() == Counts(delayed=1)
        await pass_time(6)
        assert await state_of(engine, new.id) is JobState.DELAYED
        await pass_time(5)
        async with worker(engine) as me:
            job = await claim_one(engine, me)
        assert (job.id, job.data) == (new.id, b"2")

    async def test_duplicate_takes_the_place_of_one_of_the_same_call_too(self, engine: Engine, jobs: NewJobs) -> None:
        rule = keyed(ttl_s=10, extend=True, replace=True)
        first, second = jobs.later(10, **rule), jobs.later(10, **rule)

        assert await engine.add([first, second]) == [Added(first.id, True), Added(second.id, True)]

        assert await engine.get(first.id) is None
        assert await engine.counts() == Counts(delayed=1)

    async def test_debounce_runs_the_last_of_many(self, engine: Engine, jobs: NewJobs, pass_time: PassTime) -> None:
        last = None
        for number in range(5):
            last = jobs.later(5, data=str(number).encode(), **keyed(ttl_s=5, extend=True, replace=True))
            assert (await add_one(engine, last)).is_new
            await pass_time(4)
        assert await engine.counts() == Counts(delayed=1)

        await pass_time(2)
        async with worker(engine) as me:
            assert (await claim_one(engine, me)).data == b"4"

    async def test_job_that_is_no_longer_delayed_is_not_replaced(self, engine: Engine, jobs: NewJobs) -> None:
        first = jobs(**keyed(replace=True))
        await add_one(engine, first)

        assert await add_one(engine, jobs(**keyed(replace=True))) == Added(first.id, False)
        async with worker(engine) as me:
            job = await claim_one(engine, me)
            assert await add_one(engine, jobs(**keyed(replace=True))) == Added(first.id, False)
            await complete(engine, job)

    async def test_replacing_does_not_extend_unless_it_says_so(
        self, engine: Engine, jobs: NewJobs, pass_time: PassTime
    ) -> None:
        await add_one(engine, jobs.later(100, **keyed(ttl_s=10, replace=True)))
        await pass_time(6)
        await add_one(engine, jobs.later(100, **keyed(ttl_s=10, replace=True)))
        await pass_time(6)

        assert (await add_one(engine, jobs.later(100, **keyed(ttl_s=10, replace=True)))).is_new
        assert await engine.counts() == Counts(delayed=2)

    async def test_replacing_without_ttl_holds_until_the_new_job_ends(
        self, engine: Engine, jobs: NewJobs, pass_time: PassTime
    ) -> None:
        await add_one(engine, jobs.later(100, **keyed(ttl_s=10, replace=True)))
        new = jobs.later(100, **keyed(replace=True))
        await add_one(engine, new)
        await pass_time(101)

        async with worker(engine) as me:
            job = await claim_one(engine, me)
            assert await add_one(engine, jobs(**keyed())) == Added(new.id, False)
            await complete(engine, job)
        assert (await add_one(engine, jobs(**keyed()))).is_new

    async def test_id_that_is_stored_comes_before_the_key(self, engine: Engine, jobs: NewJobs) -> None:
        first, second = jobs(), jobs(**keyed())
        await engine.add([first, second])

        assert await add_one(engine, jobs(id=first.id, **keyed())) == Added(first.id, False)
