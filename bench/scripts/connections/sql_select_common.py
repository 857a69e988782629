"""What both `sql_select_*.py` do: a table of 1000 rows, and one of them selected again and again by one task."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine

from sqlalchemy import Column, Integer, MetaData, String, Table, select

DIALECT = sys.argv[1]
PORTS = {"mariadb": os.environ.get("MARIADB_PORT", "3306"), "postgresql": os.environ.get("POSTGRES_PORT", "5432")}
SELECTS, REPEATS = (50, 3) if os.environ.get("BENCH_QUICK") else (1000, 7)
NAME = f"undercroft_bench_{os.getpid()}"

METADATA = MetaData()
ROWS = Table(NAME, METADATA, Column("id", Integer, primary_key=True), Column("name", String(100)))
VALUES = [{"id": number, "name": "x" * 100} for number in range(1, 1001)]
STATEMENT = select(ROWS).where(ROWS.c.id == 7)


def url(mysql: str, postgresql: str, sqlite: str) -> str:
    """Return the URL in the words of who connects; the database is one that every such server has."""
    return {
        "sqlite": f"{sqlite}:///bench.db",
        "mariadb": f"{mysql}://root@127.0.0.1:{PORTS['mariadb']}/test",
        "postgresql": f"{postgresql}://postgres@127.0.0.1:{PORTS['postgresql']}/postgres",
    }[DIALECT]


async def measured(one: Callable[[], Awaitable[object]]) -> None:
    """Print the median time of one select, in microseconds."""
    for _ in range(SELECTS // 5):
        await one()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        for _ in range(SELECTS):
            await one()
        times.append((time.perf_counter() - start) / SELECTS * 1e6)
    print(json.dumps({"value": statistics.median(times), "settings": {"selects": SELECTS, "repeats": REPEATS}}))


def run(main: Callable[[], Coroutine[object, object, None]]) -> None:
    """Run it."""
    asyncio.run(main())
