"""What the Redis engine does when Redis, or the way to it, fails: nothing lost, nothing run twice, and it heals."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from tests.connections.redis._servers import RedisServer, SentinelGroup, until
from undercroft._core.clock import VirtualClock
from undercroft._core.url import Url
from undercroft.queue._errors import QueueUnavailableError
from undercroft.queue._values import Claim, Completed, Counts, Fetch, JobState
from undercroft.queue.redis import RedisQueue
from undercroft.queue.redis._scripts import load_scripts
from undercroft.testing.conformance.queue._base import NewJobs, claim, claim_one, complete, fail, fetch, worker
from undercroft.testing.fault_proxy import FaultProxy

pytestmark = [pytest.mark.anyio, pytest.mark.redis]
QUEUE = ("default",)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def jobs(clock: VirtualClock) -> NewJobs:
    return NewJobs(clock)


@pytest.fixture
async def proxy(shared_server: RedisServer, url: str) -> AsyncIterator[FaultProxy]:
    """The way to an empty server."""
    async with FaultProxy("127.0.0.1", shared_server.port) as proxy:
        yield proxy


@pytest.fixture
async def engine(proxy: FaultProxy, clock: VirtualClock) -> AsyncIterator[RedisQueue]:
    """An engine behind the proxy."""
    url = proxy.url("redis://{host}:{port}?socket_timeout_s=0.5&connect_timeout_s=0.5")
    async with RedisQueue.from_url(Url.parse(url), clock=clock) as engine:
        yield engine


def sha(script: str) -> bytes:
    return load_scripts()[script].sha.encode()


# --- Answers that are lost ------------------------------------------------------------------------------------------


async def test_jobs_of_a_claim_whose_answer_was_lost_are_handed_out_by_the_next(
    engine: RedisQueue, proxy: FaultProxy, jobs: NewJobs
) -> None:
    new = [jobs() for _ in range(3)]
    await engine.add(new)
    async with worker(engine) as me:
        await complete(engine, await claim_one(engine, me))
        proxy.lose_reply(to=sha("moveToActive"))
        with pytest.raises(QueueUnavailableError):
            await claim(engine, me)

        again = await claim(engine, me)

    assert sorted(job.id for job in again) == sorted(job.id for job in new[1:])
    assert [job.attempt for job in again] == [1, 1]


async def test_end_whose_answer_was_lost_is_recorded_once(engine: RedisQueue, proxy: FaultProxy, jobs: NewJobs) -> None:
    await engine.add([jobs()])
    async with worker(engine) as me:
        job = await claim_one(engine, me)
        proxy.lose_reply(to=sha("moveToFinished"))
        with pytest.raises(QueueUnavailableError):
            await engine.finish(job, Completed(result=b"1"))

        assert (await engine.finish(job, Completed(result=b"1"))).is_recorded
        assert not (await engine.finish(job, Completed(result=b"1"))).is_recorded

    assert await engine.counts() == Counts(completed=1)


async def test_retry_whose_answer_was_lost_counts_one_failure(
    engine: RedisQueue, proxy: FaultProxy, jobs: NewJobs, clock: VirtualClock
) -> None:
    await engine.add([jobs()])
    async with worker(engine) as me:
        job = await claim_one(engine, me)
        proxy.lose_reply(to=sha("moveToDelayed"))
        with pytest.raises(QueueUnavailableError):
            await fail(engine, job, retry_at=clock.time() + 60)

        await fail(engine, job, retry_at=clock.time() + 60)
        await clock.advance(61)
        assert (await claim_one(engine, me)).failures == 1


async def test_job_fetched_with_an_answer_that_was_lost_is_handed_out_by_the_next_claim(
    engine: RedisQueue, proxy: FaultProxy, jobs: NewJobs
) -> None:
    second = jobs()
    await engine.add([jobs(), jobs(), second])
    async with worker(engine) as me:
        await complete(engine, await claim_one(engine, me))  # from now on the server knows the script
        job = await claim_one(engine, me)
        proxy.lose_reply(to=sha("moveToFinished"))
        with pytest.raises(QueueUnavailableError):
            await engine.finish(job, Completed(result=b"1"), fetch=fetch(me))
        done = await engine.finish(job, Completed(result=b"1"), fetch=fetch(me))
        assert (done.is_recorded, done.next) == (True, None)

        assert (await claim_one(engine, me)).id == second.id


async def test_everybody_who_waits_for_an_answer_is_told_when_the_connection_is_cut(
    engine: RedisQueue, proxy: FaultProxy, jobs: NewJobs
) -> None:
    await engine.ping()
    outcomes: Counter[str] = Counter()
    new = [jobs() for _ in range(50)]

    async def add(job: Any) -> None:
        try:
            await engine.add([job])
            outcomes["stored"] += 1
        except QueueUnavailableError:
            outcomes["unknown"] += 1

    proxy.cut_mid_reply(after_bytes=200, to=b"EVALSHA")
    async with anyio.create_task_group() as tasks:
        for job in new:
            tasks.start_soon(add, job)
    assert outcomes.total() == 50
    assert outcomes["unknown"] > 0

    for job in new:
        await engine.add([job])
    assert await engine.counts() == Counts(waiting=50)


async def test_silent_server_is_given_up_within_the_timeout(
    engine: RedisQueue, proxy: FaultProxy, jobs: NewJobs
) -> None:
    await engine.ping()
    proxy.stall()
    with anyio.fail_after(5), pytest.raises(QueueUnavailableError):
        await engine.add([jobs()])
    proxy.heal()
    await engine.add([jobs()])


async def test_unreachable_server_is_one_failure_for_all_who_try(
    engine: RedisQueue, proxy: FaultProxy, jobs: NewJobs
) -> None:
    await engine.ping()
    await proxy.refuse()
    proxy.cut()
    failed = 0

    async def add() -> None:
        nonlocal failed
        with pytest.raises(QueueUnavailableError):
            await engine.add([jobs()])
        failed += 1

    with anyio.fail_after(5):  # not one connect timeout after the other
        async with anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(add)
    assert failed == 100
    proxy.heal()
    await engine.ping()


async def test_waiting_for_work_ends_with_the_connection(engine: RedisQueue, proxy: FaultProxy) -> None:
    await engine.ping()

    async def cut() -> None:
        while True:  # one that is cut in its handshake is made again, and nothing was lost then
            await until_async(lambda: proxy.counts.open >= 2)
            await anyio.sleep(0.02)
            proxy.cut()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cut)
        with anyio.fail_after(5), pytest.raises(QueueUnavailableError):
            await wait_for_ever(engine)
        tasks.cancel_scope.cancel()
    await engine.wait_for_work(QUEUE, since=engine.changes, timeout=0.01)


async def wait_for_ever(engine: RedisQueue) -> None:
    while True:
        await engine.wait_for_work(QUEUE, since=engine.changes, timeout=60)


# --- What the server says -------------------------------------------------------------------------------------------


async def test_forgotten_scripts_are_sent_again(engine: RedisQueue, shared_server: RedisServer, jobs: NewJobs) -> None:
    async with worker(engine) as me:
        for _ in range(2):
            await engine.add([jobs()])
            await engine.add([jobs(), jobs()])
            shared_server.cli("script", "flush")
            await engine.add(jobs.family({}, {}))
            shared_server.cli("script", "flush")
            found = await claim(engine, me, limit=20)
            assert len(found) == 5
            shared_server.cli("script", "flush")
            for job in found:
                await complete(engine, job)
            for parent in await claim(engine, me, names=("parent",)):
                await complete(engine, parent)

    assert await engine.counts() == Counts(completed=12)


async def test_full_memory_refuses_jobs_loudly_stores_none_and_lets_runs_end(
    engine: RedisQueue, shared_server: RedisServer, jobs: NewJobs
) -> None:
    await engine.add([jobs(), jobs()])
    async with worker(engine) as me:
        held = await claim_one(engine, me)
        shared_server.cli("config", "set", "maxmemory", "1")
        try:
            with pytest.raises(QueueUnavailableError, match="out of memory"):
                await engine.add([jobs()])
            with pytest.raises(QueueUnavailableError, match="out of memory"):
                await engine.add([jobs(), jobs()])
            await complete(engine, held)
        finally:
            shared_server.cli("config", "set", "maxmemory", "0")

        assert await engine.counts() == Counts(waiting=1, completed=1)
        await complete(engine, await claim_one(engine, me))


async def test_primary_that_became_a_replica_is_left_and_taken_up_again(
    engine: RedisQueue, shared_server: RedisServer, server: RedisServer, jobs: NewJobs
) -> None:
    await engine.add([jobs()])
    shared_server.cli("replicaof", "127.0.0.1", server.port)
    try:
        with pytest.raises(QueueUnavailableError):
            await engine.add([jobs()])
    finally:
        shared_server.cli("replicaof", "no", "one")
    await engine.add([jobs()])


async def test_failover_loses_no_job_that_was_replicated(tmp_path: Path, jobs: NewJobs, clock: VirtualClock) -> None:
    with SentinelGroup(tmp_path) as group:
        async with RedisQueue.from_url(Url.parse(group.url), clock=clock) as engine, worker(engine) as me:
            await engine.add([jobs() for _ in range(20)])
            held = await claim(engine, me, limit=5)
            await anyio.to_thread.run_sync(lambda: until(lambda: replicated(group)))
            await anyio.to_thread.run_sync(group.primary.stop)

            async with anyio.create_task_group() as tasks:
                for job in held:
                    tasks.start_soon(persist, partial(engine.finish, job, Completed(result=b"1")))
            await persist(lambda: engine.add([jobs()]))

            assert await engine.counts() == Counts(waiting=16, completed=5)


def replicated(group: SentinelGroup) -> bool:
    return len({server.cli("dbsize") for server in (group.primary, group.replica)}) == 1


# --- Everything at once ---------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_ten_restarts_under_load_lose_nothing_and_run_nothing_twice(server: RedisServer) -> None:
    total, restarts = 3000, 10
    async with RedisQueue.from_url(Url.parse(server.url)) as engine:
        drill = Drill(engine, total)
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(drill.produce)
            for _ in range(8):
                tasks.start_soon(drill.work)
            for number in range(1, restarts + 1):
                await until_async(partial(drill.has_run, total * number // (restarts + 2)))
                await anyio.to_thread.run_sync(server.stop)
                await anyio.to_thread.run_sync(server.start)

        assert len(drill.runs) == total
        assert set(drill.runs.values()) == {1}
        assert drill.refused == 0
        assert engine._store.outages >= restarts
        assert await engine.counts() == Counts(completed=total)


class Drill:
    """Producers and workers that go on whatever Redis does."""

    def __init__(self, engine: RedisQueue, total: int) -> None:
        self._engine = engine
        self._total = total
        self._numbers = itertools.count()
        self._stored = 0
        self._jobs = NewJobs(VirtualClock())
        self.runs: Counter[str] = Counter()
        self.refused = 0

    def has_run(self, count: int) -> bool:
        return len(self.runs) >= count

    async def produce(self) -> None:
        while next(self._numbers) < self._total:
            new = self._jobs(created_at=self._engine.time(), due_at=self._engine.time())
            await persist(partial(self._engine.add, [new]))

    async def work(self) -> None:
        engine, me = self._engine, "drill"
        wanted = Fetch(names=frozenset({"job"}), worker_id=me, lease_s=60.0)
        while len(self.runs) < self._total:
            found: Claim = await persist(
                lambda: engine.claim(queues=QUEUE, names=("job",), limit=1, worker_id=me, lease_s=60.0)
            )
            job = found.jobs[0] if found.jobs else None
            while job is not None:
                self.runs[job.id] += 1
                done = await persist(partial(engine.finish, job, Completed(result=b"1"), fetch=wanted))
                self.refused += not done.is_recorded
                job = done.next
            await anyio.sleep(0.001)


async def persist(call: Callable[[], Awaitable[Any]]) -> Any:
    """Make a call until the store takes it."""
    with anyio.fail_after(60):
        while True:
            try:
                return await call()
            except QueueUnavailableError:
                await anyio.sleep(0.02)


async def until_async(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(60):
        while not condition():
            await anyio.sleep(0.002)


async def test_job_state_is_what_it_was_after_a_restart(
    server: RedisServer, jobs: NewJobs, clock: VirtualClock
) -> None:
    async with RedisQueue.from_url(Url.parse(server.url), clock=clock) as engine, worker(engine) as me:
        active, waiting, delayed = jobs(), jobs(), jobs.later(60)
        await engine.add([active, waiting, delayed])
        held = await claim_one(engine, me)
        await anyio.to_thread.run_sync(server.stop)
        await anyio.to_thread.run_sync(server.start)

        states = [(await persist(partial(engine.get, job.id))).state for job in (active, waiting, delayed)]
        assert states == [JobState.ACTIVE, JobState.WAITING, JobState.DELAYED]
        await complete(engine, held)
