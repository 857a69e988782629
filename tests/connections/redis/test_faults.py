"""The network fails between us and a running server: what is executed, what is said, how it goes on."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from tests._services import Service
from undercroft._core.errors import Kind
from undercroft.connections.redis import (
    RedisConnection,
    RedisError,
    RedisTimeoutError,
    RedisUnavailableError,
    Script,
)
from undercroft.testing.fault_proxy import FaultProxy

pytestmark = [pytest.mark.anyio, pytest.mark.redis]
INCR = Script("return redis.call('INCR', KEYS[1])")
OPTIONS = "socket_timeout_s=0.3&connect_timeout_s=0.3"


@pytest.fixture
async def proxy(redis: Service) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(redis.host, redis.port) as proxy:
        yield proxy


@pytest.fixture
async def faulty(proxy: FaultProxy) -> AsyncIterator[RedisConnection]:
    """A connection through the proxy, connected."""
    async with RedisConnection(proxy.url(f"redis://{{host}}:{{port}}?{OPTIONS}")) as faulty:
        await faulty.ping()
        yield faulty


async def test_lost_answer_of_a_write_is_executed_once_and_said_to_be_unknown(
    faulty: RedisConnection, proxy: FaultProxy, connection: RedisConnection, key: str
) -> None:
    client: Any = faulty.client
    proxy.lose_reply(to=b"INCR")

    with pytest.raises(RedisUnavailableError, match="may have been executed, or not") as caught, faulty.translated():
        await client.incr(key)

    direct: Any = connection.client
    assert await direct.get(key) == b"1"
    assert caught.value.may_have_run
    assert await client.incr(key) == 2


async def test_lost_answer_of_a_script_is_executed_once(
    faulty: RedisConnection, proxy: FaultProxy, connection: RedisConnection, key: str
) -> None:
    await faulty.run_script(INCR, [key])
    proxy.lose_reply(to=b"EVALSHA")

    with pytest.raises(RedisUnavailableError) as caught:
        await faulty.run_script(INCR, [key])

    direct: Any = connection.client
    assert await direct.get(key) == b"2"
    assert caught.value.may_have_run


async def test_lost_answer_of_a_pipeline_is_executed_once(
    faulty: RedisConnection, proxy: FaultProxy, connection: RedisConnection, key: str
) -> None:
    client: Any = faulty.client
    for transaction in (False, True):
        pipeline = client.pipeline(transaction=transaction)
        pipeline.incr(key)
        pipeline.get(key)
        proxy.lose_reply(to=b"INCR")
        with pytest.raises(RedisUnavailableError) as caught, faulty.translated():
            await pipeline.execute()
        assert caught.value.may_have_run

    direct: Any = connection.client
    assert await direct.get(key) == b"2"


async def test_write_after_a_health_check_is_executed_once(proxy: FaultProxy, key: str) -> None:
    url = proxy.url(f"redis://{{host}}:{{port}}?{OPTIONS}&health_check_s=0.01")
    async with RedisConnection(url) as faulty:
        client: Any = faulty.client
        await faulty.ping()
        await anyio.sleep(0.02)  # the time after which the connection is checked
        proxy.lose_reply(to=b"INCR")

        with pytest.raises(RedisUnavailableError) as caught, faulty.translated():
            await client.incr(key)
        assert caught.value.may_have_run
        assert await client.get(key) == b"1"


async def test_failed_health_check_costs_no_call(proxy: FaultProxy, key: str) -> None:
    url = proxy.url(f"redis://{{host}}:{{port}}?{OPTIONS}&health_check_s=0.01")
    async with RedisConnection(url) as faulty:
        client: Any = faulty.client
        await faulty.ping()
        await anyio.sleep(0.02)
        proxy.lose_reply(to=b"PING")

        assert await client.incr(key) == 1
        assert proxy.counts.cut == 1


async def test_lost_answer_of_a_read_is_asked_for_again(
    faulty: RedisConnection, proxy: FaultProxy, connection: RedisConnection, key: str
) -> None:
    direct: Any = connection.client
    await direct.set(key, b"value" * 100, ex=60)
    client: Any = faulty.client

    for bytes_of_the_answer in (0, 1, 100):
        proxy.cut_mid_reply(after_bytes=bytes_of_the_answer, to=b"GET")
        assert await client.get(key) == b"value" * 100
    assert proxy.counts.cut == 3


async def test_answer_that_is_cut_in_the_middle_is_an_error(
    faulty: RedisConnection, proxy: FaultProxy, key: str
) -> None:
    client: Any = faulty.client
    await client.rpush(key, *[b"x" * 50] * 20)
    proxy.cut_mid_reply(after_bytes=100, to=b"LPOP")

    with pytest.raises(RedisUnavailableError) as caught, faulty.translated():
        await client.lpop(key, 20)
    assert caught.value.may_have_run
    await client.delete(key)


async def test_connections_that_were_cut_while_idle_cost_no_call(
    faulty: RedisConnection, proxy: FaultProxy, key: str
) -> None:
    client: Any = faulty.client
    await asyncio.gather(*(client.blpop([key], timeout=0.05) for _ in range(5)))
    proxy.cut()
    await until_closed(proxy)

    assert sorted(await asyncio.gather(*(client.incr(key) for _ in range(5)))) == [1, 2, 3, 4, 5]


async def test_half_open_connection_ends_in_a_timeout_and_recovers(
    faulty: RedisConnection, proxy: FaultProxy, key: str
) -> None:
    client: Any = faulty.client
    proxy.stall()
    started = time.monotonic()

    with pytest.raises(RedisTimeoutError) as caught, faulty.translated():
        await client.incr(key)
    assert time.monotonic() - started < 0.5
    assert caught.value.may_have_run
    started = time.monotonic()
    with pytest.raises(RedisTimeoutError) as again, faulty.translated():
        await client.incr(key)  # it connects, and nobody answers the handshake
    assert time.monotonic() - started < 0.8
    assert not again.value.may_have_run

    proxy.heal()
    await faulty.ping()
    assert faulty.pool_status.in_use == 0


async def test_read_that_times_out_is_not_repeated(faulty: RedisConnection, proxy: FaultProxy, key: str) -> None:
    client: Any = faulty.client
    proxy.stall()
    started = time.monotonic()

    with pytest.raises(RedisTimeoutError) as caught, faulty.translated():
        await client.get(key)
    assert time.monotonic() - started < 0.5
    assert not caught.value.may_have_run


async def test_refused_connection_says_where_and_how_to_go_on(faulty: RedisConnection, proxy: FaultProxy) -> None:
    await proxy.refuse()
    proxy.cut()

    with pytest.raises(RedisUnavailableError, match=f"127.0.0.1:{proxy.port} cannot be reached") as caught:
        await faulty.ping()
    assert not caught.value.may_have_run
    assert caught.value.kind is Kind.UNAVAILABLE

    proxy.heal()
    await faulty.ping()


async def test_handshake_that_is_cut_is_tried_again(proxy: FaultProxy) -> None:
    async with RedisConnection(proxy.url("redis://{host}:{port}")) as faulty:
        proxy.lose_reply(to=b"HELLO")
        await faulty.ping()
        assert proxy.counts.accepted == 2


@pytest.mark.parametrize("health_check_s", [0, 0.01, 30])
async def test_listener_is_told_of_a_cut_and_goes_on(
    proxy: FaultProxy, connection: RedisConnection, key: str, health_check_s: float
) -> None:
    url = proxy.url(f"redis://{{host}}:{{port}}?{OPTIONS}&health_check_s={health_check_s}")
    async with RedisConnection(url) as faulty, faulty.pubsub() as listener:
        await listener.subscribe(key)
        for _ in range(4):  # so that the health check gets its turn
            await listener.get_message(timeout=0.02)
        proxy.cut()
        with pytest.raises(RedisUnavailableError) as caught, faulty.translated():
            await listener.get_message(timeout=1)
        assert not caught.value.may_have_run

        direct: Any = connection.client
        with anyio.fail_after(5):
            while await direct.publish(key, b"again") == 0:
                await listener.get_message(timeout=0.05)
            while (message := await listener.get_message(timeout=1)) is None or message["type"] != "message":
                pass
        assert message["data"] == b"again"


async def test_blocked_call_hears_of_the_cut_at_once(faulty: RedisConnection, proxy: FaultProxy, key: str) -> None:
    client: Any = faulty.client

    async def blocked() -> None:
        with pytest.raises(RedisUnavailableError), faulty.translated():
            await client.blpop([key], timeout=0)

    with anyio.fail_after(3):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(blocked)
            while faulty.pool_status.in_use == 0:
                await anyio.sleep(0.01)
            await anyio.sleep(0.05)
            proxy.cut()


async def test_garbage_instead_of_an_answer_is_an_error() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            await reader.read(100)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await reader.read()

    async with await asyncio.start_server(babble, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with RedisConnection(f"redis://127.0.0.1:{port}?{OPTIONS}") as connection:
            with pytest.raises(RedisError):
                await connection.ping()
            assert connection.pool_status.in_use == 0


async def test_closing_does_not_wait_for_a_dead_network(proxy: FaultProxy, key: str) -> None:
    async with RedisConnection(proxy.url("redis://{host}:{port}?socket_timeout_s=20")) as faulty:
        client: Any = faulty.client
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(client.blpop, [key], 0.05)
        proxy.stall()
        started = time.monotonic()
    assert time.monotonic() - started < 3


async def until_closed(proxy: FaultProxy) -> None:
    with anyio.fail_after(2):
        while proxy.counts.open:
            await anyio.sleep(0.01)
    await anyio.sleep(0.01)
