"""A process that uses a cache, for tests of several: `worker.py URL NAMESPACE WHAT COUNT LOG`."""

from __future__ import annotations

import asyncio
import os
import sys

from undercroft.cache import create_cache

COMPUTE_S = 0.2


async def compute_many(url: str, namespace: str, count: int, log: str) -> None:
    """Have `count` tasks ask for one cold key, and write a line for each computation."""
    runs = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def compute() -> str:
        os.write(runs, b"computed\n")
        await asyncio.sleep(COMPUTE_S)
        return "value"

    async with create_cache(url, namespace=namespace, timeout=20) as cache:
        await cache.get("something else")  # connected
        print("up", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        answers = await asyncio.gather(*(cache.get_or_set("cold", compute, "1m") for _ in range(count)))
        assert answers == ["value"] * count
        print("done", flush=True)


async def hold(url: str, namespace: str, log: str) -> None:
    """Compute for ever: to be killed meanwhile."""
    runs = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def compute() -> str:
        os.write(runs, b"computed\n")
        print("up", flush=True)
        await asyncio.sleep(3600)
        return "never"

    async with create_cache(url, namespace=namespace, timeout=20) as cache:
        await cache.get_or_set("cold", compute, "1m")


async def change(url: str, namespace: str) -> None:
    """Do what standard input says, one line each, and say when it is done."""
    async with create_cache(url, namespace=namespace, timeout=20) as cache:
        print("up", flush=True)
        while line := (await asyncio.to_thread(sys.stdin.readline)).split():
            match line:
                case ["set", key, value]:
                    await cache.set(key, value, "1m", tags=["t"])
                case ["delete", key]:
                    await cache.delete(key)
                case ["invalidate", tag]:
                    await cache.invalidate_tags(tag)
                case ["clear"]:
                    await cache.clear()
            print("done", flush=True)


if __name__ == "__main__":
    url, namespace, what, count, log = sys.argv[1:]
    if what == "compute":
        asyncio.run(compute_many(url, namespace, int(count), log))
    elif what == "hold":
        asyncio.run(hold(url, namespace, log))
    else:
        asyncio.run(change(url, namespace))
