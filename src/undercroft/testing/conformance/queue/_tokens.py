"""Tokens: a claim that is no longer current changes nothing."""

from __future__ import annotations

import anyio.to_thread
import pytest

from undercroft._core.clock import VirtualClock
from undercroft.queue._protocol import Engine
from undercroft.queue._values import ClaimedJob, Completed, Counts, Failed, JobState, Postponed
from undercroft.testing.conformance.queue._base import (
    LEASE_S,
    NewJobs,
    PassTime,
    Promises,
    claim,
    claim_one,
    complete,
    failed,
    fetch,
    require,
    rescue,
    state_of,
    worker,
)


class TokenPromises(Promises):
    """Tokens."""

    async def test_token_grows_with_every_claim(self, engine: Engine, jobs: NewJobs, clock: VirtualClock) -> None:
        tokens = []
        async with worker(engine) as me:
            await engine.add([jobs()])
            for outcome in (failed(retry_at=clock.time()), Postponed(until=clock.time()), None):
                job = await claim_one(engine, me)
                tokens.append(job.token)
                await (engine.finish(job, outcome) if outcome else engine.release([job]))
            tokens.append((await claim_one(engine, me)).token)

        assert tokens == sorted(set(tokens))

    @pytest.mark.parametrize("how", ["completed", "failed", "retried", "postponed"])
    async def test_old_token_finishes_nothing(
        self, engine: Engine, jobs: NewJobs, clock: VirtualClock, how: str
    ) -> None:
        outcomes: dict[str, Completed | Failed | Postponed] = {
            "completed": Completed(result=b"1"),
            "failed": failed(),
            "retried": failed(retry_at=clock.time()),
            "postponed": Postponed(until=clock.time()),
        }
        neighbour = jobs()
        async with worker(engine) as me, worker(engine) as other:
            old, current = await _claimed_twice(engine, jobs, me, other)
            await engine.add([neighbour])

            done = await engine.finish(old, outcomes[how], fetch=fetch(me))

            assert (done.is_recorded, done.next) == (False, None)
            record = await require(engine, old.id)
            assert (record.state, record.worker_id) == (JobState.ACTIVE, other)
            assert (record.failures, record.error, record.result) == (0, None, None)
            assert await state_of(engine, neighbour.id) is JobState.WAITING
            await complete(engine, current, b"2")

        assert (await require(engine, old.id)).result == b"2"

    async def test_old_token_releases_nothing(self, engine: Engine, jobs: NewJobs) -> None:
        async with worker(engine) as me, worker(engine) as other:
            old, current = await _claimed_twice(engine, jobs, me, other)

            await engine.release([old])

            assert await claim(engine, me) == ()
            await complete(engine, current)

    async def test_old_token_reports_no_progress(self, engine: Engine, jobs: NewJobs) -> None:
        async with worker(engine) as me, worker(engine) as other:
            old, current = await _claimed_twice(engine, jobs, me, other)
            await engine.set_progress(current, b"1")

            assert not await engine.set_progress(old, b"99")

            assert (await require(engine, old.id)).progress == b"1"

    async def test_old_token_pushes_no_lease_and_is_told_as_lost(
        self, engine: Engine, jobs: NewJobs, pass_time: PassTime
    ) -> None:
        async with worker(engine) as me, worker(engine) as other:
            old, current = await _claimed_twice(engine, jobs, me, other)
            await pass_time(20)

            assert (await engine.beat(me, [old], lease_s=LEASE_S)).lost == (old,)

            await pass_time(11)
            assert [rescued.worker_id for rescued in await rescue(engine)] == [other]
            assert (await engine.beat(other, [current], lease_s=LEASE_S)).lost == (current,)

    async def test_finishing_twice_counts_once(self, engine: Engine, jobs: NewJobs) -> None:
        async with worker(engine) as me:
            await engine.add([jobs(), jobs()])
            job = await claim_one(engine, me)
            await complete(engine, job, b"1")

            again = await engine.finish(job, Completed(result=b"2"), fetch=fetch(me))

            assert (again.is_recorded, again.next) == (False, None)
        assert (await require(engine, job.id)).result == b"1"
        assert await engine.counts() == Counts(waiting=1, completed=1)

    async def test_finished_job_takes_no_progress(self, engine: Engine, jobs: NewJobs) -> None:
        async with worker(engine) as me:
            await engine.add([jobs()])
            job = await claim_one(engine, me)
            await complete(engine, job)

            assert not await engine.set_progress(job, b"1")
            await engine.release([job])

        assert (await require(engine, job.id)).progress is None
        assert await state_of(engine, job.id) is JobState.COMPLETED

    async def test_claim_of_a_job_that_is_gone_changes_nothing(self, engine: Engine, jobs: NewJobs) -> None:
        new = jobs()
        async with worker(engine) as me:
            await engine.add([new])
            old = await claim_one(engine, me)
            await complete(engine, old)
            assert await engine.remove(new.id)

            assert not (await engine.finish(old, Completed(result=b"1"))).is_recorded
            assert (await engine.beat(me, [old], lease_s=LEASE_S)).lost == (old,)
            await engine.release([old])

        assert await engine.counts() == Counts()

    async def test_job_added_anew_under_an_old_id_is_not_the_old_claims(self, engine: Engine, jobs: NewJobs) -> None:
        new = jobs()
        async with worker(engine) as me:
            await engine.add([new])
            old = await claim_one(engine, me)
            await complete(engine, old)
            await engine.remove(new.id)
            await engine.add([new])
            current = await claim_one(engine, me)

            assert not (await engine.finish(old, Completed(result=b"1"))).is_recorded
            await complete(engine, current)

    async def test_beat_keeps_leases(self, engine: Engine, jobs: NewJobs, pass_time: PassTime) -> None:
        async with worker(engine) as me:
            await engine.add([jobs(), jobs()])
            held = await claim(engine, me)
            for _ in range(3):
                await pass_time(LEASE_S - 5)

                beat = await engine.beat(me, held, lease_s=LEASE_S)

                assert (beat.lost, beat.cancelled) == ((), ())
                assert await rescue(engine) == []
            for job in held:
                await complete(engine, job)

    async def test_beat_without_jobs_finds_nothing(self, engine: Engine) -> None:
        async with worker(engine) as me:
            beat = await engine.beat(me, [], lease_s=LEASE_S)

        assert (beat.lost, beat.cancelled) == ((), ())

    async def test_beat_tells_only_what_is_lost(self, engine: Engine, jobs: NewJobs) -> None:
        async with worker(engine) as me:
            await engine.add([jobs(), jobs(), jobs()])
            one, two, three = await claim(engine, me)
            await complete(engine, two)

            assert (await engine.beat(me, [one, two, three], lease_s=LEASE_S)).lost == (two,)

    async def test_pulse_beats_from_another_thread(self, engine: Engine, jobs: NewJobs, pass_time: PassTime) -> None:
        async with worker(engine) as me:
            await engine.add([jobs(), jobs()])
            kept, gone = await claim(engine, me)
            await complete(engine, gone)
            await pass_time(LEASE_S - 5)

            lost = await anyio.to_thread.run_sync(_beat_once, engine, me, (kept, gone))

            assert lost in (None, (gone,))  # None: this engine beats in the event loop
            if lost is not None:
                await pass_time(LEASE_S - 5)
                assert await rescue(engine) == []


def _beat_once(engine: Engine, worker_id: str, jobs: tuple[ClaimedJob, ...]) -> tuple[ClaimedJob, ...] | None:
    pulse = engine.pulse(worker_id)
    if pulse is None:
        return None
    try:
        return pulse.beat(jobs, lease_s=LEASE_S).lost
    finally:
        pulse.close()


async def _claimed_twice(engine: Engine, jobs: NewJobs, me: str, other: str) -> tuple[ClaimedJob, ClaimedJob]:
    """Add a job, and claim it for `me`, then, while `me` thinks that it holds it, for `other`."""
    await engine.add([jobs()])
    old = await claim_one(engine, me)
    await engine.release([old])
    return old, await claim_one(engine, other)
