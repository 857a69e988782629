"""What one `GET` costs, in microseconds: `redis_get.py undercroft|redis-py one|many`.

The same server and value for both, on the port of `$REDIS_PORT` or 6379: 100 bytes, one process, RESP3.

- `one`: a call at a time, so that a round trip to the server is in it.
- `many`: 20 tasks that call without a pause over a pool of 20.
- `redis-py`: its client as it comes, which sends a command again when its answer is lost.
"""

import asyncio
import json
import os
import sys
import time
from typing import Any

CALLS = 500 if os.environ.get("BENCH_QUICK") else 20_000
PORT = os.environ.get("REDIS_PORT", "6379")
URL = f"redis://127.0.0.1:{PORT}/0"
KEY = "undercroft:bench:get"


async def timed(client: Any, tasks: int) -> float:
    await client.set(KEY, b"x" * 100, ex=600)
    await calls(client, tasks, CALLS // 10)
    start = time.perf_counter()
    await calls(client, tasks, CALLS)
    return (time.perf_counter() - start) / CALLS * 1e6


async def calls(client: Any, tasks: int, count: int) -> None:
    async def some() -> None:
        for _ in range(count // tasks):
            await client.get(KEY)

    await asyncio.gather(*(some() for _ in range(tasks)))


async def undercroft(tasks: int) -> float:
    from undercroft.connections.redis import RedisConnection

    async with RedisConnection(f"{URL}?pool_size=20") as connection:
        return await timed(connection.client, tasks)


async def redis_py(tasks: int) -> float:
    from redis.asyncio import Redis

    async with Redis(host="127.0.0.1", port=int(PORT), protocol=3, max_connections=20) as client:
        return await timed(client, tasks)


who = {"undercroft": undercroft, "redis-py": redis_py}[sys.argv[1]]
value = asyncio.run(who({"one": 1, "many": 20}[sys.argv[2]]))
print(json.dumps({"value": value, "settings": {"calls": CALLS}}))
