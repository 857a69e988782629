"""Servers that go away, processes that die, connections that are half open: which messages were handled, exactly."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from tests.connections.pubsub.conftest import SPEED
from undercroft._core.url import Url
from undercroft.connections.pubsub import (
    MemoryClaims,
    PubSub,
    PubSubUnavailableError,
    Retry,
    Subscription,
    Topic,
    open_engine,
    subscription,
)
from undercroft.testing.fault_proxy import FaultProxy
from undercroft.testing.pubsub_server import PubSubServer, ScaledClock

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("one_loop")]

EVENTS: Topic[int] = Topic("events", schema=int)
ROOT = Path(__file__).parents[3]
SCRIPT = Path(__file__).with_name("consumer_process.py")


@asynccontextmanager
async def opened(url: str, *subscriptions: Subscription[Any, Any], **options: Any) -> AsyncIterator[PubSub]:
    async with PubSub(open_engine(Url.parse(url), what="pubsub"), subscriptions=subscriptions, **options) as pubsub:
        yield pubsub


async def until(is_so: Callable[[], bool], *, within_s: float = 10) -> None:
    with anyio.fail_after(within_s):
        while not is_so():
            await anyio.sleep(0.005)


async def test_server_that_is_down_at_the_start_is_waited_for(server: PubSubServer) -> None:
    seen: list[int] = []
    sub = subscription("events-sub", EVENTS)(seen.append)
    async with opened(server.url(), sub) as pubsub:
        await pubsub.provision()
    server.stop()

    async with opened(server.url(), sub, publish_timeout="20s") as pubsub, pubsub.subscriber() as subscriber:
        with pytest.raises(PubSubUnavailableError):
            await pubsub.ping()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pubsub.publish, EVENTS, 1)
            await anyio.sleep(0.5)
            assert subscriber.is_running
            server.start()
            await until(lambda: seen == [1], within_s=5)


async def test_subscription_that_is_created_later_is_waited_for(server: PubSubServer) -> None:
    seen: list[int] = []
    sub = subscription("events-sub", EVENTS)(seen.append)
    async with opened(server.url(), sub) as pubsub, pubsub.subscriber():
        await anyio.sleep(0.1)
        await pubsub.provision()
        await pubsub.publish(EVENTS, 1)
        await until(lambda: seen == [1])


@pytest.mark.timeout(120)
async def test_twenty_restarts_under_load_lose_nothing(server: PubSubServer) -> None:
    handled: Counter[int] = Counter()
    published: set[int] = set()
    restarted_at: list[float] = []
    recoveries: list[float] = []
    sub = subscription("events-sub", EVENTS, ack_deadline="60s", retry=Retry(0, 0))
    numbers = iter(range(10**9))
    is_over = False

    @sub
    async def handle(number: int) -> None:
        handled[number] += 1
        if restarted_at:
            recoveries.append(time.monotonic() - restarted_at.pop())

    async def publish(pubsub: PubSub) -> None:
        while not is_over:
            number = next(numbers)
            await pubsub.publish(EVENTS, number)
            published.add(number)
            await anyio.sleep(0.002)

    async with opened(server.url(), handle, claims=MemoryClaims()) as pubsub:
        await pubsub.provision()
        async with pubsub.subscriber() as subscriber:
            async with anyio.create_task_group() as tasks:
                for _ in range(4):
                    tasks.start_soon(publish, pubsub)
                for _ in range(20):
                    await anyio.sleep(random.uniform(0.05, 0.2))
                    await anyio.to_thread.run_sync(server.stop)
                    await anyio.sleep(random.uniform(0.0, 0.1))
                    await anyio.to_thread.run_sync(server.start)
                    restarted_at[:] = [time.monotonic()]
                    await until(lambda: not restarted_at, within_s=5)
                is_over = True
            await until(lambda: subscriber.held == 0 and server.waiting("events-sub") == 0, within_s=15)
            await until(lambda: server.leased("events-sub") == 0, within_s=35)

    assert set(handled) >= published  # nothing whose publish returned is missing
    assert set(handled) == published  # and nothing else was handled
    assert set(handled.values()) == {1}
    assert max(recoveries) < 5
    print(f"\n{len(published)} messages, 20 restarts, slowest recovery {max(recoveries):.2f}s")


async def test_killed_consumer_loses_nothing(server: PubSubServer, tmp_path: Path) -> None:
    numbers = set(range(60))
    held, done = tmp_path / "held", tmp_path / "done"
    sub = subscription(
        "events-sub", EVENTS, ack_deadline="10s", concurrency=20, dead_letter="events-dead", max_deliveries=50
    )(print)
    async with opened(server.url(), sub) as pubsub:
        await pubsub.provision()
        await asyncio.gather(*(pubsub.publish(EVENTS, number) for number in sorted(numbers)))
    with consumer(server, held, "hold") as victim:
        await until(lambda: held.exists() and len(held.read_text().split()) == 20)
        victim.kill()
        await anyio.to_thread.run_sync(victim.wait)

    assert server.leased("events-sub") > 0
    with consumer(server, done, "run"):
        await until(lambda: done.exists() and set(map(int, done.read_text().split())) == numbers, within_s=15)
        await until(lambda: server.leased("events-sub") + server.waiting("events-sub") == 0)


class consumer:
    """A consumer process for the block."""

    def __init__(self, server: PubSubServer, file: Path, how: str) -> None:
        self._command = [sys.executable, str(SCRIPT), server.url(), str(SPEED), str(file), how]

    def __enter__(self) -> subprocess.Popen[str]:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "up\n"
        return self._process

    def __exit__(self, *exc_info: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


async def test_half_open_connection_is_noticed_and_replaced(server: PubSubServer) -> None:
    seen: list[int] = []
    sub = subscription("events-sub", EVENTS)(seen.append)
    async with FaultProxy("127.0.0.1", server.port) as proxy:
        url = f"pubsub://test?emulator=127.0.0.1:{proxy.port}&keepalive_s=0.3&keepalive_timeout_s=0.3&call_timeout_s=1"
        async with (
            opened(server.url(), sub) as other,
            opened(url, sub, publish_timeout="20s") as pubsub,
        ):
            await other.provision()
            async with pubsub.subscriber():
                await pubsub.publish(EVENTS, 1)
                await until(lambda: seen == [1])
                accepted = proxy.counts.accepted
                proxy.stall()  # bytes go nowhere, and nobody says so
                await until(lambda: proxy.counts.accepted > accepted, within_s=8)  # it tries another one
                await other.publish(EVENTS, 2)
                assert seen == [1]
                with pytest.raises(PubSubUnavailableError), anyio.fail_after(5):
                    await pubsub.ping()
                proxy.heal()
                await until(lambda: 2 in seen, within_s=8)


async def test_connection_that_is_reset_again_and_again_loses_nothing(server: PubSubServer) -> None:
    seen: Counter[int] = Counter()

    @subscription("events-sub", EVENTS, ack_deadline="60s", retry=Retry(0, 0))
    async def handle(number: int) -> None:
        seen[number] += 1

    async with FaultProxy("127.0.0.1", server.port) as proxy:
        url = f"pubsub://test?emulator=127.0.0.1:{proxy.port}"
        async with opened(url, handle, claims=MemoryClaims()) as pubsub:
            await pubsub.provision()
            async with pubsub.subscriber() as subscriber:
                for number in range(10):
                    await pubsub.publish(EVENTS, number)
                    proxy.cut()
                await until(lambda: set(seen) == set(range(10)) and subscriber.held == 0, within_s=30)

    assert set(seen.values()) == {1}


async def test_handler_that_is_cancelled_at_any_moment_leaves_its_message(
    server: PubSubServer, fast: ScaledClock
) -> None:
    handled: Counter[int] = Counter()

    @subscription("events-sub", EVENTS, ack_deadline="10s", retry=Retry(0, 0))
    async def handle(number: int) -> None:
        await anyio.sleep(0.003)
        handled[number] += 1

    async with opened(server.url(), handle, clock=fast, claims=MemoryClaims(clock=fast)) as pubsub:
        await pubsub.provision()
        await asyncio.gather(*(pubsub.publish(EVENTS, number) for number in range(60)))
        for _ in range(20):
            with anyio.move_on_after(random.uniform(0.0, 0.03)):
                await pubsub.subscriber().run()
        async with pubsub.subscriber() as subscriber:
            await until(lambda: set(handled) == set(range(60)), within_s=20)
            await until(lambda: subscriber.held == 0)

    assert set(handled.values()) == {1}
