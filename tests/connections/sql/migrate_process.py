"""One of many processes that start together and migrate: prints the steps it took."""

from __future__ import annotations

import asyncio
import sys

from undercroft.connections.sql import Database, migrate


async def main() -> None:
    async with Database(sys.argv[1]) as db:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        print(await migrate(db))


asyncio.run(main())
