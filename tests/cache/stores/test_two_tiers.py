"""Memory in front of a real Redis, which another process changes too."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import anyio.to_thread
import pytest

from tests.cache.stores.test_processes import Process, processes
from tests.connections.redis._servers import HOST, RedisServer
from undercroft._core.clock import SystemClock, VirtualClock
from undercroft._core.errors import ConfigError
from undercroft._core.url import Url
from undercroft.cache import Cache, Item, LocalTier
from undercroft.cache._tier import TieredCache
from undercroft.cache.memory import MemoryCache
from undercroft.cache.redis import RedisCache
from undercroft.cache.redis._changes import SURE_S
from undercroft.connections.redis import RedisConnection
from undercroft.testing.fault_proxy import FaultProxy

pytestmark = [pytest.mark.anyio, pytest.mark.redis]
READY_S = 5.0
HEARD_S = 0.5
"""Far more than a message takes, on a busy machine too."""


@pytest.fixture
def space() -> str:
    return uuid4().hex


@pytest.fixture
async def proxy(shared_server: RedisServer) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(HOST, shared_server.port) as proxy:
        yield proxy


@pytest.fixture
async def tier(proxy: FaultProxy) -> AsyncIterator[TieredCache]:
    async with make_tier(proxy.url("redis://{host}:{port}?socket_timeout_s=0.5")) as tier:
        await listening(tier)
        yield tier


@pytest.fixture
async def elsewhere(shared_server: RedisServer) -> AsyncIterator[RedisCache]:
    """Another process's way to the server."""
    async with RedisCache.from_url(Url.parse(shared_server.url)) as cache:
        yield cache


def make_tier(url: str, **options: Any) -> TieredCache:
    return TieredCache(RedisCache.from_url(Url.parse(url)), LocalTier(**options))


async def listening(tier: TieredCache, *, is_listening: bool = True) -> None:
    with anyio.fail_after(READY_S):
        while tier.is_listening is not is_listening:
            await anyio.sleep(0.005)


async def gets(tier: TieredCache, space: str, key: str, data: bytes | None) -> None:
    """Wait until this is what is read."""
    with anyio.fail_after(HEARD_S):
        while await tier.get(space, key) != data:
            await anyio.sleep(0.001)


async def put(cache: Any, space: str, data: bytes, ttl_s: float | None = 60.0) -> None:
    await cache.write(space, [Item("a", data, ttl_s)])


async def test_what_was_read_is_read_again_without_the_store(
    tier: TieredCache, proxy: FaultProxy, elsewhere: RedisCache, space: str
) -> None:
    await put(elsewhere, space, b"1")
    await anyio.sleep(0.05)
    (version,) = await elsewhere.ensure_tags(space, ["t"], ttl_s=60)
    assert await tier.get(space, "a") == b"1"
    await tier.read(space, ["a"], ["t"])
    proxy.stall()  # nothing goes to the store, and for a moment nobody knows
    assert await tier.get(space, "a") == b"1"
    read = await tier.read(space, ["a"], ["t"])
    assert (read.values, read.versions) == ((b"1",), (version,))


@pytest.mark.parametrize("how", ["write", "delete", "clear", "write_leased"])
async def test_another_process_s_change_is_seen_at_once(
    tier: TieredCache, elsewhere: RedisCache, space: str, how: str
) -> None:
    await put(elsewhere, space, b"1")
    await gets(tier, space, "a", b"1")
    if how == "write":
        await put(elsewhere, space, b"2")
    elif how == "delete":
        await elsewhere.delete(space, ["a"])
    elif how == "clear":
        await elsewhere.clear(space)
    else:
        assert await elsewhere.take_lease(space, "a", "token", ttl_s=5)
        assert await elsewhere.write_leased(space, Item("a", b"2", 60), "token")
    await gets(tier, space, "a", b"2" if how.startswith("write") else None)


async def test_a_tag_that_another_process_invalidates_has_no_version_here(
    tier: TieredCache, elsewhere: RedisCache, space: str
) -> None:
    made = await elsewhere.ensure_tags(space, ["t"], ttl_s=60)
    assert (await tier.read(space, [], ["t"])).versions == made
    await elsewhere.invalidate_tags(space, ["t"])
    with anyio.fail_after(HEARD_S):
        while (await tier.read(space, [], ["t"])).versions != (None,):
            await anyio.sleep(0.001)


async def test_own_changes_are_read_without_waiting_for_a_message(tier: TieredCache, space: str) -> None:
    for n in range(50):
        await put(tier, space, b"%d" % n)
        assert await tier.get(space, "a") == b"%d" % n
        assert await tier.delete(space, ["a"]) == 1
        assert await tier.get(space, "a") is None


async def test_nothing_is_kept_longer_than_it_lives(tier: TieredCache, elsewhere: RedisCache, space: str) -> None:
    await put(elsewhere, space, b"1", ttl_s=0.3)
    assert await tier.get(space, "a") == b"1"
    await anyio.sleep(0.35)
    assert await tier.get(space, "a") is None


async def test_a_listener_that_was_cut_off_costs_nothing_but_speed(
    tier: TieredCache, proxy: FaultProxy, elsewhere: RedisCache, space: str
) -> None:
    await put(elsewhere, space, b"1")
    await gets(tier, space, "a", b"1")
    await proxy.refuse()
    proxy.cut()
    await listening(tier, is_listening=False)
    await put(elsewhere, space, b"2")  # nobody hears of it
    proxy.heal()
    assert await tier.get(space, "a") == b"2"  # passed by
    await listening(tier)
    assert await tier.get(space, "a") == b"2"
    await put(elsewhere, space, b"3")
    await gets(tier, space, "a", b"3")


async def test_a_connection_that_says_nothing_is_not_believed_for_long(
    tier: TieredCache, proxy: FaultProxy, elsewhere: RedisCache, space: str
) -> None:
    """The messages are held up, and the connection looks alive: the value is stale, and for how long is bounded."""
    await put(elsewhere, space, b"1")
    await gets(tier, space, "a", b"1")
    proxy.stall()
    await put(elsewhere, space, b"2")
    changed_at = time.monotonic()
    await listening(tier, is_listening=False)
    assert time.monotonic() - changed_at < SURE_S + 0.3
    proxy.cut()
    proxy.heal()
    await listening(tier)
    assert await tier.get(space, "a") == b"2"


async def test_messages_of_another_version_empty_the_tier(
    tier: TieredCache, elsewhere: RedisCache, space: str, shared_server: RedisServer
) -> None:
    await put(elsewhere, space, b"1")
    await anyio.sleep(0.05)
    assert await tier.get(space, "a") == b"1"
    assert len(tier._values) == 1
    async with RedisConnection(shared_server.url) as connection:
        for data in (b"\xff\x00", b"{}", b'["s"]', b'{"v": 2}'):
            await connection.client.publish("undercroft:cache:changes", data)
    with anyio.fail_after(HEARD_S):
        while len(tier._values):
            await anyio.sleep(0.001)
    await gets(tier, space, "a", b"1")


async def test_closing_ends_the_listener(shared_server: RedisServer) -> None:
    for _ in range(3):
        async with make_tier(shared_server.url) as tier:
            await listening(tier)
        assert not len(tier._values)
    assert "undercroft:cache:changes" not in shared_server.cli("pubsub", "channels")


async def test_it_starts_while_the_server_is_away(proxy: FaultProxy, elsewhere: RedisCache, space: str) -> None:
    await proxy.refuse()
    async with make_tier(proxy.url("redis://{host}:{port}")) as tier:
        await anyio.sleep(0.1)
        assert not tier.is_listening
        proxy.heal()
        await listening(tier)
        await put(elsewhere, space, b"1")
        await gets(tier, space, "a", b"1")


async def test_a_store_that_tells_of_nothing_has_no_tier() -> None:
    with pytest.raises(ConfigError, match="a memory cache has no local tier"):
        TieredCache(MemoryCache(clock=VirtualClock()), LocalTier())


@pytest.mark.parametrize("options", [{"max_entries": 0}, {"ttl": 0}, {"max_bytes": 0}])
def test_a_tier_that_holds_nothing_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="holds nothing"):
        LocalTier(**options)


@pytest.fixture
def other_process(shared_server: RedisServer, tmp_path: Path, space: str) -> Iterator[Process]:
    with processes(shared_server.url, "change", 1, log=tmp_path / "log", namespace=space) as (process,):
        yield process


@pytest.mark.slow
async def test_no_read_is_stale_once_another_process_has_said_that_it_is_done(
    shared_server: RedisServer, other_process: Process, space: str
) -> None:
    """After each change of a real process: wait for it to be seen, within bounds, and then never see the old one."""
    slowest_s = 0.0
    async with Cache[str](make_tier(shared_server.url), namespace=space, clock=SystemClock(), timeout=10) as cache:
        await listening(cache._shared.backend)  # type: ignore[arg-type]  # the tier that was made above

        async def have(line: str) -> float:
            other_process.tell(line)
            assert await anyio.to_thread.run_sync(other_process.says) == "done"
            return time.monotonic()

        async def sees(value: str | None, since: float) -> float:
            while await cache.get("k") != value:
                assert time.monotonic() - since < HEARD_S
                await anyio.sleep(0)
            seen_after_s = time.monotonic() - since
            for _ in range(200):
                assert await cache.get("k") == value
            return seen_after_s

        for n in range(30):
            slowest_s = max(slowest_s, await sees(f"value-{n}", await have(f"set k value-{n}")))
            change = ("delete k", "invalidate t", "clear")[n % 3]
            slowest_s = max(slowest_s, await sees(None, await have(change)))
    assert slowest_s < HEARD_S
