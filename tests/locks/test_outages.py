"""The store is away: nobody enters, a holder keeps the lock to the end of its lease and not beyond."""

# ruff: noqa: PT012 - it is the end of a block that raises

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from tests.connections.redis._servers import RedisServer, SentinelGroup
from undercroft._core.sqlite import SqliteOptions
from undercroft.resilience._locks import LockLostError, Locks, LockUnavailableError, create_locks, open_lock_store
from undercroft.resilience._locks.sqlite import SqliteLocks
from undercroft.testing.fault_proxy import FaultProxy
from undercroft.testing.outages import OUTAGES, Outage, RedisOutages, SqliteOutages

pytestmark = pytest.mark.anyio
TIMEOUT_S = 0.8
TTL_S = 0.6
KINDS = [("redis", outage) for outage in OUTAGES] + [
    ("sqlite", outage) for outage in OUTAGES if outage is not Outage.CUT
]


@dataclass(slots=True)
class Rig:
    """Locks, and a way to take their store away."""

    locks: Locks
    outages: RedisOutages | SqliteOutages


@asynccontextmanager
async def sqlite_rig(path: Path) -> AsyncIterator[Rig]:
    store = SqliteLocks(path, options=SqliteOptions(busy_timeout_s=0.2))
    async with Locks(store, timeout=TIMEOUT_S) as locks:
        await locks.ping()
        with SqliteOutages(path, run=store._store.read) as outages:
            yield Rig(locks, outages)


@asynccontextmanager
async def redis_rig(server: RedisServer) -> AsyncIterator[Rig]:
    async with (
        RedisOutages("127.0.0.1", server.port) as outages,
        Locks(open_lock_store(outages.url), timeout=TIMEOUT_S) as locks,
    ):
        yield Rig(locks, outages)


@pytest.fixture
async def rig(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    if kind == "redis":
        server = request.getfixturevalue("redis_server")
        server.cli("flushall")
        async with redis_rig(server) as rig:
            yield rig
    else:
        async with sqlite_rig(tmp_path / "locks.db") as rig:
            yield rig


@pytest.mark.parametrize(("kind", "outage"), KINDS)
async def test_nobody_enters_during_an_outage(rig: Rig, outage: Outage) -> None:
    async with rig.outages.during(outage):
        began = time.monotonic()
        with pytest.raises(LockUnavailableError):
            async with rig.locks.lock("a", ttl=TTL_S):
                raise AssertionError("entered")
        assert time.monotonic() - began < TIMEOUT_S + 1
        with pytest.raises(LockUnavailableError):
            await rig.locks.lock("a", ttl=TTL_S).try_acquire()
    async with rig.locks.lock("a", ttl=TTL_S) as lease:  # at the latest when what was perhaps granted has ended
        assert lease.is_held


# Redis extends a lease that it has without more memory: see the next test.
@pytest.mark.parametrize(("kind", "outage"), [kind for kind in KINDS if kind != ("redis", Outage.OUT_OF_MEMORY)])
async def test_holder_gives_up_at_the_end_of_its_lease(rig: Rig, outage: Outage) -> None:
    async with rig.outages.during(outage):
        pass  # the parts that an outage needs are warm
    began = time.monotonic()
    with pytest.raises(LockLostError):
        async with rig.locks.lock("a", ttl=TTL_S):
            began = time.monotonic()
            async with rig.outages.during(outage):
                await anyio.sleep(10)
    assert time.monotonic() - began < TTL_S + 1
    async with rig.locks.lock("a", ttl=TTL_S, wait="3s") as lease:
        assert lease.is_held


@pytest.mark.parametrize("kind", ["redis"])
async def test_holder_keeps_the_lock_while_redis_has_no_memory(rig: Rig) -> None:
    async with rig.locks.lock("a", ttl=TTL_S) as lease:
        async with rig.outages.during(Outage.OUT_OF_MEMORY):
            await anyio.sleep(TTL_S * 2)
        assert lease.is_held
    assert await rig.locks.list() == ()


@pytest.mark.parametrize(("kind", "outage"), [("redis", Outage.STALLED), ("sqlite", Outage.STALLED)])
async def test_outage_shorter_than_the_lease_is_got_over(rig: Rig, outage: Outage) -> None:
    async with rig.locks.lock("a", ttl=1.5) as lease:
        async with rig.outages.during(outage):
            await anyio.sleep(0.8)
        await anyio.sleep(1.5)
        assert lease.is_held


@pytest.mark.parametrize("kind", ["redis", "sqlite"])
async def test_block_that_ended_well_stays_so_when_it_cannot_release(rig: Rig) -> None:
    async with AsyncExitStack() as ends:
        async with rig.locks.lock("a", ttl="2s") as lease:
            await ends.enter_async_context(rig.outages.during(Outage.READ_ONLY))
        assert not lease.is_held
    async with rig.locks.lock("a", wait="5s"):
        pass  # when the lease has ended by itself


@pytest.mark.parametrize("kind", ["redis", "sqlite"])
async def test_release_that_failed_can_be_done_again(rig: Rig) -> None:
    lease = await rig.locks.lock("a", ttl="30s").acquire()
    async with rig.outages.during(Outage.READ_ONLY):
        with pytest.raises(LockUnavailableError):
            await lease.release()
        assert not lease.is_held
    assert await lease.release() is True
    assert await rig.locks.list() == ()


@pytest.mark.parametrize("kind", ["redis", "sqlite"])
async def test_all_who_wait_in_line_are_told_at_once(rig: Rig) -> None:
    errors = list[LockUnavailableError]()

    async def enter() -> None:
        with pytest.raises(LockUnavailableError) as caught:
            await rig.locks.lock("a", wait="1m").acquire()
        errors.append(caught.value)

    async with rig.outages.during(Outage.STALLED):
        began = time.monotonic()
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(enter)
        assert time.monotonic() - began < TIMEOUT_S + 1
    assert len(errors) == 20


async def test_lease_that_ended_before_its_answer_came_lets_nobody_in(
    redis_server: RedisServer, redis_url: str
) -> None:
    async with (
        FaultProxy("127.0.0.1", redis_server.port) as proxy,
        Locks(open_lock_store(proxy.url("redis://{host}:{port}/0"))) as locks,
    ):
        await locks.ping()
        proxy.delay(0.2)
        with pytest.raises(LockUnavailableError, match="took longer"):
            await locks.lock("a", ttl="100ms").acquire()
        proxy.heal()
        assert await locks.list() == ()


async def test_shorter_lease_whose_answer_was_lost_is_counted_as_the_shorter(
    redis_server: RedisServer, redis_url: str
) -> None:
    async with (
        FaultProxy("127.0.0.1", redis_server.port) as proxy,
        Locks(open_lock_store(proxy.url("redis://{host}:{port}/0")), timeout="200ms") as locks,
    ):
        lease = await locks.lock("a", ttl="60s").acquire()
        proxy.stall()
        with pytest.raises(LockUnavailableError):
            await lease.extend("5s")
        assert 0 < lease.expires_in_s <= 5
        proxy.heal()
        await anyio.sleep(0.1)
        assert lease.expires_in_s > 5  # it was due, and is renewed by what it had


async def test_answers_that_were_lost_do_no_harm(redis_server: RedisServer, redis_url: str) -> None:
    async with (
        FaultProxy("127.0.0.1", redis_server.port) as proxy,
        Locks(open_lock_store(proxy.url("redis://{host}:{port}/0"))) as locks,
    ):
        async with locks.lock("warm"):
            pass
        proxy.lose_reply(to=b"undercroft:lock")
        lease = await locks.lock("a").acquire()  # granted twice, to the same claim
        assert lease.is_held
        assert len(await locks.list()) == 1
        proxy.lose_reply(to=b"undercroft:lock")
        await lease.extend("20s")
        proxy.lose_reply(to=b"undercroft:lock")
        assert await lease.release() is True
        assert await locks.list() == ()
        assert proxy.counts.cut == 3


@pytest.mark.slow
async def test_locks_go_on_after_a_failover(tmp_path: Path) -> None:
    with SentinelGroup(tmp_path) as group:
        async with create_locks(group.url, timeout="1s") as locks:
            async with locks.lock("a") as before:
                pass
            group.primary.stop()
            after = None
            with anyio.fail_after(30):
                while after is None:
                    try:
                        after = await locks.lock("a").acquire()
                    except LockUnavailableError:
                        await anyio.sleep(0.1)
            assert after.token > before.token
            assert await after.release()
