"""What acquiring and releasing a free lock of undercroft costs on Redis, in microseconds, one after the other.

The server on the port of `$REDIS_PORT` or 6379. `async with`: two round trips, a fencing token, and a lease that would
be renewed.
"""

import asyncio
import json
import os
import time

from undercroft.resilience import create_locks

CALLS = 300 if os.environ.get("BENCH_QUICK") else 10_000
URL = f"redis://127.0.0.1:{os.environ.get('REDIS_PORT', '6379')}/0"


async def main() -> float:
    async with create_locks(URL) as locks:
        lock = locks.lock("undercroft:bench:lock", ttl="30s")
        await hold(lock, CALLS // 10)
        start = time.perf_counter()
        await hold(lock, CALLS)
        return (time.perf_counter() - start) / CALLS * 1e6


async def hold(lock, count: int) -> None:
    for _ in range(count):
        async with lock:
            pass


print(json.dumps({"value": asyncio.run(main()), "settings": {"calls": CALLS, "ttl": "30s"}}))
