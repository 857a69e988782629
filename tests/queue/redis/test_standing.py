"""A claim that waits in Redis: the job comes with the wake-up, and none is lost or run twice whatever happens then."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

import anyio
import pytest

from tests.connections.redis._servers import Cluster, RedisServer
from undercroft._core.clock import VirtualClock
from undercroft._core.url import Url
from undercroft.connections.redis import RedisConnection
from undercroft.queue._errors import QueueUnavailableError
from undercroft.queue._values import Claim, ClaimedJob, Counts, Doom, QueueSettings, RateLimit
from undercroft.queue.redis import RedisQueue
from undercroft.testing.conformance.queue._base import NewJobs, complete, worker
from undercroft.testing.fault_proxy import FaultProxy

pytestmark = [pytest.mark.anyio, pytest.mark.redis]
QUEUE = "default"


@pytest.fixture
def jobs() -> NewJobs:
    return NewJobs(VirtualClock())


@pytest.fixture
async def other(url: str) -> AsyncIterator[RedisQueue]:
    """Another process's engine."""
    async with RedisQueue.from_url(Url.parse(url)) as engine:
        yield engine


async def claim(engine: RedisQueue, me: str, *, limit: int = 5, names: Sequence[str] = ("job",)) -> Claim:
    return await engine.claim(queues=[QUEUE], names=names, limit=limit, worker_id=me, lease_s=30)


async def wait(engine: RedisQueue, timeout: float = 9) -> None:
    with anyio.fail_after(15):
        await engine.wait_for_work([QUEUE], since=engine.changes, timeout=timeout)


async def wait_until_blocked(engine: RedisQueue, count: int = 1) -> None:
    """Return when so many connections of the server block."""
    with anyio.fail_after(5):
        while f"blocked_clients:{count}\r" not in (await engine._store.command("INFO", "clients")).decode():
            await anyio.sleep(0.001)


async def blocked_then_add(engine: RedisQueue, me: str, other: RedisQueue, new: Any, **wanted: Any) -> Claim:
    """Have `me` wait in vain, add a job elsewhere, and return what the claim after the wake-up found."""
    assert not (await claim(engine, me, **wanted)).jobs
    async with anyio.create_task_group() as tasks:

        async def add() -> None:
            await wait_until_blocked(other)
            await other.add(new if isinstance(new, list) else [new])

        tasks.start_soon(add)
        await wait(engine)
    return await claim(engine, me, **wanted)


async def scripts_run(engine: RedisQueue) -> int:
    """Return how many scripts the server was asked to run by their digest."""
    text: str = (await engine._store.command("INFO", "commandstats")).decode()
    return int(text.partition("cmdstat_evalsha:calls=")[2].partition(",")[0] or 0)


# --- The wake-up ----------------------------------------------------------------------------------------------------


async def test_job_comes_with_the_wake_up(engine: RedisQueue, other: RedisQueue, jobs: NewJobs) -> None:
    new = jobs()
    async with worker(engine) as me:
        before = await scripts_run(other)
        [job] = (await blocked_then_add(engine, me, other, new)).jobs
        assert (job.id, job.attempt) == (new.id, 1)
        assert await scripts_run(other) == before + 4  # two that found nothing, the one that stood, and the add
        await complete(engine, job)
    assert await other.counts() == Counts(completed=1)


async def test_time_of_the_claim_is_when_the_job_came(engine: RedisQueue, other: RedisQueue, jobs: NewJobs) -> None:
    async with worker(engine) as me:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait_and_more, engine, me)
            await wait_until_blocked(other)
            await anyio.sleep(0.05)  # the age of the command that stands there
            added_at = other.time()
            await other.add([jobs(created_at=added_at, due_at=added_at)])
        [job] = (await claim(engine, me)).jobs
        keys = other._store.keys(QUEUE)
        assert int(await other._store.command("HGET", keys.job(job.id), "processedOn")) >= int(added_at * 1000)


async def test_jobs_that_come_together_are_all_found(engine: RedisQueue, other: RedisQueue, jobs: NewJobs) -> None:
    async with worker(engine) as me:
        found = [*(await blocked_then_add(engine, me, other, [jobs() for _ in range(20)], limit=20)).jobs]
        calls = 1
        while len(found) < 20:
            await wait(engine)
            found += (await claim(engine, me, limit=20 - len(found))).jobs
            calls += 1
        assert len({job.id for job in found}) == 20
        assert calls <= 3  # the first alone, then more and more


async def test_claim_that_found_all_it_wanted_leaves_no_standing_one(
    engine: RedisQueue, other: RedisQueue, jobs: NewJobs
) -> None:
    async with worker(engine) as me:
        await other.add([jobs()])

        async def work() -> None:
            assert len((await claim(engine, me, limit=1)).jobs) == 1
            await wait(engine)  # for the marker that the claim left
            await wait(engine)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work)
            await wait_until_blocked(other)
            await other.add([jobs()])
        assert (await other.counts()).waiting == 1


async def test_job_that_becomes_due_comes_with_the_end_of_the_wait(
    engine: RedisQueue, other: RedisQueue, jobs: NewJobs
) -> None:
    now = other.time()
    await other.add([jobs(created_at=now, due_at=now + 0.1)])
    async with worker(engine) as me:
        found = await claim(engine, me)
        with anyio.fail_after(5):
            while not found.jobs:
                assert found.next_due_at is not None
                await wait(engine, max(0.001, found.next_due_at - engine.time()))
                found = await claim(engine, me)


async def test_standing_claim_on_a_cluster(shared_cluster: Cluster, jobs: NewJobs) -> None:
    async with RedisConnection(shared_cluster.url) as connection:
        await connection.client.flushall()
    url = Url.parse(shared_cluster.url)
    async with RedisQueue.from_url(url) as engine, RedisQueue.from_url(url) as other, worker(engine) as me:
        new = jobs()
        [job] = (await blocked_then_add(engine, me, other, new)).jobs
        assert job.id == new.id
        await complete(engine, job)


# --- What it brings is treated like any other -----------------------------------------------------------------------


async def test_unknown_name_is_parked(engine: RedisQueue, other: RedisQueue, jobs: NewJobs) -> None:
    new = jobs(name="unheard-of")
    async with worker(engine) as me:
        assert not (await blocked_then_add(engine, me, other, new)).jobs
        assert await engine.park_unknown(queues=[QUEUE], names=["job"]) == [(new.id, "unheard-of")]
    assert (await other.counts()).active == 0


async def test_doomed_job_comes_with_its_reason(engine: RedisQueue, other: RedisQueue, jobs: NewJobs) -> None:
    new = jobs(due_at=other.time() + 60)
    await other.add([new])
    await other._store.command("DEL", other._store.keys(QUEUE).key("marker"))
    async with worker(engine) as me:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait_and_more, engine, me)
            await wait_until_blocked(other)
            assert await other.cancel(new.id)
        [job] = (await claim(engine, me)).jobs
        assert job.doom == Doom(error_type="Cancelled", error="cancelled")


async def test_crash_delay_is_waited_for(engine: RedisQueue, other: RedisQueue, jobs: NewJobs) -> None:
    new = jobs()
    async with worker(engine) as me:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait_and_more, engine, me)
            await wait_until_blocked(other)
            keys = other._store.keys(QUEUE)
            add = [("HSET", keys.job(new.id), "stc", "2")]
            await other._store.pipeline(add)
            await other._store.command("HSET", keys.job(new.id), "name", "job", "data", "{}", "timestamp", "1")
            await other._store.pipeline(
                [("LPUSH", keys.key("wait"), new.id), ("ZADD", keys.key("marker"), 0, "0")], atomic=True
            )
        assert not (await claim(engine, me)).jobs
    assert await other.counts() == Counts(delayed=1)


@pytest.mark.parametrize(
    "settings",
    [QueueSettings(is_paused=True), QueueSettings(max_active=1), QueueSettings(rate=RateLimit(max=1, per_s=60))],
)
async def test_queue_that_hands_nothing_out_is_not_asked_all_the_time(
    engine: RedisQueue, other: RedisQueue, jobs: NewJobs, settings: QueueSettings
) -> None:
    await other.add([jobs() for _ in range(3)])
    async with worker(other) as him, worker(engine) as me:
        await other.configure(QUEUE, settings)
        if not settings.is_paused:
            assert (await claim(other, him, limit=1)).jobs
        turns, before = 0, await scripts_run(other)
        with anyio.move_on_after(0.5):
            while True:
                assert not (await claim(engine, me)).jobs
                await wait(engine, 0.2)
                turns += 1
        assert turns < 12
        assert await scripts_run(other) - before < 40


# --- Nobody takes it ------------------------------------------------------------------------------------------------


async def test_job_that_no_claim_takes_is_released_uncounted(
    engine: RedisQueue, other: RedisQueue, jobs: NewJobs
) -> None:
    async with worker(engine) as me, worker(other) as him:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait_and_more, engine, me)
            await wait_until_blocked(other)
            await other.add([jobs()])
        [job] = (await eventually(other, him)).jobs
        assert (job.attempt, job.crashes) == (1, 0)
        await complete(other, job)


async def wait_and_more(engine: RedisQueue, me: str, timeout: float = 9) -> None:
    assert not (await claim(engine, me)).jobs
    await wait(engine, timeout)


async def eventually(engine: RedisQueue, me: str) -> Claim:
    found = Claim(jobs=(), next_due_at=None)
    with anyio.fail_after(5):
        while not found.jobs:
            found = await claim(engine, me)
            await anyio.sleep(0.01)
    return found


async def test_job_of_a_worker_that_leaves_is_free_at_once(url: str, other: RedisQueue, jobs: NewJobs) -> None:
    async with RedisQueue.from_url(Url.parse(url)) as engine:
        async with worker(engine) as me, anyio.create_task_group() as tasks:
            tasks.start_soon(wait_and_more, engine, me)
            await wait_until_blocked(other)
            await other.add([jobs()])
        assert await other.counts() == Counts(waiting=1)


@pytest.mark.parametrize("turns", range(12))
async def test_cancelled_wait_gives_back_what_came_meanwhile(
    engine: RedisQueue, other: RedisQueue, jobs: NewJobs, turns: int
) -> None:
    async with worker(engine) as me, worker(other) as him:
        for _ in range(15):
            leaving = anyio.CancelScope()
            is_cut: list[bool] = []

            async def idle(scope: anyio.CancelScope = leaving, is_cut: list[bool] = is_cut) -> None:
                assert not (await claim(engine, me)).jobs
                with scope:
                    await wait(engine)
                is_cut.append(scope.cancelled_caught)

            await other._store.command("DEL", other._store.keys(QUEUE).key("marker"))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(idle)
                await wait_until_blocked(other)
                tasks.start_soon(other.add, [jobs()])
                for _ in range(turns):
                    await anyio.sleep(0)
                leaving.cancel()
            [job] = (await claim(other, him) if is_cut == [True] else await claim(engine, me)).jobs
            assert (job.attempt, job.crashes) == (1, 0)
            await complete(other if is_cut == [True] else engine, job)
    assert (await other.counts()).active == 0


async def test_cancelled_wait_ends_at_once(engine: RedisQueue, other: RedisQueue) -> None:
    async with worker(engine) as me:
        for _ in range(20):
            leaving = anyio.CancelScope()

            async def idle(scope: anyio.CancelScope = leaving) -> None:
                assert not (await claim(engine, me)).jobs
                with scope:
                    await wait(engine)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(idle)
                await wait_until_blocked(other)
                with anyio.fail_after(0.1):
                    leaving.cancel()
                    await until_free(other)
    assert len(engine._now.waiting._all) <= 2


async def until_free(engine: RedisQueue) -> None:
    await wait_until_blocked(engine, 0)


async def test_closing_the_engine_gives_back_what_came(url: str, other: RedisQueue, jobs: NewJobs) -> None:
    for turns in range(12):
        await other._store.command("DEL", other._store.keys(QUEUE).key("marker"))
        async with worker(other) as him:
            async with RedisQueue.from_url(Url.parse(url)) as engine, anyio.create_task_group() as tasks:
                tasks.start_soon(idle_until_closed, engine)
                await wait_until_blocked(other)
                tasks.start_soon(other.add, [jobs()])
                for _ in range(turns):
                    await anyio.sleep(0)
                await engine.__aexit__(None, None, None)
            [job] = (await claim(other, him)).jobs
            await complete(other, job)


async def idle_until_closed(engine: RedisQueue) -> None:
    assert not (await claim(engine, "closing")).jobs
    with suppress(QueueUnavailableError):
        await wait(engine)


# --- Faults ---------------------------------------------------------------------------------------------------------


async def test_forgotten_script_only_costs_a_round_trip(
    engine: RedisQueue, other: RedisQueue, shared_server: RedisServer, jobs: NewJobs
) -> None:
    async with worker(engine) as me:
        for _ in range(3):
            await other._store.command("DEL", other._store.keys(QUEUE).key("marker"))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait_and_more, engine, me)
                await wait_until_blocked(other)
                await other._store.command("SCRIPT", "FLUSH")
                await other.add([jobs()])
            [job] = (await claim(engine, me)).jobs
            await complete(engine, job)
    assert await other.counts() == Counts(completed=3)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_cut_connection_loses_no_job(
    url: str, shared_server: RedisServer, other: RedisQueue, jobs: NewJobs, when: str
) -> None:
    async with FaultProxy("127.0.0.1", shared_server.port) as proxy:
        way = Url.parse(proxy.url("redis://{host}:{port}?socket_timeout_s=0.5&connect_timeout_s=0.5"))
        async with RedisQueue.from_url(way) as engine, worker(engine) as me:
            await wait_and_more(engine, me, 0.01)  # the connection is made, and the script is there
            async with anyio.create_task_group() as tasks:
                if when == "after":
                    proxy.lose_reply(to=b"BZPOPMIN")
                tasks.start_soon(wait_until_cut, engine, me)
                await wait_until_blocked(other)
                if when == "before":
                    proxy.cut()
                await other.add([jobs()])
            with anyio.fail_after(5):
                found: tuple[ClaimedJob, ...] = ()
                while not found:
                    try:
                        found = (await claim(engine, me)).jobs
                    except QueueUnavailableError:
                        await anyio.sleep(0.01)
            assert (found[0].attempt, found[0].crashes) == (1, 0)
            await complete(engine, found[0])
    assert await other.counts() == Counts(completed=1)


async def wait_until_cut(engine: RedisQueue, me: str) -> None:
    assert not (await claim(engine, me)).jobs
    with suppress(QueueUnavailableError):
        await wait(engine, 1)


async def test_orphan_of_one_worker_is_found_by_another_of_the_engine(engine: RedisQueue, jobs: NewJobs) -> None:
    await engine.add([jobs()])
    async with worker(engine) as me, worker(engine) as second:
        [job] = (await claim(engine, me)).jobs
        engine._now.claims.abandon([job.lock])
        assert [again.id for again in (await claim(engine, second)).jobs] == [job.id]


# --- Several --------------------------------------------------------------------------------------------------------


async def test_of_two_idle_workers_each_job_wakes_one_and_runs_once(
    engine: RedisQueue, other: RedisQueue, jobs: NewJobs
) -> None:
    total, runs = 300, Counter[str]()

    async def work(mine: RedisQueue, me: str) -> None:
        while len(runs) < total:
            for job in (await claim(mine, me)).jobs:
                runs[job.id] += 1
                await complete(mine, job)
            await wait(mine, 0.2)

    async with worker(engine) as one, worker(engine) as two, worker(other) as three:
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                for mine, me in ((engine, one), (engine, two), (other, three)):
                    tasks.start_soon(work, mine, me)
                for number in range(total):
                    await other.add([jobs()])
                    if number % 3:
                        await anyio.sleep(0.001)
    assert set(runs.values()) == {1}
    assert await other.counts() == Counts(completed=total)
