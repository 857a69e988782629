"""A process of these tests: `process.py count|write URL FILE …`."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from undercroft.resilience import LockLostError, create_locks

PATCH = "UPDATE resource SET value = ?, fence = ? WHERE fence <= ?"


async def count(url: str, path: Path, times: int) -> None:
    """Add one to the number in a file that often: read, wait, write."""
    async with create_locks(url) as locks:
        for _ in range(times):
            async with locks.lock("counter", ttl="20s", wait="50s"):
                number = int(path.read_text())
                await asyncio.sleep(0)
                path.write_text(str(number + 1))


async def write(url: str, path: Path, rounds: int) -> None:
    """Hold the lock, say so, sleep in the middle of it until a line comes, and write then, whatever has happened."""
    async with create_locks(url) as locks:
        for _ in range(rounds):
            wrote, was_told = 0, False
            try:
                async with locks.lock("resource", ttl="250ms", wait="20s") as lease:
                    say("held", lease.token)
                    sys.stdin.readline()
                    wrote = put(path, "stale", lease.token)
                    await asyncio.sleep(5)
            except LockLostError:
                was_told = True
            say("wrote" if wrote else "refused", "told" if was_told else "not told")


def put(path: Path, value: str, token: int) -> int:
    """Write to the resource, which compares the token; return how many rows it took."""
    with closing(sqlite3.connect(path, timeout=20, isolation_level=None)) as db:
        return db.execute(PATCH, (value, token, token)).rowcount


def say(*words: object) -> None:
    print(*words, flush=True)


if __name__ == "__main__":
    run = {"count": count, "write": write}[sys.argv[1]]
    asyncio.run(run(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])))
