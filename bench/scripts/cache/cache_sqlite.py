"""What one `get` of a value on disk costs, in microseconds: `cache_sqlite.py undercroft|diskcache one|many`.

The same for both: a dict of six fields (142 bytes of JSON), kept for ten minutes under one of 100 keys in a SQLite file
that nobody else uses; ours as JSON, diskcache's as pickle, its default.

- `one`: one task, or one thread, a call at a time.
- `many`: ours in 20 tasks. diskcache has no asynchronous calls: in a server it runs in threads, here as many of them
  as `asyncio.to_thread` has.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

CALLS = 200 if os.environ.get("BENCH_QUICK") else 20_000
VALUE = {
    "id": 100_000,
    "name": "Somebody Else",
    "email": "someone@example.com",
    "plan": "pro",
    "roles": ["admin", "billing"],
    "last_seen": "2026-01-02T03:04:05Z",
}
KEYS = [f"user:{number}" for number in range(100)]
TASKS = 20


async def timed(get: Callable[[str], Awaitable[Any]], tasks: int) -> float:
    assert await get(KEYS[0]) == VALUE
    await calls(get, tasks, CALLS // 10)
    start = time.perf_counter()
    await calls(get, tasks, CALLS)
    return (time.perf_counter() - start) / CALLS * 1e6


async def calls(get: Callable[[str], Awaitable[Any]], tasks: int, count: int) -> None:
    async def some() -> None:
        for number in range(count // tasks):
            await get(KEYS[number % len(KEYS)])

    await asyncio.gather(*(some() for _ in range(tasks)))


async def undercroft(folder: str, how: str) -> float:
    from undercroft.cache import create_cache

    async with create_cache(f"sqlite:///{folder}/cache.db") as cache:
        for key in KEYS:
            await cache.set(key, VALUE, ttl="10m")
        return await timed(cache.get, 1 if how == "one" else TASKS)


async def diskcache(folder: str, how: str) -> float:
    from diskcache import Cache

    with Cache(folder) as cache:
        for key in KEYS:
            cache.set(key, VALUE, expire=600)
        if how == "many":
            return await timed(lambda key: asyncio.to_thread(cache.get, key), TASKS)
        return called(cache.get)


def called(get: Callable[[str], Any]) -> float:
    assert get(KEYS[0]) == VALUE
    for number in range(CALLS // 10):
        get(KEYS[number % len(KEYS)])
    start = time.perf_counter()
    for number in range(CALLS):
        get(KEYS[number % len(KEYS)])
    return (time.perf_counter() - start) / CALLS * 1e6


who, way = sys.argv[1:]
with tempfile.TemporaryDirectory() as directory:
    value = asyncio.run({"undercroft": undercroft, "diskcache": diskcache}[who](directory, way))
print(json.dumps({"value": value, "settings": {"calls": CALLS, "version": version(who)}}))
