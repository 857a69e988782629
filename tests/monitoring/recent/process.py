"""Another process for the tests of the store: `python process.py <command> <file>`.

It says "ready" where the test has to act, goes on when its standard input gets a line, and prints what happened.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from pathlib import Path

from tests.monitoring.recent._make import line, span
from undercroft._core.clock import VirtualClock
from undercroft.monitoring import RecentOptions, RecentStore

EACH = 3_000
"""Lines that a writer writes, and spans."""


def say(*words: object) -> None:
    print(*words, flush=True)


def wait() -> None:
    say("ready")
    sys.stdin.readline()


async def write(path: Path) -> None:
    """Write many lines and spans of one request, while others do the same."""
    me = os.getpid()
    async with RecentStore(path, clock=VirtualClock()) as store:
        wait()
        for n in range(EACH):
            store.on_line(line(f"{me} {n}", request_id="req-together"))
            store.on_end(span(f"{me} {n}", request_id=f"req-{me}"))
            if n % 250 == 0:
                await store.flush()
    say(me, store.dropped_count)


async def die(path: Path) -> None:
    """Be killed while it writes."""
    async with RecentStore(path, clock=VirtualClock()) as store:
        say("ready")
        n = 0
        while True:
            store.on_line(line(f"{n}"))
            store.on_end(span(f"{n}"))
            n += 1
            if n % 50 == 0:
                await asyncio.sleep(0.001)  # lets the thread that writes have its turn


async def full(path: Path) -> None:
    """Write on a disk that fills up and is freed again; the application goes on all the while."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write past the limit then fails, as on a full disk
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with RecentStore(path, clock=VirtualClock()) as store:
        store.on_line(line("before"))
        await store.flush()
        largest = max(file.stat().st_size for file in path.parent.iterdir())
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 4096, hard))
        for _ in range(3):
            for _ in range(10):
                store.on_line(line("lost" * 5_000))
                store.on_end(span("lost", attributes={"text": "x" * 4_000}))
            await store.flush()
        say(store.dropped_count, store.written_count, store.problem is not None)
        say(*(found.message for found in await store.recent_lines()))
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        store.on_line(line("after"))
        await store.flush()
        say(store.dropped_count, store.written_count, store.problem)
        say(*(found.message for found in await store.recent_lines()))


async def full_from_the_start(path: Path) -> None:
    """Open where nothing can be written; the application starts all the same."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    clock = VirtualClock()
    async with RecentStore(path, clock=clock) as store:
        store.on_line(line("lost"))
        await store.flush()
        say(store.dropped_count, store.written_count, store.problem is not None)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        store.on_line(line("too soon"))
        await store.flush()
        await clock.advance("5s")
        store.on_line(line("kept"))
        await store.flush()
        say(store.dropped_count, store.written_count, store.problem)
        say(*(found.message for found in await store.recent_lines()))


async def fork(path: Path) -> None:
    """Be forked while the store is open: the child disturbs nobody."""
    async with RecentStore(path, options=RecentOptions(max_waiting=600), clock=VirtualClock()) as store:
        store.on_line(line("before"))
        await store.flush()
        child = os.fork()
        if child == 0:
            for _ in range(1_000):
                store.on_line(line("of the child"))
            say("child", store.dropped_count)
            os._exit(0)
        os.waitpid(child, 0)
        store.on_line(line("after"))
        await store.flush()
        say("parent", *(found.message for found in await store.recent_lines()))


if __name__ == "__main__":
    asyncio.run(globals()[sys.argv[1]](Path(sys.argv[2])))
