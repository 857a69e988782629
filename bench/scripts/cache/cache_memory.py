"""What one `get` of a value that is there costs in this process: `cache_memory.py undercroft|cashews|aiocache`.

The same for all three, in microseconds: a dict of six fields (142 bytes of JSON), kept for ten minutes under one of 100
keys, one task, every call awaited. Each as it comes: cashews and aiocache hand out the very object that was stored, so
that who changes it changes the cache; ours keeps bytes and hands out a new one each time.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

CALLS = 1_000 if os.environ.get("BENCH_QUICK") else 200_000
VALUE = {
    "id": 100_000,
    "name": "Somebody Else",
    "email": "someone@example.com",
    "plan": "pro",
    "roles": ["admin", "billing"],
    "last_seen": "2026-01-02T03:04:05Z",
}
KEYS = [f"user:{number}" for number in range(100)]


async def timed(get: Callable[[str], Awaitable[Any]]) -> float:
    assert await get(KEYS[0]) == VALUE
    rounds = CALLS // len(KEYS)
    await calls(get, rounds // 10)
    start = time.perf_counter()
    await calls(get, rounds)
    return (time.perf_counter() - start) / (rounds * len(KEYS)) * 1e6


async def calls(get: Callable[[str], Awaitable[Any]], rounds: int) -> None:
    for _ in range(rounds):
        for key in KEYS:
            await get(key)


async def undercroft() -> float:
    from undercroft.cache import create_cache

    async with create_cache("memory://") as cache:
        for key in KEYS:
            await cache.set(key, VALUE, ttl="10m")
        return await timed(cache.get)


async def cashews() -> float:
    from cashews import Cache

    cache = Cache()
    cache.setup("mem://")
    for key in KEYS:
        await cache.set(key, VALUE, expire="10m")
    return await timed(cache.get)


async def aiocache() -> float:
    from aiocache import SimpleMemoryCache

    async with SimpleMemoryCache() as cache:
        for key in KEYS:
            await cache.set(key, VALUE, ttl=600)
        return await timed(cache.get)


who = sys.argv[1]
value = asyncio.run({"undercroft": undercroft, "cashews": cashews, "aiocache": aiocache}[who]())
print(json.dumps({"value": value, "settings": {"calls": CALLS, "version": version(who)}}))
