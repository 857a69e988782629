"""How long values live, and who says so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from undercroft._core.clock import VirtualClock
from undercroft.cache import NO_EXPIRY, Cache, CacheOptionError, MissingTTLError, create_cache
from undercroft.cache.memory import MemoryCache

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def cache(clock: VirtualClock) -> AsyncIterator[Cache[Any]]:
    async with Cache[Any](MemoryCache(clock=clock), clock=clock) as cache:
        yield cache


@pytest.mark.parametrize("ttl", [60, 60.0, "1m", timedelta(minutes=1)])
async def test_a_value_is_there_until_its_ttl_and_not_longer(cache: Cache[Any], clock: VirtualClock, ttl: Any) -> None:
    await cache.set("k", 1, ttl)
    await clock.advance(59.9)
    assert await cache.get("k") == 1
    await clock.advance(0.1)
    assert await cache.get("k") is None


async def test_milliseconds_are_said_in_the_name(cache: Cache[Any], clock: VirtualClock) -> None:
    await cache.set("k", 1, ttl_ms=60_000)
    await clock.advance(59)
    assert await cache.get("k") == 1
    await clock.advance(1)
    assert await cache.get("k") is None


async def test_no_expiry_is_said_aloud(cache: Cache[Any], clock: VirtualClock) -> None:
    await cache.set("k", 1, NO_EXPIRY)
    await clock.advance("520w")
    assert await cache.get("k") == 1


async def compute() -> int:
    return 1


async def test_a_ttl_is_required_and_the_error_says_what_to_do(cache: Cache[Any]) -> None:
    with pytest.raises(MissingTTLError) as caught:
        await cache.set("user:1", 1)
    assert "set('user:1') needs a ttl" in str(caught.value)
    assert 'ttl="5m"' in str(caught.value)
    assert 'default_ttl="5m"' in str(caught.value)
    for call in (
        lambda: cache.set_many({"k": 1}),
        lambda: cache.get_or_set("k", compute),
        lambda: cache.touch("k"),
    ):
        with pytest.raises(MissingTTLError):
            await call()


@pytest.mark.parametrize("ttl", [0, -1, "0s", "soon", timedelta(0), True, float("inf")])
async def test_what_is_no_ttl_is_refused(cache: Cache[Any], ttl: Any) -> None:
    with pytest.raises(CacheOptionError):
        await cache.set("k", 1, ttl)
    with pytest.raises(CacheOptionError):
        create_cache(default_ttl=ttl)


async def test_one_ttl_is_enough(cache: Cache[Any]) -> None:
    with pytest.raises(CacheOptionError, match="one of the two"):
        await cache.set("k", 1, 5, ttl_ms=5000)


async def test_the_default_is_used_and_a_view_may_have_its_own(clock: VirtualClock) -> None:
    async with create_cache(default_ttl="1m", clock=clock) as cache:
        await cache.set("k", 1)
        await cache.of(int).set("k", 1)
        await cache.of(int, namespace="long", default_ttl=NO_EXPIRY).set("k", 1)
        await clock.advance(61)
        assert await cache.list_keys() == ["long:k"]


async def test_jitter_shortens_and_never_lengthens(clock: VirtualClock) -> None:
    async with create_cache(default_ttl=100, jitter=0.2, clock=clock) as cache:
        await cache.set_many({f"k{n}": n for n in range(200)})
        left = []
        for _ in range(3):
            left.append(len(await cache.get_many([f"k{n}" for n in range(200)])))
            await clock.advance(80 if len(left) == 1 else 20)
        assert left[0] == left[1] == 200 or left[1] > 190
        assert left[2] == 0
        await cache.set_many({f"k{n}": n for n in range(200)})
        await clock.advance(90)
        assert 60 < len(await cache.get_many([f"k{n}" for n in range(200)])) < 140


@pytest.mark.parametrize("jitter", [-0.1, 1.0, 2, float("nan")])
def test_jitter_is_a_share(jitter: float) -> None:
    with pytest.raises(CacheOptionError, match="jitter"):
        create_cache(jitter=jitter)


async def test_touching_does_not_bring_back_what_has_ended(cache: Cache[Any], clock: VirtualClock) -> None:
    await cache.set("k", 1, 10, stale=100)
    await clock.advance(11)
    assert not await cache.touch("k", 60)
    assert await cache.get("k") is None


async def test_touching_can_shorten(cache: Cache[Any], clock: VirtualClock) -> None:
    await cache.set("k", 1, 100)
    assert await cache.touch("k", 10)
    await clock.advance(11)
    assert await cache.get("k") is None
