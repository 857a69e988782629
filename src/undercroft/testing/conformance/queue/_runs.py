"""Runs: how they end, what is recorded, and how the next job comes with it."""

from __future__ import annotations

import pytest

from undercroft._core.clock import VirtualClock, utc
from undercroft.queue._protocol import Engine
from undercroft.queue._values import Completed, Counts, Failed, JobState, Postponed, QueueSettings
from undercroft.testing.conformance.queue._base import (
    LEASE_S,
    NewJobs,
    PassTime,
    Promises,
    claim,
    claim_one,
    complete,
    fail,
    failed,
    fetch,
    require,
    rescue,
    worker,
)


class RunPromises(Promises):
    """Runs."""

    async def test_claimed_job_is_active_and_names_its_worker(
        self, engine: Engine, jobs: NewJobs, clock: VirtualClock, pass_time: PassTime
    ) -> None:
        async with worker(engine) as me:
            await engine.add([jobs()])
            await pass_time(3)
            job = await claim_one(engine, me)

            record = await require(engine, job.id)
            assert (record.state, record.worker_id) == (JobState.ACTIVE, me)
            assert (record.started_at, record.finished_at) == (utc(clock.time()), None)
            assert await engine.counts() == Counts(active=1)

    async def test_completed_job_keeps_its_result(self, engine: Engine, jobs: NewJobs, pass_time: PassTime) -> None:
        async with worker(engine) as me:
            await engine.add([jobs()])
            job = await claim_one(engine, me)
            await pass_time(2)

            await complete(engine, job, '{"sum":3,"text":"grüße"}'.encode())

            assert await claim(engine, me) == ()
        record = await require(engine, job.id)
        assert (record.state, record.error) == (JobState.COMPLETED, None)
        assert record.result == '{"sum":3,"text":"grüße"}'.encode()
        assert record.worker_id is None
        assert record.started_at is not None
        assert record.finished_at is not None
        assert (record.finished_at - record.started_at).total_seconds() == pytest.approx(2, abs=0.01)

    async def test_failed_run_comes_back_when_its_retry_is_due(
        self, engine: Engine, jobs: NewJobs, clock: VirtualClock, pass_time: PassTime
    ) -> None:
        async with worker(engine) as me:
            await engine.add([jobs()])
            job = await claim_one(engine, me)

            await fail(engine, job, retry_at=clock.time() + 10)

            assert await claim(engine, me) == ()
            assert await engine.counts() == Counts(delayed=1)
            await pass_time(9.9)
            assert await claim(engine, me) == ()
            await pass_time(0.2)
            again = await claim_one(engine, me)
        assert (again.attempt, again.failures, again.crashes) == (2, 1, 0)

    async def test_failed_run_may_come_back_at_once(self, engine: Engine, jobs: NewJobs, clock: VirtualClock) -> None:
        async with worker(engine) as me:
            await engine.add([jobs()])

            await fail(engine, await claim_one(engine, me), retry_at=clock.time())

            assert (await claim_one(engine, me)).failures == 1

    async def test_error_of_a_failed_run_is_shown_while_the_job_waits(
        self, engine: Engine, jobs: NewJobs, clock: VirtualClock
    ) -> None:
        new = jobs()
        async with worker(engine) as me:
            await engine.add([new])
            await fail(engine, await claim_one(engine, me), retry_at=clock.time() + 10)

        record = await require(engine, new.id)
        assert (record.state, record.error_type, record.error) == (JobState.DELAYED, "OSError", "no route")
        assert (record.failures, record.worker_id, record.finished_at) == (1, None, None)

    async def test_job_that_failed_for_good_keeps_its_error(
        self, engine: Engine, jobs: NewJobs, clock: VirtualClock
    ) -> None:
        async with worker(engine) as me:
            await engine.add([jobs()])
            job = await claim_one(engine, me)

            await fail(engine, job)
            assert await claim(engine, me) == ()

        record = await require(engine, job.id)
        assert (record.state, record.error_type, record.error) == (JobState.FAILED, "OSError", "no route")
        assert record.stack is not None
        assert 'File "a.py", line 1' in record.stack
        assert (record.failures, record.finished_at, record.worker_id) == (1, utc(clock.time()), None)

    async def test_failures_are_counted_one_by_one(self, engine: Engine, jobs: NewJobs, clock: VirtualClock) -> None:
        async with worker(engine) as me:
            await engine.add([jobs()])
            seen = []
            for _ in range(4):
                job = await claim_one(engine, me)
                seen.append((job.failures, job.attempt))
                await fail(engine, job, retry_at=clock.time())

        assert seen == [(0, 1), (1, 2), (2, 3), (3, 4)]

    async def test_postponed_run_comes_back_later_and_is_not_counted(
        self, engine: Engine, jobs: NewJobs, clock: VirtualClock, pass_time: PassTime
    ) -> None:
        async with worker(engine) as me:
            await engine.add([jobs()])
            job = await claim_one(engine, me)

            assert (await engine.finish(job, Postponed(until=clock.time() + 10))).is_recorded

            assert await claim(engine, me) == ()
            assert await engine.counts() == Counts(delayed=1)
            await pass_time(10.1)
            again = await claim_one(engine, me)
        assert (again.attempt, again.failures, again.crashes) == (1, 0, 0)
        assert again.token > job.token

    async def test_finishing_fetches_the_next_job_of_the_queue(self, engine: Engine, jobs: NewJobs) -> None:
        first, elsewhere, second = jobs(), jobs(queue="mail"), jobs()
        async with worker(engine, "default", "mail") as me:
            await engine.add([first, elsewhere, second])
            job = await claim_one(engine, me)

            done = await engine.finish(job, Completed(result=b"1"), fetch=fetch(me))

            assert done.is_recorded
            assert done.next is not None
            assert done.next.id == second.id
            assert (await require(engine, second.id)).worker_id == me
            assert (await engine.finish(done.next, Completed(result=b"1"), fetch=fetch(me))).next is None
        assert await engine.counts() == Counts(waiting=1, completed=2)

    @pytest.mark.parametrize("how", ["failed", "retried", "postponed"])
    async def test_every_outcome_fetches_the_next(
        self, engine: Engine, jobs: NewJobs, clock: VirtualClock, how: str
    ) -> None:
        outcomes: dict[str, Failed | Postponed] = {
            "failed": failed(),
            "retried": failed(retry_at=clock.time() + 60),
            "postponed": Postponed(until=clock.time() + 60),
        }
        first, second = jobs(), jobs()
        async with worker(engine) as me:
            await engine.add([first, second])

            done = await engine.finish(await claim_one(engine, me), outcomes[how], fetch=fetch(me))

        assert done.is_recorded
        assert done.next is not None
        assert done.next.id == second.id

    async def test_fetched_job_is_held_like_a_claimed_one(
        self, engine: Engine, jobs: NewJobs, pass_time: PassTime
    ) -> None:
        async with worker(engine) as me:
            await engine.add([jobs(), jobs()])
            done = await engine.finish(await claim_one(engine, me), Completed(result=b"1"), fetch=fetch(me))
            assert done.next is not None

            await pass_time(LEASE_S - 1)
            assert await rescue(engine) == []
            assert (await engine.beat(me, [done.next], lease_s=LEASE_S)).lost == ()
            await pass_time(LEASE_S + 1)
            assert [rescued.id for rescued in await rescue(engine)] == [done.next.id]

    async def test_fetch_takes_no_job_of_another_name(self, engine: Engine, jobs: NewJobs) -> None:
        async with worker(engine) as me:
            await engine.add([jobs(), jobs(name="other")])

            done = await engine.finish(await claim_one(engine, me), Completed(result=b"1"), fetch=fetch(me))

        assert done.is_recorded
        assert done.next is None

    async def test_fetch_takes_a_delayed_job_that_is_due(
        self, engine: Engine, jobs: NewJobs, pass_time: PassTime
    ) -> None:
        delayed = jobs.later(5)
        async with worker(engine) as me:
            await engine.add([jobs(), delayed])
            job = await claim_one(engine, me)
            assert await claim(engine, me) == ()
            await pass_time(6)

            done = await engine.finish(job, Completed(result=b"1"), fetch=fetch(me))

        assert done.next is not None
        assert done.next.id == delayed.id

    async def test_paused_queue_gives_nothing_to_a_fetch(self, engine: Engine, jobs: NewJobs) -> None:
        async with worker(engine) as me:
            await engine.add([jobs(), jobs()])
            job = await claim_one(engine, me)
            await engine.configure("default", QueueSettings(is_paused=True))

            done = await engine.finish(job, Completed(result=b"1"), fetch=fetch(me))

        assert (done.is_recorded, done.next) == (True, None)

    async def test_finished_run_makes_room_for_the_fetched_one(self, engine: Engine, jobs: NewJobs) -> None:
        await engine.configure("default", QueueSettings(max_active=1))
        async with worker(engine) as me:
            await engine.add([jobs(), jobs()])
            job = await claim_one(engine, me)

            assert (await engine.finish(job, Completed(result=b"1"), fetch=fetch(me))).next is not None

    async def test_released_job_comes_back_uncounted_and_first(self, engine: Engine, jobs: NewJobs) -> None:
        first, second, third = jobs(), jobs(), jobs()
        await engine.add([first, second, third])
        async with worker(engine) as me:
            job = await claim_one(engine, me)

            await engine.release([job])

            assert await engine.counts() == Counts(waiting=3)
            record = await require(engine, first.id)
            assert (record.state, record.worker_id) == (JobState.WAITING, None)
            again, *rest = await claim(engine, me)
        assert (again.id, again.attempt, again.failures, again.crashes) == (first.id, 1, 0, 0)
        assert [job.id for job in rest] == [second.id, third.id]

    async def test_released_jobs_keep_their_order(self, engine: Engine, jobs: NewJobs) -> None:
        new = [jobs() for _ in range(4)]
        await engine.add(new)
        async with worker(engine) as me:
            await engine.release(await claim(engine, me, limit=3))

            assert [job.id for job in await claim(engine, me)] == [job.id for job in new]

    async def test_released_job_keeps_its_priority(self, engine: Engine, jobs: NewJobs) -> None:
        usual, usual_too = jobs(priority=5), jobs(priority=5)
        await engine.add([usual, usual_too])
        async with worker(engine) as me:
            await engine.release([await claim_one(engine, me)])
            urgent = jobs(priority=1)
            await engine.add([urgent])

            claimed = await claim(engine, me)

        assert [job.id for job in claimed] == [urgent.id, usual.id, usual_too.id]
        assert [job.priority for job in claimed] == [1, 5, 5]

    async def test_progress_is_shown(self, engine: Engine, jobs: NewJobs) -> None:
        async with worker(engine) as me:
            await engine.add([jobs()])
            job = await claim_one(engine, me)

            assert await engine.set_progress(job, b'{"percent":40}')
            assert (await require(engine, job.id)).progress == b'{"percent":40}'
            assert await engine.set_progress(job, b"41")
            await complete(engine, job)

        assert (await require(engine, job.id)).progress == b"41"

    async def test_log_is_kept_in_order(self, engine: Engine, jobs: NewJobs, clock: VirtualClock) -> None:
        async with worker(engine) as me:
            await engine.add([jobs()])
            job = await claim_one(engine, me)
            await engine.add_log(job, "first", keep=100)
            await engine.add_log(job, "grüße\n{}", keep=100)
            await fail(engine, job, retry_at=clock.time())
            job = await claim_one(engine, me)
            await engine.add_log(job, "third", keep=100)
            await complete(engine, job)

        assert await engine.logs(job.id) == ["first", "grüße\n{}", "third"]
        assert await engine.logs(job.id, queue="default") == ["first", "grüße\n{}", "third"]

    async def test_last_lines_of_a_log_are_kept(self, engine: Engine, jobs: NewJobs) -> None:
        async with worker(engine) as me:
            await engine.add([jobs()])
            job = await claim_one(engine, me)
            for number in range(5):
                await engine.add_log(job, str(number), keep=3)

            assert await engine.logs(job.id) == ["2", "3", "4"]

    async def test_job_without_a_log_has_an_empty_one(self, engine: Engine, jobs: NewJobs) -> None:
        new = jobs()
        await engine.add([new])

        assert await engine.logs(new.id) == []
        assert await engine.logs("nothing") == []
