"""What one check of a limit in Redis costs, in microseconds: `limiter_redis.py undercroft|redis-py one|many`.

The same server and algorithm for both, on the port of `$REDIS_PORT` or 6379: a token bucket by the server's clock, one
of 100 keys, in one process. Every call is allowed, and thus written.

- `one`: a call at a time, so that a round trip to the server is in it.
- `many`: 20 tasks that call without a pause over a pool of 20.
- `redis-py`: a bare `EVALSHA` of the shortest script that decides the same, its answer unread.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

CALLS = 500 if os.environ.get("BENCH_QUICK") else 20_000
PORT = os.environ.get("REDIS_PORT", "6379")
URL = f"redis://127.0.0.1:{PORT}/0"
KEYS = [f"user:{number}" for number in range(100)]
CAPACITY, RATE = 1_000_000, 1_000_000
BARE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local capacity, per_us, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local state = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(state[1]) or capacity, tonumber(state[2]) or now
tokens = math.min(capacity, tokens + (now - at) * per_us)
if tokens < cost then return {0, math.floor(tokens), math.ceil((cost - tokens) / per_us)} end
redis.call('HSET', KEYS[1], 'tokens', tokens - cost, 'at', now)
redis.call('PEXPIRE', KEYS[1], 2000)
return {1, math.floor(tokens - cost), 0}
"""


async def timed(check: Callable[[str], Awaitable[Any]], tasks: int) -> float:
    await calls(check, tasks, CALLS // 10)
    start = time.perf_counter()
    await calls(check, tasks, CALLS)
    return (time.perf_counter() - start) / CALLS * 1e6


async def calls(check: Callable[[str], Awaitable[Any]], tasks: int, count: int) -> None:
    async def some() -> None:
        for number in range(count // tasks):
            await check(KEYS[number % len(KEYS)])

    await asyncio.gather(*(some() for _ in range(tasks)))


async def undercroft(tasks: int) -> float:
    from undercroft.ratelimit import TokenBucketLimiter, create_rate_limits

    async with create_rate_limits(f"{URL}?pool_size=20&prefix=undercroft-bench") as limits:
        limiter = TokenBucketLimiter(CAPACITY, f"{RATE}/s", store=limits, fail="closed", timeout="5s")

        async def check(key: str) -> None:
            decision = await limiter.check(key)
            assert decision.allowed, decision

        return await timed(check, tasks)


async def redis_py(tasks: int) -> float:
    from redis.asyncio import Redis

    async with Redis(host="127.0.0.1", port=int(PORT), protocol=3, max_connections=20) as client:
        sha = await client.script_load(BARE)
        return await timed(
            lambda key: client.evalsha(sha, 1, f"undercroft-bench:bare:{key}", CAPACITY, RATE / 1e6, 1), tasks
        )


who = {"undercroft": undercroft, "redis-py": redis_py}[sys.argv[1]]
value = asyncio.run(who({"one": 1, "many": 20}[sys.argv[2]]))
print(json.dumps({"value": value, "settings": {"calls": CALLS}}))
