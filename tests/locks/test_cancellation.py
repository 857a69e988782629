"""Cancelled anywhere, a task leaves no lock behind."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from undercroft.resilience import Locks, create_locks

pytestmark = pytest.mark.anyio
CANCELS = 200


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def locks(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Locks]:
    urls = {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path}/locks.db"}
    url = urls.get(request.param) or request.getfixturevalue("redis_url")
    async with create_locks(url) as locks:
        await locks.ping()
        yield locks


async def hold_native(locks: Locks, draw: random.Random) -> None:
    async def hold() -> None:
        async with locks.lock("a", ttl="1m"):
            await asyncio.sleep(0.001)

    task = asyncio.create_task(hold())
    await pass_some_time(draw)
    task.cancel()
    if draw.random() < 0.3:  # and again, in the middle of its cleaning up
        await pass_some_time(draw)
        task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def hold_anyio(locks: Locks, draw: random.Random) -> None:
    async def hold() -> None:
        async with locks.lock("a", ttl="1m"):
            await anyio.sleep(0.001)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hold)
        await pass_some_time(draw)
        tasks.cancel_scope.cancel()


async def pass_some_time(draw: random.Random) -> None:
    if draw.random() < 0.5:
        for _ in range(draw.randrange(20)):
            await asyncio.sleep(0)
    else:
        await asyncio.sleep(draw.random() * 0.004)


@pytest.mark.parametrize("hold", [hold_native, hold_anyio])
async def test_lock_is_free_after_a_cancellation_anywhere(locks: Locks, hold: object) -> None:
    assert callable(hold)
    draw = random.Random(7)
    for _ in range(CANCELS):
        await hold(locks, draw)
        lease = await locks.lock("a").try_acquire()
        assert lease is not None, await locks.list()
        assert await lease.release()
