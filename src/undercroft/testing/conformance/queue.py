"""What every queue engine promises, as tests. Subclass it in your own suite and give it two fixtures:

    class TestMyEngine(QueueEngineConformance):
        @pytest.fixture
        async def engine(self, clock):
            async with MyEngine(clock=clock) as engine:
                yield engine

`clock` is a `VirtualClock` that the engine must use for instants. Needs pytest with anyio's plugin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import anyio
import pytest

from undercroft._core.clock import VirtualClock
from undercroft._core.ids import IdSource
from undercroft.queue import Backoff, Counts, Engine, JobState, QueueUnavailableError
from undercroft.queue import _protocol as protocol

LEASE_S = 30.0
CRASH_DELAY_S = 10.0


class QueueEngineConformance:
    """The promises of `undercroft.queue.Engine`, one test each."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def clock(self) -> VirtualClock:
        """The clock that the engine under test reads."""
        return VirtualClock()

    @pytest.fixture
    def jobs(self, clock: VirtualClock) -> NewJobs:
        """Makes jobs."""
        return NewJobs(clock)

    async def test_added_job_is_handed_out_whole(self, engine: Engine, jobs: NewJobs) -> None:
        new = jobs(
            data='{"text":"grüße \\u0000 𝄞"}'.encode(), request_id="r-1", traceparent="00-aa-bb-01", timeout_s=2.5
        )
        async with worker(engine) as me:
            await engine.add([new])

            claimed = await claim(engine, me)

        assert len(claimed) == 1
        job = claimed[0]
        assert (job.id, job.name, job.queue, job.data) == (new.id, new.name, new.queue, new.data)
        assert (job.request_id, job.traceparent, job.timeout_s) == ("r-1", "00-aa-bb-01", 2.5)
        assert (job.attempts, job.backoff, job.attempt) == (3, Backoff.fixed(1), 1)

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

        async with worker(engine) as me, anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(contend, me)

        assert len(got) == 300
        assert len(set(got)) == 300

    async def test_most_urgent_first_then_in_order_of_adding(self, engine: Engine, jobs: NewJobs) -> None:
        new = [jobs(priority=5), jobs(priority=0), jobs(priority=5), jobs(priority=0), jobs(priority=1)]
        for job in new:
            await engine.add([job])

        async with worker(engine) as me:
            claimed = await claim(engine, me, limit=10)

        assert [job.id for job in claimed] == [new[i].id for i in (1, 3, 4, 0, 2)]

    async def test_jobs_are_added_all_or_none(self, engine: Engine, jobs: NewJobs) -> None:
        first = jobs()
        await engine.add([first])

        with pytest.raises(QueueUnavailableError):
            await engine.add([jobs(), first, jobs()])

        assert await engine.counts() == Counts(waiting=1)

    async def test_delayed_job_waits_until_it_is_due(self, engine: Engine, jobs: NewJobs, clock: VirtualClock) -> None:
        async with worker(engine) as me:
            await engine.add([jobs(due_at=clock.time() + 60)])

            early = await engine.claim(queues=["default"], names=["job"], limit=5, worker_id=me, lease_s=LEASE_S)
            assert early.jobs == ()
            assert early.next_due_at == clock.time() + 60
            assert await engine.counts() == Counts(delayed=1)
            await clock.advance(59.9)
            assert await claim(engine, me) == ()
            await clock.advance(0.2)
            assert len(await claim(engine, me)) == 1

    async def test_claim_leaves_other_queues_and_names_alone(self, engine: Engine, jobs: NewJobs) -> None:
        await engine.add([jobs(queue="mail"), jobs(name="other")])

        async with worker(engine) as me:
            assert await claim(engine, me) == ()

        assert (await engine.counts()).waiting == 2

    async def test_unknown_job_is_parked_counted_and_never_dropped(self, engine: Engine, jobs: NewJobs) -> None:
        stranger = jobs(name="stranger")
        await engine.add([stranger, jobs()])

        parked = await engine.park_unknown(queues=["default"], names=["job"])

        assert parked == [(stranger.id, "stranger")]
        assert await engine.counts() == Counts(waiting=1, parked=1)
        assert await engine.park_unknown(queues=["default"], names=["job"]) == []

    async def test_parked_job_goes_to_a_worker_that_knows_it(self, engine: Engine, jobs: NewJobs) -> None:
        stranger = jobs(name="stranger")
        await engine.add([stranger])
        await engine.park_unknown(queues=["default"], names=["job"])

        async with worker(engine) as me:
            claimed = await claim(engine, me, names=["stranger"])

        assert [(job.id, job.attempt) for job in claimed] == [(stranger.id, 1)]

    async def test_completed_job_keeps_its_result(self, engine: Engine, jobs: NewJobs, clock: VirtualClock) -> None:
        async with worker(engine) as me:
            await engine.add([jobs()])
            (job,) = await claim(engine, me)
            await clock.advance(2)

            assert await engine.finish(job, protocol.Completed(result=b'{"sum":3}'))

        record = await require(engine, job.id)
        assert (record.state, record.result, record.error) == (JobState.COMPLETED, b'{"sum":3}', None)
        assert record.started_at is not None
        assert record.finished_at is not None
        assert (record.finished_at - record.started_at).total_seconds() == pytest.approx(2)

    async def test_failed_run_comes_back_when_its_retry_is_due(
        self, engine: Engine, jobs: NewJobs, clock: VirtualClock
    ) -> None:
        async with worker(engine) as me:
            await engine.add([jobs()])
            (job,) = await claim(engine, me)

            assert await engine.finish(job, failed(retry_at=clock.time() + 10))

            assert await claim(engine, me) == ()
            await clock.advance(10)
            (again,) = await claim(engine, me)
        assert (again.attempt, again.failures, again.crashes) == (2, 1, 0)
        assert again.token > job.token

    async def test_job_that_failed_for_good_keeps_its_error(self, engine: Engine, jobs: NewJobs) -> None:
        async with worker(engine) as me:
            await engine.add([jobs()])
            (job,) = await claim(engine, me)

            assert await engine.finish(job, failed(retry_at=None))
            assert await claim(engine, me) == ()

        record = await require(engine, job.id)
        assert (record.state, record.error_type, record.error) == (JobState.FAILED, "OSError", "no route")
        assert record.failures == 1

    async def test_released_job_comes_back_uncounted_and_in_its_place(self, engine: Engine, jobs: NewJobs) -> None:
        first, second = jobs(), jobs()
        await engine.add([first, second])
        async with worker(engine) as me:
            (job,) = await claim(engine, me, limit=1)

            await engine.release([job])

            again, _ = await claim(engine, me, limit=2)
        assert (again.id, again.attempt) == (first.id, 1)
        assert again.token > job.token

    async def test_old_token_changes_nothing(self, engine: Engine, jobs: NewJobs) -> None:
        async with worker(engine) as me:
            await engine.add([jobs()])
            (old,) = await claim(engine, me)
            await engine.release([old])
            (current,) = await claim(engine, me)

            assert not await engine.finish(old, protocol.Completed(result=b"1"))
            assert not await engine.finish(old, failed(retry_at=0.0))
            await engine.release([old])
            assert await engine.extend([old, current], lease_s=LEASE_S) == [old]
            assert (await require(engine, old.id)).state is JobState.ACTIVE
            assert await engine.finish(current, protocol.Completed(result=b"2"))

        assert (await require(engine, old.id)).result == b"2"

    async def test_finishing_twice_counts_once(self, engine: Engine, jobs: NewJobs) -> None:
        async with worker(engine) as me:
            await engine.add([jobs()])
            (job,) = await claim(engine, me)

            assert await engine.finish(job, protocol.Completed(result=b"1"))
            assert not await engine.finish(job, protocol.Completed(result=b"2"))

        assert (await require(engine, job.id)).result == b"1"

    async def test_job_is_rescued_when_its_lease_ends(self, engine: Engine, jobs: NewJobs, clock: VirtualClock) -> None:
        async with worker(engine) as me:
            await engine.add([jobs()])
            (job,) = await claim(engine, me)

            await clock.advance(LEASE_S - 1)
            assert await rescue(engine) == []
            await clock.advance(2)
            (rescued,) = await rescue(engine)

            assert (rescued.id, rescued.worker_id, rescued.is_quarantined) == (job.id, me, False)
            (again,) = await claim(engine, me)
            assert (again.attempt, again.failures, again.crashes) == (2, 0, 1)
            assert not await engine.finish(job, protocol.Completed(result=b"1"))

    async def test_extended_lease_holds(self, engine: Engine, jobs: NewJobs, clock: VirtualClock) -> None:
        async with worker(engine) as me:
            await engine.add([jobs()])
            (job,) = await claim(engine, me)
            await clock.advance(20)

            assert await engine.extend([job], lease_s=LEASE_S) == []

            await clock.advance(20)
            assert await rescue(engine) == []

    async def test_poison_job_is_quarantined_and_its_neighbour_is_not(
        self, engine: Engine, jobs: NewJobs, clock: VirtualClock
    ) -> None:
        poison, neighbour = jobs(name="poison"), jobs()
        async with worker(engine) as me:
            await engine.add([poison, neighbour])
            for crash in (1, 2, 3):
                (job,) = await claim(engine, me, names=["poison"])
                assert job.crashes == crash - 1
                await clock.advance(LEASE_S + 1)
                (rescued,) = await rescue(engine)
                assert rescued.is_quarantined is (crash == 3)
                await clock.advance(CRASH_DELAY_S)

        record = await require(engine, poison.id)
        assert (record.state, record.crashes, record.error_type) == (JobState.FAILED, 3, "WorkerDied")
        assert (await require(engine, neighbour.id)).state is JobState.WAITING

    async def test_job_that_crashed_twice_waits(self, engine: Engine, jobs: NewJobs, clock: VirtualClock) -> None:
        async with worker(engine) as me:
            await engine.add([jobs()])
            for _ in range(2):
                assert len(await claim(engine, me)) == 1
                await clock.advance(LEASE_S + 1)
                await rescue(engine)

            await clock.advance(CRASH_DELAY_S - 1)
            assert await claim(engine, me) == ()
            await clock.advance(2)
            assert len(await claim(engine, me)) == 1

    async def test_counts_are_per_queue_and_in_all(self, engine: Engine, jobs: NewJobs, clock: VirtualClock) -> None:
        await engine.add([jobs(), jobs(queue="mail"), jobs(queue="mail", due_at=clock.time() + 5)])

        assert await engine.counts() == Counts(waiting=2, delayed=1)
        assert await engine.counts(queue="mail") == Counts(waiting=1, delayed=1)
        assert await engine.counts(queue="nothing") == Counts()

    async def test_list_is_filtered_bounded_and_newest_first(self, engine: Engine, jobs: NewJobs) -> None:
        new = [jobs(queue=queue) for queue in ("a", "b", "a", "a")]
        await engine.add(new)

        listed = await engine.list_jobs(queue="a", state=JobState.WAITING, limit=2)

        assert [record.id for record in listed] == [new[3].id, new[2].id]
        assert await engine.list_jobs(state=JobState.FAILED) == []

    async def test_unknown_id_is_none(self, engine: Engine) -> None:
        assert await engine.get("nothing") is None

    async def test_pruning_deletes_finished_jobs_by_age_only(
        self, engine: Engine, jobs: NewJobs, clock: VirtualClock
    ) -> None:
        async with worker(engine) as me:
            await engine.add([jobs(), jobs(), jobs()])
            done, broken, _ = await claim(engine, me, limit=3)
            await engine.finish(done, protocol.Completed(result=b"1"))
            await engine.finish(broken, failed(retry_at=None))
            await clock.advance(100)

            assert await engine.prune(completed_before=clock.time() - 50, failed_before=clock.time() - 150) == 1

            assert await engine.counts() == Counts(active=1, failed=1)

    async def test_waiting_ends_when_a_job_is_added(self, engine: Engine, jobs: NewJobs) -> None:
        seen = engine.changes
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait_for_change, engine, seen)
                await engine.add([jobs()])

        assert engine.changes > seen

    async def test_change_before_the_wait_is_not_missed(self, engine: Engine, jobs: NewJobs) -> None:
        seen = engine.changes
        await engine.add([jobs()])

        with anyio.fail_after(5):
            await engine.wait_for_change(seen, timeout=3600)

    async def test_empty_claim_is_no_change(self, engine: Engine) -> None:
        async with worker(engine) as me:
            seen = engine.changes
            await claim(engine, me)

        assert engine.changes == seen

    async def test_ping_answers(self, engine: Engine) -> None:
        await engine.ping()


class NewJobs:
    """Makes jobs with defaults: name `job`, queue `default`, data `{}`."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._ids = IdSource(clock)

    def __call__(self, **changes: Any) -> protocol.NewJob:
        now = self._clock.time()
        plain = protocol.NewJob(
            id=self._ids(),
            name="job",
            queue="default",
            data=b"{}",
            attempts=3,
            backoff=Backoff.fixed(1),
            timeout_s=30.0,
            priority=0,
            due_at=now,
            created_at=now,
            request_id=None,
            traceparent=None,
        )
        return replace(plain, **changes)


class worker:  # noqa: N801 - reads as a statement
    """Attend as a worker for the block; gives its id."""

    def __init__(self, engine: Engine) -> None:
        self._id = IdSource()()
        self._attending = engine.attend(self._id)

    async def __aenter__(self) -> str:
        await self._attending.__aenter__()
        return self._id

    async def __aexit__(self, *exc_info: object) -> None:
        await self._attending.__aexit__(None, None, None)


async def claim(
    engine: Engine, worker_id: str, *, limit: int = 5, names: Sequence[str] = ("job",)
) -> tuple[protocol.ClaimedJob, ...]:
    """Claim from the queue `default`."""
    found = await engine.claim(queues=["default"], names=names, limit=limit, worker_id=worker_id, lease_s=LEASE_S)
    return found.jobs


async def wait_for_change(engine: Engine, seen: int) -> None:
    """Wait for a change, with a long timeout."""
    await engine.wait_for_change(seen, timeout=3600)


async def require(engine: Engine, job_id: str) -> protocol.JobRecord:
    """Return a job that must be there."""
    record = await engine.get(job_id)
    assert record is not None
    return record


async def rescue(engine: Engine) -> list[protocol.Rescued]:
    """Rescue, with the worker's limits."""
    return await engine.rescue(max_crashes=3, again_after_s=CRASH_DELAY_S)


def failed(*, retry_at: float | None) -> protocol.Failed:
    """Return the outcome of a run that raised."""
    return protocol.Failed(error_type="OSError", error="no route", retry_at=retry_at)
