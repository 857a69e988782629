"""What every kind of Redis does alike: one server, a Unix socket, TLS, a primary behind Sentinel, a cluster."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import pytest

from tests.connections.redis._servers import Cluster, RedisServer, SentinelGroup, Tls, tls_server, unix_server
from undercroft._core.errors import NotOpenError
from undercroft.connections.redis import (
    PoolExhaustedError,
    RedisCommandError,
    RedisConnection,
    Script,
    translated,
)

pytestmark = [pytest.mark.anyio, pytest.mark.redis]
ADD = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])")


class RedisConnectionPromises:
    """The promises of `RedisConnection`, one test each. A subclass gives the URL of a running Redis."""

    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def key(self) -> str:
        return f"test:{{{secrets.token_hex(6)}}}"

    @pytest.fixture
    async def redis(self, url: str) -> AsyncIterator[RedisConnection]:
        async with RedisConnection(url) as redis:
            yield redis

    async def test_ping_says_how_long_it_took(self, redis: RedisConnection) -> None:
        assert 0 < await redis.ping() < 5

    async def test_version_can_be_compared(self, redis: RedisConnection) -> None:
        assert (6, 2) <= await redis.server_version() < (100,)

    async def test_client_reads_what_it_wrote(self, redis: RedisConnection, key: str) -> None:
        client: Any = redis.client
        await client.set(key, "grüße", ex=60)

        assert await client.get(key) == "grüße".encode()
        assert await client.delete(key) == 1
        assert await client.get(key) is None

    async def test_connections_of_many_tasks_come_back(self, url: str, key: str) -> None:
        async with RedisConnection(more(url, "pool_size=4")) as redis:
            client: Any = redis.client
            await asyncio.gather(*(client.incr(key) for _ in range(200)))
            status = redis.pool_status

        assert (status.size, status.in_use, status.waiting, status.oldest_use_s) == (4, 0, 0, None)
        assert status.idle >= 1

    async def test_script_runs_with_keys_and_arguments(self, redis: RedisConnection, key: str) -> None:
        both = Script("return {KEYS[2], ARGV[1], ARGV[2], ARGV[3]}")

        assert await redis.run_script(ADD, [key], [5]) == 5
        answer = await redis.run_script(both, [key, f"{key}:2"], ["é", b"\x00\xff", 1.5])
        assert answer == [f"{key}:2".encode(), "é".encode(), b"\x00\xff", b"1.5"]

    async def test_script_without_keys_runs(self, redis: RedisConnection) -> None:
        assert await redis.run_script(Script("return ARGV[1]"), [], ["x"]) == b"x"

    async def test_forgotten_script_runs_once_all_the_same(self, redis: RedisConnection, key: str) -> None:
        client: Any = redis.client
        assert await redis.run_script(ADD, [key], [1]) == 1
        await client.script_flush()

        assert await redis.run_script(ADD, [key], [1]) == 2

    async def test_blocking_command_outlives_the_socket_timeout(self, url: str, key: str) -> None:
        async with RedisConnection(more(url, "socket_timeout_s=0.2")) as redis:
            client: Any = redis.client
            start = asyncio.get_running_loop().time()

            assert await client.blpop([key], timeout=0.4) is None
            assert asyncio.get_running_loop().time() - start >= 0.38
            assert await client.xread({key: "$"}, block=300) in (None, [], {})

    async def test_blocked_command_wakes_when_there_is_something(self, redis: RedisConnection, key: str) -> None:
        client: Any = redis.client
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._push_when_blocked, redis, key)
            with anyio.fail_after(5):
                assert [*await client.bzpopmin([key], timeout=0)] == [key.encode(), b"a", 1.0]

    async def test_published_message_arrives(self, redis: RedisConnection, key: str) -> None:
        client: Any = redis.client
        async with redis.pubsub() as listener:
            await listener.subscribe(key)
            with anyio.fail_after(5):
                assert (await self._next(listener))["type"] == "subscribe"
                await client.publish(key, b"hello")

                assert (await self._next(listener))["data"] == b"hello"

    async def test_listeners_leave_the_pool_to_commands(self, url: str, key: str) -> None:
        async with RedisConnection(more(url, "pool_size=1&pool_timeout_s=1")) as redis, redis.pubsub() as listener:
            await listener.subscribe(key)
            await redis.ping()

            assert redis.pool_status.in_use == 0

    async def test_pipeline_returns_every_answer_in_order(self, redis: RedisConnection, key: str) -> None:
        client: Any = redis.client
        pipeline = client.pipeline(transaction=False)
        for number in range(50):
            pipeline.rpush(key, number)

        assert await pipeline.execute() == list(range(1, 51))
        assert redis.pool_status.in_use == 0

    async def test_wrong_type_is_misuse(self, redis: RedisConnection, key: str) -> None:
        client: Any = redis.client
        await client.set(key, "text")

        with pytest.raises(RedisCommandError, match="WRONGTYPE") as caught, translated(redis.place):
            await client.lpush(key, 1)
        assert caught.value.__cause__ is not None

    async def test_error_of_a_pipeline_does_not_repeat_its_arguments(self, redis: RedisConnection, key: str) -> None:
        client: Any = redis.client
        pipeline = client.pipeline(transaction=False)
        pipeline.set(key, "text")
        pipeline.lpush(key, "s3cret (really) of pipeline caused error: no")

        with pytest.raises(RedisCommandError) as caught, redis.translated():
            await pipeline.execute()
        assert "s3cret" not in str(caught.value)

    async def test_broken_script_is_misuse(self, redis: RedisConnection, key: str) -> None:
        with pytest.raises(RedisCommandError):
            await redis.run_script(Script("this is not Lua"), [key])
        with pytest.raises(RedisCommandError, match="out of stock"):
            await redis.run_script(Script("return redis.error_reply('out of stock')"), [key])

    async def test_exhausted_pool_says_who_holds_it(self, url: str, key: str) -> None:
        async with RedisConnection(more(url, "pool_size=2&pool_timeout_s=0.1")) as redis:
            client: Any = redis.client
            await redis.ping()
            async with anyio.create_task_group() as tasks:
                for name in ("mail worker", "media worker"):
                    tasks.start_soon(client.blpop, [f"{key}:{name}"], 30, name=name)
                await until(lambda: redis.pool_status.in_use == 2)

                with pytest.raises(PoolExhaustedError) as caught:
                    await redis.ping()
                assert {holder.task for holder in caught.value.holders} == {"mail worker", "media worker"}
                assert "mail worker for 0." in str(caught.value)
                assert redis.pool_status.oldest_use_s is not None
                tasks.cancel_scope.cancel()

            await redis.ping()
            assert redis.pool_status.in_use == 0

    async def test_cancelled_calls_neither_leak_nor_cross(self, url: str, key: str) -> None:
        async with RedisConnection(more(url, "pool_size=3")) as redis:
            client: Any = redis.client
            keys = [f"{key}:{number}" for number in range(20)]
            for one in keys:
                await client.set(one, one)
            crossed = 0
            for attempt in range(200):
                one = keys[attempt % 20]
                task = asyncio.create_task(client.get(one))
                for _ in range(attempt % 7):
                    await asyncio.sleep(0)
                task.cancel()
                answer = (await asyncio.gather(task, return_exceptions=True))[0]
                crossed += not isinstance(answer, asyncio.CancelledError) and answer != one.encode()

            assert crossed == 0
            assert redis.pool_status.in_use == 0
            assert await asyncio.gather(*(client.get(one) for one in keys)) == [one.encode() for one in keys]

    async def test_url_may_be_closed_and_entered_again(self, url: str) -> None:
        redis = RedisConnection(url)
        for _ in range(2):
            async with redis:
                await redis.ping()

    async def test_nothing_works_outside_of_the_block(self, url: str) -> None:
        redis = RedisConnection(url)
        with pytest.raises(NotOpenError):
            await redis.ping()
        async with redis:
            client: Any = redis.client
            with pytest.raises(NotOpenError):
                await redis.__aenter__()
        with pytest.raises(NotOpenError):
            redis.client  # noqa: B018
        del client

    async def _push_when_blocked(self, redis: RedisConnection, key: str) -> None:
        await until(lambda: redis.pool_status.in_use == 1)
        client: Any = redis.client
        await client.zadd(key, {"a": 1})

    async def _next(self, listener: Any) -> Any:
        while (message := await listener.get_message(timeout=1)) is None:
            pass
        return message


class TestOneServer(RedisConnectionPromises):
    @pytest.fixture
    def url(self, one_server: RedisServer) -> str:
        return f"{one_server.url}/3"


class TestRespTwo(RedisConnectionPromises):
    @pytest.fixture
    def url(self, one_server: RedisServer) -> str:
        return f"{one_server.url}/4?protocol=2"


class TestUnixSocket(RedisConnectionPromises):
    @pytest.fixture
    def url(self, unix_url: str) -> str:
        return f"{unix_url}?db=2"


class TestTls(RedisConnectionPromises):
    @pytest.fixture
    def url(self, tls: Tls) -> str:
        return f"rediss://localhost:{tls.port}?ca_file={tls.certificate.certificate}"


class TestSentinel(RedisConnectionPromises):
    @pytest.fixture
    def url(self, sentinel: SentinelGroup) -> str:
        return sentinel.url


class TestCluster(RedisConnectionPromises):
    @pytest.fixture
    def url(self, cluster: Cluster) -> str:
        return cluster.url


@pytest.fixture(scope="module")
def one_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("one")) as server:
        yield server


@pytest.fixture(scope="module")
def unix_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with unix_server(tmp_path_factory.mktemp("unix")) as url:
        yield url


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tls]:
    with tls_server(tmp_path_factory.mktemp("tls")) as tls:
        yield tls


@pytest.fixture(scope="module")
def sentinel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentinelGroup]:
    with SentinelGroup(tmp_path_factory.mktemp("sentinel")) as group:
        yield group


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


def more(url: str, options: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{options}"


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(5):
        while not condition():
            await anyio.sleep(0.005)
