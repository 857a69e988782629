"""The types of `undercroft.testing.outages`, as a type checker sees them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import assert_type

from undercroft.testing.outages import OUTAGES, Outage, RedisOutages, SqliteOutages

assert_type(OUTAGES, tuple[Outage, ...])
assert_type(Outage("cut"), Outage)


async def run(function: Callable[[sqlite3.Connection], object], /) -> object: ...


async def not_on_a_connection(function: Callable[[str], object], /) -> object: ...


# both kinds of stores are taken away in the same way
async def both(outages: RedisOutages | SqliteOutages) -> None:
    assert_type(outages.supported, tuple[Outage, ...])
    async with outages.during(Outage.STALLED) as nothing:
        assert_type(nothing, None)
    outages.during("stalled")  # E: arg-type
    with outages.during(Outage.STALLED):  # E: attr-defined
        pass


async def redis() -> None:
    async with RedisOutages("127.0.0.1", 6379, password="secret") as outages:
        assert_type(outages, RedisOutages)
        assert_type(outages.url, str)
        outages.proxy.lose_reply(to=b"INCR")
    RedisOutages(6379, "127.0.0.1")  # E: arg-type


async def sqlite() -> None:
    with SqliteOutages(Path("shop.db"), run=run) as outages:
        assert_type(outages, SqliteOutages)
    async with SqliteOutages(Path("shop.db")) as also:
        assert_type(also, SqliteOutages)
    SqliteOutages("shop.db")  # E: arg-type
    SqliteOutages(Path("shop.db"), run=not_on_a_connection)  # E: arg-type
