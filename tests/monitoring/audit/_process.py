"""Another process for the tests of the audit log: `python _process.py <command> <file> [argument]`.

record FILE COUNT    record so many entries, at once
forever FILE         record entries until it is killed, and print the number of each once `record` has returned
"""

from __future__ import annotations

import asyncio
import sys

from undercroft.monitoring import create_audit_log


async def record(path: str, count: str) -> None:
    async with create_audit_log(f"sqlite:///{path}?busy_timeout_s=30", redact=dict) as log:
        for _ in range(int(count) // 10):
            await asyncio.gather(*(log.record("a", "b", actor="process") for _ in range(10)))


async def forever(path: str) -> None:
    async with create_audit_log(f"sqlite:///{path}", redact=dict) as log:
        while True:
            entry = await log.record("a", "b", actor="process", after={"text": "x" * 1_000})
            print(entry.sequence, entry.hash, flush=True)


if __name__ == "__main__":
    asyncio.run({"record": record, "forever": forever}[sys.argv[1]](*sys.argv[2:]))
