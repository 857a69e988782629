"""Every store keeps what every store promises, and what is its own beyond that."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from tests.connections.redis._servers import Cluster, RedisServer
from undercroft._core.clock import Clock, SystemClock, VirtualClock
from undercroft._core.errors import ConfigError
from undercroft.connections.redis import RedisConnection
from undercroft.connections.redis._settings import SCHEMES as REDIS_SCHEMES
from undercroft.resilience._locks import Granted, Held, Locks, LockUnavailableError, _schemes, open_lock_store
from undercroft.resilience._locks._protocol import LockStore
from undercroft.resilience._locks.memory import MemoryLocks
from undercroft.resilience._locks.sqlite import SqliteLocks
from undercroft.testing.conformance.locks import LockStoreConformance, PassTime, claim, token_of

pytestmark = pytest.mark.anyio


class TestMemoryLocks(LockStoreConformance):
    @pytest.fixture
    def store(self, clock: Clock) -> MemoryLocks:
        return MemoryLocks(clock=clock)


class TestSqliteLocks(LockStoreConformance):
    @pytest.fixture
    def store(self, clock: Clock, tmp_path: Path) -> SqliteLocks:
        return SqliteLocks(tmp_path / "locks.db", clock=clock)


class OnAServer(LockStoreConformance):
    @pytest.fixture
    def clock(self) -> Clock:
        return SystemClock()

    @pytest.fixture
    def pass_time(self) -> PassTime:
        return anyio.sleep


class TestRedisLocks(OnAServer):
    @pytest.fixture
    def store(self, redis_url: str) -> LockStore:
        return open_lock_store(redis_url)


class TestRedisClusterLocks(OnAServer):
    @pytest.fixture
    def store(self, redis_cluster: Cluster) -> LockStore:
        for node in redis_cluster.nodes:
            node.cli("flushall")
        return open_lock_store(redis_cluster.url)


class Times(VirtualClock):
    """A clock whose wall time can be set."""

    offset = 0.0

    def time(self) -> float:
        return super().time() + self.offset


# --- SQLite


async def test_sqlite_lease_does_not_mind_a_clock_that_is_set(tmp_path: Path) -> None:
    clock = Times()
    async with SqliteLocks(tmp_path / "locks.db", clock=clock, boot_id=lambda: "one") as store:
        first = await token_of(store, "a", claim(), ttl_s=60)
        clock.offset = 3600
        assert isinstance(await store.acquire("a", owner="o", claim=claim(), ttl_s=60), Held)
        clock.offset = -3600
        await clock.advance(61)
        assert (
            await token_of(store, "a", claim(), ttl_s=60) == first + 1
        )  # the counter goes on where the clock is behind


async def test_sqlite_leases_end_with_the_boot_of_the_machine(tmp_path: Path) -> None:
    clock, late = VirtualClock(), VirtualClock(5.0)  # the monotonic clock begins anew
    mine = claim()
    async with SqliteLocks(tmp_path / "locks.db", clock=clock, boot_id=lambda: "one") as store:
        first = await token_of(store, "a", mine, ttl_s=60)
    async with SqliteLocks(tmp_path / "locks.db", clock=late, boot_id=lambda: "two") as store:
        assert await store.list_held(prefix="", limit=9) == []
        assert not await store.extend("a", claim=mine, ttl_s=60)
        assert await token_of(store, "a", claim(), ttl_s=60) > first


async def test_sqlite_without_a_boot_id_goes_by_the_wall_clock(tmp_path: Path) -> None:
    clock = Times()
    async with SqliteLocks(tmp_path / "locks.db", clock=clock, boot_id=lambda: None) as store:
        await token_of(store, "a", claim(), ttl_s=60)
        assert isinstance(await store.acquire("a", owner="o", claim=claim(), ttl_s=60), Held)
        clock.offset = 61
        await token_of(store, "a", claim(), ttl_s=60)


async def test_sqlite_file_that_was_lost_gives_larger_tokens_still(tmp_path: Path) -> None:
    clock = VirtualClock()
    async with SqliteLocks(tmp_path / "locks.db", clock=clock) as store:
        first = await token_of(store, "a", claim())
    for path in tmp_path.iterdir():
        path.unlink()
    await clock.advance(1)
    async with SqliteLocks(tmp_path / "locks.db", clock=clock) as store:
        assert await token_of(store, "a", claim()) > first


async def test_sqlite_names_that_are_free_leave_no_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("undercroft.resilience._locks.sqlite._SWEEP_EVERY", 5)
    clock = VirtualClock()
    async with SqliteLocks(tmp_path / "locks.db", clock=clock) as store:
        for n in range(4):
            await token_of(store, f"dead{n}", claim())
        await clock.advance(1)
        mine = claim()
        await token_of(store, "a", mine)
        await store.release("a", claim=mine)
    with sqlite3.connect(tmp_path / "locks.db") as db:
        assert db.execute("SELECT count(*) FROM locks").fetchone() == (0,)
    db.close()


async def test_sqlite_file_that_cannot_be_written_is_an_unavailable_store(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with Locks(SqliteLocks(tmp_path / "file" / "locks.db")) as locks:
        with pytest.raises(LockUnavailableError):
            await locks.lock("a").acquire()


# --- Redis


async def test_redis_keys_are_the_documented_ones(redis_server: RedisServer, redis_url: str) -> None:
    mine = claim()
    async with open_lock_store(redis_url) as store:
        token = await token_of(store, "shop:7", mine, ttl_s=60)
    value, _, owner = redis_server.cli("get", "undercroft:lock:{shop:7}").strip().partition(str(token))
    assert value == f"{mine} "
    assert owner.endswith(" somebody")
    assert redis_server.cli("get", "undercroft:lock:{shop:7}:token").strip() == str(token)
    assert 59_000 < int(redis_server.cli("pttl", "undercroft:lock:{shop:7}")) <= 60_000
    assert int(redis_server.cli("ttl", "undercroft:lock:{shop:7}:token")) > 86_400 * 6


async def test_redis_that_lost_its_data_gives_larger_tokens_still(redis_server: RedisServer, redis_url: str) -> None:
    async with open_lock_store(redis_url) as store:
        tokens = []
        for _ in range(5):
            tokens.append(await token_of(store, "a", claim(), ttl_s=60))
            redis_server.cli("flushall")
    assert tokens == sorted(set(tokens))


async def test_redis_token_goes_on_where_the_clock_is_behind(redis_server: RedisServer, redis_url: str) -> None:
    ahead = 2_000_000_000_000_000
    redis_server.cli("set", "undercroft:lock:{a}:token", ahead)
    async with open_lock_store(redis_url) as store:
        assert await token_of(store, "a", claim()) == ahead + 1


async def test_redis_acquire_that_arrives_after_it_was_given_up_gets_nothing(redis_url: str) -> None:
    mine = claim()
    async with open_lock_store(redis_url) as store:
        assert not await store.release("a", claim=mine)
        assert isinstance(await store.acquire("a", owner="o", claim=mine, ttl_s=60), Held)
        await token_of(store, "a", claim())


async def test_redis_connection_that_is_shared_stays_open(redis_url: str) -> None:
    async with RedisConnection(redis_url) as redis:
        async with Locks(open_lock_store(redis_url, redis=redis)) as locks, locks.lock("a"):
            pass
        await redis.ping()


# --- All


def test_schemes_are_those_of_redis() -> None:
    assert set(_schemes.SCHEMES.names) == {"memory", "sqlite", *REDIS_SCHEMES}


@pytest.mark.parametrize("url", ["redsi://x", "memory://?a=1", "sqlite:///x.db?a=1", "sqlite://x.db", "redis://h?a=1"])
def test_url_that_will_not_do_is_told_at_once(url: str) -> None:
    with pytest.raises(ConfigError):
        open_lock_store(url)


@pytest.fixture(params=["sqlite", "redis"])
def another(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], LockStore]:
    """Makes stores that share what they keep, as those of several processes do."""
    url = f"sqlite:///{tmp_path}/locks.db" if request.param == "sqlite" else request.getfixturevalue("redis_url")
    return lambda: open_lock_store(url)


async def test_lock_is_handed_over_to_another_process(another: Callable[[], LockStore]) -> None:
    async with Locks(another()) as here, Locks(another()) as there:
        lease = await here.lock("a").acquire()
        waiting = asyncio.create_task(there.lock("a", wait="10s").acquire())
        await anyio.sleep(0.1)
        assert not waiting.done()
        await lease.release()
        async with asyncio.timeout(10):
            assert (await waiting).token > lease.token


async def test_lease_of_a_dead_holder_is_taken_over_when_it_ends(another: Callable[[], LockStore]) -> None:
    async with another() as dead, Locks(another()) as here:
        assert isinstance(await dead.acquire("a", owner="dead", claim=claim(), ttl_s=0.3), Granted)
        async with asyncio.timeout(10), here.lock("a") as lease:
            assert lease.is_held
