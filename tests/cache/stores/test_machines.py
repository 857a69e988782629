"""Two caches over one store, in every order that Hypothesis finds; fewer than in memory, as each step takes time."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, settings

from tests.cache.stores.conftest import need_redis
from tests.connections.redis._servers import RedisServer
from undercroft._core.clock import SystemClock
from undercroft._core.url import Url
from undercroft.cache.redis import RedisCache
from undercroft.cache.sqlite import SqliteCache
from undercroft.testing.conformance.cache.machine import CacheMachine

SETTLED_S = 0.03
FEW = settings(
    max_examples=8, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)


class SqliteMachine(CacheMachine):
    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="undercroft-cache-"))
        super().__init__()

    def make_backend(self) -> SqliteCache:
        return SqliteCache(self.folder / "cache.db", clock=self.clock)

    async def settle(self) -> None:
        await anyio.sleep(SETTLED_S)

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.folder)


class RedisMachine(CacheMachine):
    url = ""

    def make_backend(self) -> RedisCache:
        return RedisCache.from_url(Url.parse(self.url))

    def make_clock(self) -> SystemClock:
        return SystemClock()

    async def pass_time(self, seconds: float) -> None:
        """Let none pass: the machine's lives are longer than it runs."""

    async def settle(self) -> None:
        await anyio.sleep(SETTLED_S)


@pytest.mark.slow
def test_cache_on_sqlite() -> None:
    SqliteMachine.TestCase.settings = FEW
    SqliteMachine.TestCase("runTest").runTest()


@pytest.mark.slow
@pytest.mark.redis
def test_cache_on_redis(tmp_path: Path) -> None:
    need_redis()
    with RedisServer(tmp_path) as server:
        RedisMachine.url = server.url
        RedisMachine.TestCase.settings = FEW
        RedisMachine.TestCase("runTest").runTest()
