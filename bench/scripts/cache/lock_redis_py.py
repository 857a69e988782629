"""What acquiring and releasing a free lock of redis-py costs, in microseconds, one after the other.

The server on the port of `$REDIS_PORT` or 6379. `async with`: two round trips; no fencing token, and no renewal.
"""

import asyncio
import json
import os
import time

from redis.asyncio import Redis

CALLS = 300 if os.environ.get("BENCH_QUICK") else 10_000
PORT = int(os.environ.get("REDIS_PORT", "6379"))


async def main() -> float:
    async with Redis(host="127.0.0.1", port=PORT, protocol=3) as client:
        lock = client.lock("undercroft:bench:lock:redis-py", timeout=30)
        await hold(lock, CALLS // 10)
        start = time.perf_counter()
        await hold(lock, CALLS)
        return (time.perf_counter() - start) / CALLS * 1e6


async def hold(lock, count: int) -> None:
    for _ in range(count):
        async with lock:
            pass


print(json.dumps({"value": asyncio.run(main()), "settings": {"calls": CALLS, "timeout": "30s"}}))
