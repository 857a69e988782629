"""The guards on the stores that processes share: what one counts or blocks, the other knows."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests._services._server import Service
from tests.asgi.guard._limits import ask, ok, statuses
from undercroft.asgi import DDoSProtection, RateLimitGuard
from undercroft.connections.redis import RedisConnection
from undercroft.ratelimit import RateLimits, RatePolicy, SlidingWindow, create_rate_limits

pytestmark = pytest.mark.anyio
Two = tuple[RateLimits, RateLimits]
FLOOD = "192.0.2.66"


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
async def two(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Two]:
    """Limits of two processes, as far as the store can tell."""
    async with AsyncExitStack() as stack:
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path}/limits.db"
        else:
            server: Service = request.getfixturevalue("redis")
            url = f"redis://{server.host}:{server.port}/0?prefix=test-guard-{os.getpid()}"
            connection = await stack.enter_async_context(RedisConnection(f"redis://{server.host}:{server.port}/0"))
            stack.push_async_callback(_clear, connection, f"test-guard-{os.getpid()}")
        one, other = (create_rate_limits(url, timeout="20s") for _ in range(2))
        yield await stack.enter_async_context(one), await stack.enter_async_context(other)


async def test_two_processes_count_together(two: Two) -> None:
    policy = RatePolicy("api", SlidingWindow(3, "1h"), fail="closed", timeout="20s")
    here, there = (RateLimitGuard(ok, limits, policy=policy) for limits in two)
    assert await statuses(here, 2) == [200, 200]
    last = await ask(there)
    assert (last.status, last.header("x-ratelimit-remaining")) == (200, "0")
    assert (await ask(here)).status == (await ask(there)).status == 429


async def test_a_block_of_one_process_is_known_to_the_other_and_so_is_its_end(two: Two) -> None:
    here, there = (DDoSProtection(ok, per_client="2/m", strikes=1, max_lag=None, share=limits) for limits in two)
    assert (await ask(there, by="198.51.100.1")).status == 200
    assert await statuses(here, 3, by=FLOOD) == [200, 200, 429]
    there._shared._read_at = 0.0  # type: ignore[union-attr]  # as if two seconds had passed
    assert (await ask(there, by=FLOOD)).status == 429
    assert 55 <= there.box.blocked_for(f"ip:{FLOOD}") <= 61
    assert await here.unblock(FLOOD)
    there._shared._read_at = 0.0  # type: ignore[union-attr]  # likewise
    assert (await ask(there, by=FLOOD)).status == 200


async def _clear(connection: RedisConnection, prefix: str) -> None:
    async for key in connection.client.scan_iter(match=f"{prefix}:*", count=1000):
        await connection.client.unlink(key)
