"""What one `get` of a value in Redis costs, in microseconds: `cache_redis.py undercroft|redis-py one|many`.

The same server and value for both, on the port of `$REDIS_PORT` or 6379: a dict of six fields (142 bytes of JSON), kept
for ten minutes; one process, RESP3.

- `one`: a call at a time, so that a round trip to the server is in it.
- `many`: 20 tasks that call without a pause over a pool of 20.
- `redis-py`: its `GET`, then `json.loads`, and nothing else: no namespace, no count, no deadline, no failing open.
"""

import asyncio
import json
import os
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

CALLS = 500 if os.environ.get("BENCH_QUICK") else 20_000
PORT = os.environ.get("REDIS_PORT", "6379")
VALUE = {
    "id": 100_000,
    "name": "Somebody Else",
    "email": "someone@example.com",
    "plan": "pro",
    "roles": ["admin", "billing"],
    "last_seen": "2026-01-02T03:04:05Z",
}
KEY = "user:100000"
TASKS = {"one": 1, "many": 20}


async def timed(get: Callable[[str], Awaitable[Any]], key: str, tasks: int) -> float:
    assert await get(key) == VALUE
    await calls(get, key, tasks, CALLS // 10)
    start = time.perf_counter()
    await calls(get, key, tasks, CALLS)
    return (time.perf_counter() - start) / CALLS * 1e6


async def calls(get: Callable[[str], Awaitable[Any]], key: str, tasks: int, count: int) -> None:
    async def some() -> None:
        for _ in range(count // tasks):
            await get(key)

    await asyncio.gather(*(some() for _ in range(tasks)))


async def undercroft(tasks: int) -> float:
    from undercroft.cache import create_cache

    space = f"bench-{uuid.uuid4().hex}"
    async with create_cache(f"redis://127.0.0.1:{PORT}/0?pool_size=20", namespace=space) as cache:
        await cache.set(KEY, VALUE, ttl="10m")
        value = await timed(cache.get, KEY, tasks)
        await cache.clear()
        return value


async def redis_py(tasks: int) -> float:
    from redis.asyncio import Redis

    key = f"bench-{uuid.uuid4().hex}:{KEY}"
    async with Redis(host="127.0.0.1", port=int(PORT), protocol=3, max_connections=20) as client:

        async def get(key: str) -> Any:
            found = await client.get(key)
            return None if found is None else json.loads(found)

        await client.set(key, json.dumps(VALUE), ex=600)
        value = await timed(get, key, tasks)
        await client.delete(key)
        return value


who, how = sys.argv[1:]
value = asyncio.run({"undercroft": undercroft, "redis-py": redis_py}[who](TASKS[how]))
name = "redis" if who == "redis-py" else who
print(json.dumps({"value": value, "settings": {"calls": CALLS, "version": version(name)}}))
