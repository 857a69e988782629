"""What one check of a limit in this process costs: `limiter_memory.py undercroft|limits|throttled-py allowed|refused`.

The same for all three, in microseconds: a fixed window of a minute (the one kind that all of them have), one of 100
keys, one task, every call awaited. Each as it comes: `limits` answers yes or no, throttled-py and ours what is left and
when it comes back; ours counts a metric as well. All use their asynchronous face and their store in memory.

- `allowed`: the limit is never reached.
- `refused`: it is one, and was used before.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

CALLS = 2_000 if os.environ.get("BENCH_QUICK") else 200_000
KEYS = [f"user:{number}" for number in range(100)]
LIMIT = {"allowed": 1_000_000_000, "refused": 1}[sys.argv[2]]


async def timed(check: Callable[[str], Awaitable[Any]]) -> float:
    rounds = CALLS // len(KEYS)
    await calls(check, max(1, rounds // 10))
    start = time.perf_counter()
    await calls(check, rounds)
    return (time.perf_counter() - start) / (rounds * len(KEYS)) * 1e6


async def calls(check: Callable[[str], Awaitable[Any]], rounds: int) -> None:
    for _ in range(rounds):
        for key in KEYS:
            await check(key)


async def undercroft() -> float:
    from undercroft.ratelimit import FixedWindowLimiter, create_rate_limits

    async with create_rate_limits("memory://") as limits:
        return await timed(FixedWindowLimiter(LIMIT, "1m", store=limits).check)


async def limits() -> float:
    from limits import RateLimitItemPerMinute
    from limits.aio.storage import MemoryStorage
    from limits.aio.strategies import FixedWindowRateLimiter

    limiter, item = FixedWindowRateLimiter(MemoryStorage()), RateLimitItemPerMinute(LIMIT)
    return await timed(lambda key: limiter.hit(item, key))


async def throttled_py() -> float:
    from throttled.asyncio import Throttled, per_min, store

    throttled = Throttled(using="fixed_window", quota=per_min(LIMIT), store=store.MemoryStore())
    return await timed(throttled.limit)


who = sys.argv[1]
value = asyncio.run({"undercroft": undercroft, "limits": limits, "throttled-py": throttled_py}[who]())
print(json.dumps({"value": value, "settings": {"calls": CALLS, "version": version(who)}}))
