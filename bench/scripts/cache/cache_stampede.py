"""How often one value is computed while 1 000 wait for it: `cache_stampede.py memory|sqlite|redis`.

A key that is not there, and 1 000 `get_or_set` of it at once; computing takes 50 ms. In memory they are tasks of this
process; of SQLite and Redis, of four processes, 250 in each, that begin together. Fails when one got another value.
Redis is the one on the port of `$REDIS_PORT` or 6379.
"""

import asyncio
import json
import multiprocessing
import os
import sys
import tempfile
import time
import uuid
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

WAITERS = 1000
COMPUTE_S = 0.05
PORT = os.environ.get("REDIS_PORT", "6379")


async def crowd(url: str, space: str, log: Path, count: int, barrier: Barrier | None) -> float:
    from undercroft.cache import create_cache

    async def compute() -> dict[str, str]:
        with log.open("a") as computed:
            computed.write("computed\n")
        await asyncio.sleep(COMPUTE_S)
        return {"answer": "42"}

    async with create_cache(url, namespace=space) as cache:
        await cache.get("another")  # what opens late is open
        if barrier is not None:
            await asyncio.to_thread(barrier.wait, 30)
        start = time.perf_counter()
        found = await asyncio.gather(*(cache.get_or_set("cold", compute, ttl="10m") for _ in range(count)))
        took = time.perf_counter() - start
        assert found == [{"answer": "42"}] * count
        return took


def process(url: str, space: str, log: Path, count: int, barrier: Barrier, times: Any) -> None:
    times.put(asyncio.run(crowd(url, space, log, count, barrier)))


def processes(url: str, space: str, log: Path, number: int) -> float:
    context = multiprocessing.get_context("spawn")
    barrier, times = context.Barrier(number), context.SimpleQueue()
    arguments = (url, space, log, WAITERS // number, barrier, times)
    started = [context.Process(target=process, args=arguments) for _ in range(number)]
    for each in started:
        each.start()
    for each in started:
        each.join()
        assert each.exitcode == 0, "a process failed"
    return max(times.get() for _ in started)


def main(where: str) -> None:
    space, number = f"bench-{uuid.uuid4().hex}", 1 if where == "memory" else 4
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "computed")
        url = {
            "memory": "memory://",
            "sqlite": f"sqlite:///{folder}/cache.db",
            "redis": f"redis://127.0.0.1:{PORT}/0",
        }[where]
        took = asyncio.run(crowd(url, space, log, WAITERS, None)) if number == 1 else processes(url, space, log, number)
        settings = {"processes": number, "all had it after, ms": round(took * 1000)}
        print(json.dumps({"value": len(log.read_text().splitlines()), "settings": settings}))


if __name__ == "__main__":
    main(sys.argv[1])
