"""Breakers while their store is out of order, in each way a store can be: calls go on."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.connections.redis._servers import RedisServer
from tests.resilience._calls import Service, outcome
from undercroft.resilience import Breakers, BreakersUnavailableError, CircuitOpenError, create_breakers
from undercroft.testing.outages import OUTAGES, Outage, RedisOutages, SqliteOutages

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
DOWN = ConnectionError("down")


@dataclass
class Faulty:
    breakers: Breakers
    outages: Any


@pytest.fixture
async def faulty(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Faulty]:
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        async with (
            RedisOutages("127.0.0.1", server.port) as outages,
            create_breakers(outages.url, look_every="50ms") as breakers,
        ):
            yield Faulty(breakers, outages)
        return
    url = f"sqlite:///{tmp_path}/breakers.db?busy_timeout_s=1"
    async with create_breakers(url, look_every="50ms") as breakers:
        store: Any = breakers.store
        with SqliteOutages(tmp_path / "breakers.db", run=store._store.read) as outages:
            yield Faulty(breakers, outages)


# A file has no answer that could be cut.
CASES = [(where, outage) for where in ("redis", "sqlite") for outage in OUTAGES if (where, outage) != ("sqlite", "cut")]


@pytest.mark.parametrize(("faulty", "outage"), CASES, indirect=["faulty"])
async def test_calls_go_on_without_the_store_and_it_is_heard_again(faulty: Faulty, outage: Outage) -> None:
    breaker = faulty.breakers.breaker(f"faults {outage}", failure_threshold=2, reset_timeout="300ms")
    assert await breaker.call(Service("ok")) == "ok"
    async with _during(faulty, outage):
        await anyio.sleep(0.1)
        began = time.monotonic()
        assert await outcome(breaker.call(Service(DOWN))) is DOWN
        assert await outcome(breaker.call(Service(DOWN))) is DOWN
        assert isinstance(await outcome(breaker.call(Service("ok"))), CircuitOpenError)
        assert time.monotonic() - began < 2.0  # the 250 ms of one call, and not of each
        await anyio.sleep(0.4)
        assert await breaker.call(Service("ok")) == "ok"
        assert breaker.state == "closed"
    await _until_it_answers(faulty.breakers)
    await faulty.breakers.force_open(breaker.name)
    assert isinstance(await outcome(breaker.call(Service("ok"))), CircuitOpenError)
    await faulty.breakers.reset(breaker.name)


@pytest.mark.parametrize("faulty", ["redis", "sqlite"], indirect=True)
async def test_commands_fail_while_the_store_takes_no_writes(faulty: Faulty) -> None:
    breaker = faulty.breakers.breaker("commands")
    assert await breaker.call(Service("ok")) == "ok"
    async with _during(faulty, Outage.READ_ONLY):
        with pytest.raises(BreakersUnavailableError):
            await breaker.force_open()
        assert breaker.state == "closed"


def _during(faulty: Faulty, outage: Outage) -> AbstractAsyncContextManager[Any]:
    during: AbstractAsyncContextManager[Any] = faulty.outages.during(outage)
    return during


async def _until_it_answers(breakers: Breakers) -> None:
    with anyio.fail_after(20):
        while True:
            try:
                await breakers.ping()
                return
            except BreakersUnavailableError:
                await anyio.sleep(0.05)
