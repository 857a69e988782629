"""What a closed breaker of purgatory adds to a call, in microseconds: a decorated async function less the bare one.

As https://mardiros.github.io/purgatory/user/introduction.html has it: a factory, its state in memory, the decorator.
"""

import asyncio
import json
import os
import time

from purgatory import AsyncCircuitBreakerFactory

CALLS = 5_000 if os.environ.get("BENCH_QUICK") else 100_000


async def work(number: int) -> int:
    return number


async def seconds(function) -> float:
    start = time.perf_counter()
    for number in range(CALLS):
        await function(number)
    return time.perf_counter() - start


async def main() -> float:
    factory = AsyncCircuitBreakerFactory(default_threshold=5, default_ttl=30)
    await factory.initialize()
    guarded = factory("bench")(work)
    await seconds(guarded)
    return (await seconds(guarded) - await seconds(work)) / CALLS * 1e6


print(json.dumps({"value": asyncio.run(main()), "settings": {"calls": CALLS, "state": "memory", "threshold": 5}}))
