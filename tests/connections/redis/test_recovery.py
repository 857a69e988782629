"""Servers that die, come back, load, change their role or their mind: every call works or says why, and it goes on."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from tests.connections.redis._servers import HOST, Cluster, RedisServer, SentinelGroup
from undercroft._core.errors import Kind
from undercroft.connections.redis import (
    RedisAuthError,
    RedisBusyError,
    RedisConnection,
    RedisNoPrimaryError,
    RedisOutOfMemoryError,
    RedisPermissionError,
    RedisReadOnlyError,
    RedisTooManyClientsError,
    RedisUnavailableError,
    Script,
)

pytestmark = [pytest.mark.anyio, pytest.mark.redis]
INCR = Script("return redis.call('INCR', KEYS[1])")
FAST = "socket_timeout_s=1&connect_timeout_s=1"


class Load:
    """Tasks that count on the server without a pause; keeps what came of it."""

    def __init__(self, connection: RedisConnection, key: str = "load") -> None:
        self._connection = connection
        self._key = key
        self.counted = self.unknown = self.failed = 0
        self.last_success_at = 0.0

    async def run(self) -> None:
        client: Any = self._connection.client
        while True:
            try:
                with self._connection.translated():
                    await client.incr(self._key)
                    await client.get(self._key)
                self.counted += 1
                self.last_success_at = time.monotonic()
            except RedisUnavailableError as exc:  # anything else breaks the test
                self.unknown += exc.may_have_run
                self.failed += 1
                await anyio.sleep(0.01)

    async def until_works(self) -> float:
        """Return the seconds until a call that starts from now on worked."""
        started = time.monotonic()
        with anyio.fail_after(5):
            while self.last_success_at < started:
                await anyio.sleep(0.002)
        return time.monotonic() - started


@pytest.mark.timeout(60)
async def test_twenty_restarts_under_load_each_recover_by_themselves(server: RedisServer) -> None:
    async with RedisConnection(f"{server.url}?{FAST}&pool_size=8") as connection:
        load = Load(connection)
        slowest = 0.0
        async with anyio.create_task_group() as tasks:
            for _ in range(16):
                tasks.start_soon(load.run)
            for restart in range(20):
                await load.until_works()
                how = signal.SIGKILL if restart % 2 else signal.SIGTERM
                await anyio.to_thread.run_sync(partial(server.stop, how))
                await anyio.sleep(0.03)  # so long nobody listens
                await anyio.to_thread.run_sync(server.start)
                slowest = max(slowest, await load.until_works())
            tasks.cancel_scope.cancel()

        assert slowest < 5
        assert load.failed > 0
        assert connection.pool_status.in_use == 0
        print(f"recovered within {slowest:.3f}s; {load.counted} calls worked, {load.failed} failed")


async def test_lost_answers_are_all_that_is_uncertain(server: RedisServer) -> None:
    async with RedisConnection(f"{server.url}?{FAST}") as connection:
        load = Load(connection)
        client: Any = connection.client
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(load.run)
            for _ in range(10):
                await load.until_works()
                await anyio.to_thread.run_sync(partial(server.cli, "client", "kill", "type", "normal"))
            tasks.cancel_scope.cancel()

        executed = int(await client.get("load"))
        # Reads that were cut are not among the unknown; a cancelled task at the end may have counted once more.
        assert load.counted <= executed <= load.counted + load.unknown + load.failed + 8


async def test_server_that_is_down_at_the_start_is_found_when_it_comes(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    async with RedisConnection(f"{server.url}?{FAST}") as connection:
        with pytest.raises(RedisUnavailableError, match="cannot be reached") as caught:
            await connection.ping()
        assert caught.value.kind is Kind.UNAVAILABLE
        assert caught.value.http_status == 503

        with server:
            await connection.ping()


async def test_stopped_process_ends_in_timeouts_and_recovers(server: RedisServer) -> None:
    async with RedisConnection(f"{server.url}?socket_timeout_s=0.2&connect_timeout_s=0.2") as connection:
        await connection.ping()
        server.send(signal.SIGSTOP)
        for _ in range(2):
            with pytest.raises(RedisUnavailableError):
                await connection.ping()
        server.send(signal.SIGCONT)

        await connection.ping()


async def test_killed_connections_cost_idle_callers_nothing(server: RedisServer) -> None:
    async with RedisConnection(server.url) as connection:
        client: Any = connection.client
        for round_number in range(10):
            await asyncio.gather(*(client.incr(f"c{number}") for number in range(5)))
            server.cli("client", "kill", "type", "normal")
            await anyio.sleep(0.02)  # the loop must get to read that they are closed
            assert int(await client.get("c0")) == round_number + 1


async def test_loading_server_is_busy_and_then_works(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, "--enable-debug-command", "yes")
    with server:
        server.cli("debug", "populate", 3000, "key", 100)
        server.cli("save")
        server.stop()
        # Microseconds for each key; and clients are answered in between, though only with this.
        server.start("--key-load-delay", "400", "--loading-process-events-interval-bytes", "1024", wait=False)
        async with RedisConnection(f"{server.url}?{FAST}") as connection:
            seen = await until_works(connection, "ping")

    assert RedisBusyError in seen
    assert seen <= {RedisBusyError, RedisUnavailableError}


async def test_busy_script_is_busy_and_then_works(server: RedisServer) -> None:
    server.cli("config", "set", "busy-reply-threshold", 50)
    url = f"{server.url}?socket_timeout_s=5"
    endless = Script("while redis.call('TIME')[1] < ARGV[1] do end return 1")
    async with RedisConnection(url) as connection, RedisConnection(url) as other, anyio.create_task_group() as tasks:
        await other.ping()
        tasks.start_soon(connection.run_script, endless, [], [int(time.time()) + 2])
        seen = await until_works(other, "get")

    assert RedisBusyError in seen


async def test_replica_refuses_writes_until_it_is_promoted(server: RedisServer) -> None:
    async with RedisConnection(server.url) as connection:
        client: Any = connection.client
        await client.set("a", 1)
        server.cli("replicaof", HOST, 1)
        for call in (client.incr("a"), connection.run_script(INCR, ["a"])):
            with pytest.raises(RedisReadOnlyError) as caught, connection.translated():
                await call
            assert not caught.value.may_have_run
        server.cli("replicaof", "no", "one")

        assert await connection.run_script(INCR, ["a"]) == 2


async def test_full_memory_refuses_writes_and_serves_reads(server: RedisServer) -> None:
    async with RedisConnection(server.url) as connection:
        client: Any = connection.client
        await client.set("a", "x" * 1000)
        server.cli("config", "set", "maxmemory-policy", "noeviction")
        server.cli("config", "set", "maxmemory", 1000)

        for call in (client.set("b", "y"), connection.run_script(INCR, ["n"])):
            with pytest.raises(RedisOutOfMemoryError) as caught, connection.translated():
                await call
            assert caught.value.kind is Kind.REFUSED
        assert len(await client.get("a")) == 1000
        server.cli("config", "set", "maxmemory", 0)
        assert await connection.run_script(INCR, ["n"]) == 1


async def test_full_server_says_that_it_takes_no_more_clients(server: RedisServer) -> None:
    async with RedisConnection(server.url) as first, RedisConnection(server.url) as second:
        await first.ping()
        server.cli("config", "set", "maxclients", 1)
        with pytest.raises(RedisTooManyClientsError):
            await second.ping()
        client: Any = first.client
        await client.config_set("maxclients", 100)

        await second.ping()


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        server.cli("acl", "setuser", "ann", "on", ">p@ss:/w0rd", "~shop:*", "+@all", "-@dangerous")
        server.cli("acl", "setuser", "default", "off")
        yield server


async def test_right_password_is_percent_decoded(guarded: RedisServer) -> None:
    url = f"redis://ann:p%40ss%3A%2Fw0rd@{HOST}:{guarded.port}"
    for protocol in (2, 3):
        async with RedisConnection(f"{url}?protocol={protocol}") as connection:
            await connection.ping()


@pytest.mark.parametrize("credentials", ["ann:wr0ng@", ":wr0ng@", "bob:wr0ng@", ""])
async def test_wrong_password_is_refused_and_never_shown(guarded: RedisServer, credentials: str) -> None:
    for protocol in (2, 3):
        async with RedisConnection(f"redis://{credentials}{HOST}:{guarded.port}?protocol={protocol}") as connection:
            with pytest.raises(RedisAuthError) as caught:
                await connection.ping()
            assert "wr0ng" not in f"{caught.value}{connection!r}{connection.place}"
            assert caught.value.kind is Kind.REFUSED


async def test_command_or_key_that_the_acl_denies_is_refused(guarded: RedisServer) -> None:
    async with RedisConnection(f"redis://ann:p%40ss%3A%2Fw0rd@{HOST}:{guarded.port}") as connection:
        client: Any = connection.client
        for call in (client.flushall(), client.get("other:1"), connection.run_script(INCR, ["other:1"])):
            with pytest.raises(RedisPermissionError), connection.translated():
                await call
        assert await connection.run_script(INCR, ["shop:1"]) == 1


@pytest.mark.timeout(60)
async def test_failover_of_the_primary_is_followed(tmp_path: Path) -> None:
    with SentinelGroup(tmp_path) as group:
        async with RedisConnection(f"{group.url}?{FAST}&pool_size=4") as connection:
            load = Load(connection)
            async with anyio.create_task_group() as tasks:
                for _ in range(8):
                    tasks.start_soon(load.run)
                await load.until_works()
                group.primary.stop()
                started = time.monotonic()
                with anyio.fail_after(15):
                    while "role:master" not in group.replica.cli("info", "replication"):
                        await anyio.sleep(0.05)
                promoted_s = time.monotonic() - started
                recovered_s = await load.until_works()
                tasks.cancel_scope.cancel()

            assert recovered_s < 5
            assert connection.pool_status.in_use == 0
            print(f"promoted after {promoted_s:.2f}s, recovered {recovered_s:.3f}s later")


async def test_primary_that_was_demoted_is_never_written_to(tmp_path: Path) -> None:
    with SentinelGroup(tmp_path) as group:
        async with RedisConnection(f"{group.url}?{FAST}") as connection:
            assert await connection.run_script(INCR, ["n"]) == 1
            group.primary.cli("replicaof", HOST, 1)
            with pytest.raises(RedisReadOnlyError) as caught:
                await connection.run_script(INCR, ["n"])
            assert not caught.value.may_have_run
            group.primary.cli("replicaof", "no", "one")

            assert await connection.run_script(INCR, ["n"]) == 2


async def test_sentinel_that_knows_no_such_primary_says_so(tmp_path: Path) -> None:
    with SentinelGroup(tmp_path) as group:
        url = group.url.replace(SentinelGroup.name, "other")
        async with RedisConnection(f"{url}?{FAST}") as connection:
            with pytest.raises(RedisNoPrimaryError, match="other"):
                await connection.ping()


@pytest.mark.timeout(60)
async def test_node_of_a_cluster_comes_back(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        async with RedisConnection(f"{cluster.url}?{FAST}&pool_size=8") as connection:
            loads = [Load(connection, key) for key in ("a", "b", "c", "d", "e", "f")]  # of all three nodes
            async with anyio.create_task_group() as tasks:
                for load in loads:
                    tasks.start_soon(load.run)
                for node in cluster.nodes[:2]:
                    for load in loads:
                        await load.until_works()
                    node.stop()
                    await anyio.sleep(0.1)
                    await anyio.to_thread.run_sync(node.start)
                    for load in loads:
                        await load.until_works()
                tasks.cancel_scope.cancel()

            assert connection.pool_status.in_use == 0
            assert sum(load.failed for load in loads) > 0


async def test_cluster_that_is_down_is_unavailable(tmp_path: Path) -> None:
    servers = [RedisServer(tmp_path), RedisServer(tmp_path)]
    url = "redis+cluster://" + ",".join(f"{HOST}:{server.port}" for server in servers)
    async with RedisConnection(f"{url}?{FAST}") as connection:
        with pytest.raises(RedisUnavailableError, match="cannot be reached"):
            await connection.ping()


async def until_works(connection: RedisConnection, command: str) -> set[type[RedisUnavailableError]]:
    """Call until it works; return the kinds of errors until then."""
    seen: set[type[RedisUnavailableError]] = set()
    client: Any = connection.client
    with anyio.fail_after(10):
        while True:
            try:
                with connection.translated():
                    await client.execute_command(*([command] if command == "ping" else [command, "x"]))
                if seen:
                    return seen
            except RedisUnavailableError as exc:
                seen.add(type(exc))
            await anyio.sleep(0.02)
