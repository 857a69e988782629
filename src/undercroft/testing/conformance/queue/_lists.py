"""Lists: filters, pages, statistics."""

from __future__ import annotations

import pytest

from undercroft._core.clock import VirtualClock
from undercroft.queue._protocol import Engine
from undercroft.queue._values import JobFilter, JobRecord, JobState
from undercroft.testing.conformance.queue._base import (
    NewJobs,
    PassTime,
    Promises,
    claim,
    claim_one,
    complete,
    fail,
    worker,
)


async def pages(engine: Engine, wanted: JobFilter, *, limit: int) -> list[JobRecord]:
    """Return all jobs that are asked for, page by page."""
    found: list[JobRecord] = []
    cursor = None
    for _ in range(1000):
        page = await engine.list_jobs(wanted, limit=limit, cursor=cursor)
        assert len(page.jobs) <= limit
        found.extend(page.jobs)
        if page.cursor is None:
            return found
        cursor = page.cursor
    raise AssertionError("the pages never end")


async def ids(engine: Engine, **wanted: object) -> list[str]:
    """Return the ids of all jobs that are asked for, in the order in which they come."""
    return [job.id for job in await pages(engine, JobFilter(**wanted), limit=50)]  # type: ignore[arg-type] # by a test


class ListPromises(Promises):
    """Lists."""

    async def test_empty_list_has_no_jobs_and_no_cursor(self, engine: Engine) -> None:
        page = await engine.list_jobs(JobFilter(state=JobState.FAILED), limit=10)

        assert await pages(engine, JobFilter(), limit=10) == []
        assert page.jobs == ()

    async def test_newest_come_first(self, engine: Engine, jobs: NewJobs, pass_time: PassTime) -> None:
        new = []
        for _ in range(5):
            new.append(jobs())
            await engine.add(new[-1:])
            await pass_time(1)

        assert await ids(engine, queue="default", state=JobState.WAITING) == [job.id for job in reversed(new)]

    async def test_last_finished_come_first(self, engine: Engine, jobs: NewJobs, pass_time: PassTime) -> None:
        done = []
        async with worker(engine) as me:
            await engine.add([jobs() for _ in range(4)])
            for job in await claim(engine, me):
                await pass_time(1)
                await complete(engine, job)
                done.append(job.id)

        assert await ids(engine, queue="default", state=JobState.COMPLETED) == done[::-1]

    @pytest.mark.parametrize("limit", [1, 3, 7, 100])
    async def test_paging_shows_each_job_once(
        self, engine: Engine, jobs: NewJobs, pass_time: PassTime, limit: int
    ) -> None:
        expected = await _fill(engine, jobs, pass_time)

        found = [job.id for job in await pages(engine, JobFilter(), limit=limit)]

        assert sorted(found) == sorted(job_id for job_ids in expected.values() for job_id in job_ids)

    @pytest.mark.parametrize("limit", [1, 2, 50])
    async def test_paging_one_state_shows_each_of_its_jobs_once(
        self, engine: Engine, jobs: NewJobs, pass_time: PassTime, limit: int
    ) -> None:
        expected = await _fill(engine, jobs, pass_time)

        for state in JobState:
            found = await pages(engine, JobFilter(state=state), limit=limit)
            assert sorted(job.id for job in found) == sorted(expected[state]), state
            assert {job.state for job in found} <= {state}

    async def test_paging_goes_on_behind_jobs_that_were_added_meanwhile(
        self, engine: Engine, jobs: NewJobs, pass_time: PassTime
    ) -> None:
        old = []
        for _ in range(6):
            old.append(jobs())
            await engine.add(old[-1:])
            await pass_time(1)
        wanted = JobFilter(queue="default", state=JobState.WAITING)
        first = await engine.list_jobs(wanted, limit=3)
        await engine.add([jobs()])

        rest: list[JobRecord] = []
        cursor = first.cursor
        while cursor is not None:
            page = await engine.list_jobs(wanted, limit=3, cursor=cursor)
            rest += page.jobs
            cursor = page.cursor

        assert {job.id for job in (*first.jobs, *rest)} >= {job.id for job in old}

    async def test_filters(self, engine: Engine, jobs: NewJobs, clock: VirtualClock) -> None:
        now = clock.time()
        a = jobs(name="a", queue="q", tags=("vip", "eu"), request_id="r-1", created_at=now - 100)
        b = jobs(name="b", queue="q", tags=("vip",), data=b'{"to":"Ada@Example.com"}', created_at=now - 50)
        c = jobs(name="a", tags=("vi",), data='{"to":"GRÜSSE"}'.encode(), request_id="r-2")
        await engine.add([a, b, c])

        assert await ids(engine, queue="nothing") == []
        assert sorted(await ids(engine, queue="q")) == sorted([a.id, b.id])
        assert sorted(await ids(engine, name="a")) == sorted([a.id, c.id])
        assert await ids(engine, name="a", queue="q") == [a.id]
        assert sorted(await ids(engine, tag="vip")) == sorted([a.id, b.id])
        assert await ids(engine, tag="vi") == [c.id]
        assert await ids(engine, request_id="r-1") == [a.id]
        assert await ids(engine, text="ada@example") == [b.id]
        assert await ids(engine, text="ADA@") == [b.id]
        assert await ids(engine, text="grüsse") == [c.id]
        assert await ids(engine, text="100%") == []
        assert await ids(engine, text="_") == []
        assert sorted(await ids(engine, created_after=now - 60)) == sorted([b.id, c.id])
        assert sorted(await ids(engine, created_before=now - 10)) == sorted([a.id, b.id])
        assert await ids(engine, created_after=now - 60, created_before=now - 10) == [b.id]
        assert await ids(engine, tag="vip", name="a", state=JobState.WAITING) == [a.id]
        assert await ids(engine, tag="vip", name="a", state=JobState.DELAYED) == []

    async def test_filters_by_error(self, engine: Engine, jobs: NewJobs) -> None:
        async with worker(engine) as me:
            await engine.add([jobs(), jobs()])
            broken, done = await claim(engine, me)
            await fail(engine, broken)
            await complete(engine, done)

        assert await ids(engine, error_type="OSError") == [broken.id]
        assert await ids(engine, error_type="ValueError") == []
        assert await ids(engine, text="NO ROUTE", state=JobState.FAILED) == [broken.id]

    async def test_listed_job_is_the_job(self, engine: Engine, jobs: NewJobs) -> None:
        async with worker(engine) as me:
            await engine.add([jobs(tags=("a",), priority=3, data=b'{"x":1}')])
            job = await claim_one(engine, me)
            await fail(engine, job)

        (listed,) = await pages(engine, JobFilter(), limit=5)

        assert listed == await engine.get(job.id)

    async def test_statistics_of_an_unknown_queue_are_empty(self, engine: Engine) -> None:
        statistics = await engine.statistics("nothing")

        assert (statistics.oldest_waiting_at, statistics.minutes, statistics.recent) == (None, (), ())

    async def test_oldest_waiting_job_is_known(
        self, engine: Engine, jobs: NewJobs, clock: VirtualClock, pass_time: PassTime
    ) -> None:
        began = clock.time()
        async with worker(engine) as me:
            await engine.add([jobs()])
            await pass_time(30)
            await engine.add([jobs(), jobs.later(600)])

            assert (await engine.statistics("default")).oldest_waiting_at == pytest.approx(began, abs=0.01)
            await claim_one(engine, me)
            assert (await engine.statistics("default")).oldest_waiting_at == pytest.approx(began + 30, abs=0.01)
            await claim_one(engine, me)
            assert (await engine.statistics("default")).oldest_waiting_at is None

    async def test_ends_are_counted_by_minute(
        self, engine: Engine, jobs: NewJobs, clock: VirtualClock, pass_time: PassTime
    ) -> None:
        await pass_time(60 - clock.time() % 60)
        began = clock.time()
        async with worker(engine) as me:
            await engine.add([jobs() for _ in range(4)])
            for is_failed in (False, True, False):
                await pass_time(10)
                job = await claim_one(engine, me)
                await (fail(engine, job) if is_failed else complete(engine, job))
            await pass_time(45)
            await complete(engine, await claim_one(engine, me))

        minutes = (await engine.statistics("default")).minutes
        counted = [(each.at, each.completed, each.failed) for each in minutes if each.completed or each.failed]
        assert counted == [(began + 60, 1, 0), (began, 2, 1)]

    async def test_retries_are_no_ends(self, engine: Engine, jobs: NewJobs, clock: VirtualClock) -> None:
        async with worker(engine) as me:
            await engine.add([jobs()])
            await fail(engine, await claim_one(engine, me), retry_at=clock.time() + 60)

        statistics = await engine.statistics("default")
        assert [each for each in statistics.minutes if each.completed or each.failed] == []
        assert statistics.recent == ()

    async def test_times_of_finished_jobs_are_known(
        self, engine: Engine, jobs: NewJobs, clock: VirtualClock, pass_time: PassTime
    ) -> None:
        began = clock.time()
        async with worker(engine) as me:
            await engine.add([jobs(), jobs.later(2)])
            await pass_time(5)
            first, second = await claim(engine, me)
            await pass_time(3)
            await complete(engine, first)
            await pass_time(1)
            await fail(engine, second)

        recent = (await engine.statistics("default")).recent
        spans = sorted(
            (round(s.due_at - began, 2), round(s.started_at - began, 2), round(s.finished_at - began, 2), s.is_failed)
            for s in recent
        )
        assert spans == [(0, 5, 8, False), (2, 5, 9, True)]


async def _fill(engine: Engine, jobs: NewJobs, pass_time: PassTime) -> dict[JobState, list[str]]:
    """Put some jobs of two queues in every state; their ids."""
    found: dict[JobState, list[str]] = {state: [] for state in JobState}
    for queue in ("default", "mail"):
        async with worker(engine, queue) as me:
            strangers = [jobs(queue=queue, name="stranger") for _ in range(3)]
            await engine.add(strangers)
            await engine.park_unknown(queues=[queue], names=["job", "parent"])
            await engine.add([jobs(queue=queue) for _ in range(9)])
            claimed = await claim(engine, me, limit=9, queues=(queue,))
            for job in claimed[:4]:
                await complete(engine, job)
            for job in claimed[4:]:
                await fail(engine, job)
            waiting = [jobs(queue=queue, priority=number % 3) for number in range(5)]
            delayed = [jobs.later(600 + number, queue=queue) for number in range(4)]
            parents = [jobs(queue=queue, name="parent", has_children=True) for _ in range(2)]
            children = [jobs(queue=queue, parent_id=parent.id, parent_queue=queue) for parent in parents]
            await engine.add([*waiting, *delayed, *parents, *children])
        found[JobState.PARKED] += [job.id for job in strangers]
        found[JobState.COMPLETED] += [job.id for job in claimed[:4]]
        found[JobState.FAILED] += [job.id for job in claimed[4:]]
        found[JobState.WAITING] += [job.id for job in (*waiting, *children)]
        found[JobState.DELAYED] += [job.id for job in delayed]
        found[JobState.BLOCKED] += [job.id for job in parents]
        await pass_time(1)
    return found
