"""What a closed breaker of undercroft adds to a call, in microseconds: a decorated async function less the bare one.

`breaker_undercroft.py local` is of one process; `breaker_undercroft.py shared` has its state in a store (memory), which
is looked at once a second.
"""

import asyncio
import json
import os
import sys
import time

from undercroft.resilience import CircuitBreaker, create_breakers

CALLS = 5_000 if os.environ.get("BENCH_QUICK") else 300_000
WHERE = sys.argv[1] if len(sys.argv) > 1 else "local"


async def work(number: int) -> int:
    return number


async def seconds(function) -> float:
    start = time.perf_counter()
    for number in range(CALLS):
        await function(number)
    return time.perf_counter() - start


async def main() -> float:
    async with create_breakers() as breakers:
        local = CircuitBreaker("bench", is_local=True)
        guarded = (local if WHERE == "local" else breakers.breaker("bench"))(work)
        await seconds(guarded)
        return (await seconds(guarded) - await seconds(work)) / CALLS * 1e6


print(json.dumps({"value": asyncio.run(main()), "settings": {"calls": CALLS, "state": WHERE, "threshold": 5}}))
