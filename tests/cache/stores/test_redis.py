"""What only Redis has: names of keys, other people's keys, a clock of its own, a connection that is shared."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from tests.connections.redis._servers import Cluster, RedisServer
from undercroft._core.clock import VirtualClock
from undercroft._core.errors import UndercroftError
from undercroft._core.url import Url
from undercroft.cache import Cache, Item
from undercroft.cache.redis import RedisCache
from undercroft.cache.redis import _keys as names
from undercroft.cache.redis._server_time import ServerTime
from undercroft.connections.redis import RedisConnection

pytestmark = [pytest.mark.anyio, pytest.mark.redis]
a_key = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20) | st.text("{}*?[]^\\-:!", min_size=1)
a_space = st.text("abcAZ09._-", min_size=1, max_size=8)


@pytest.fixture
def space() -> str:
    return uuid4().hex


@pytest.fixture
async def connection(server: RedisServer) -> AsyncIterator[RedisConnection]:
    async with RedisConnection(server.url) as connection:
        yield connection


@pytest.fixture
async def backend(connection: RedisConnection) -> AsyncIterator[RedisCache]:
    async with RedisCache(connection, owns_connection=False) as backend:
        yield backend


async def all_keys(connection: RedisConnection) -> set[bytes]:
    return set(await connection.client.keys("*"))


# --- Names ------------------------------------------------------------------------------------------------------------


@given(space=a_space, key=a_key)
def test_an_entry_and_its_lease_lie_in_one_slot(space: str, key: str) -> None:
    assert key_slot(names.entry(space, key).encode()) == key_slot(names.lease(space, key).encode())


@given(space=a_space, key=a_key)
def test_a_name_says_its_key(space: str, key: str) -> None:
    entry, lease = names.entry(space, key).encode(), names.lease(space, key).encode()
    assert names.key_of(entry, space) == key
    assert names.is_entry(entry)
    assert names.key_of(lease, space) == key
    assert not names.is_entry(lease)


@given(one=st.tuples(a_space, a_key), other=st.tuples(a_space, a_key))
def test_no_two_keys_have_one_name(one: tuple[str, str], other: tuple[str, str]) -> None:
    of_one, of_other = ({names.entry(*key), names.lease(*key)} for key in (one, other))
    assert one == other or not of_one & of_other
    assert not {names.tag(*one), names.tag(*other)} & (of_one | of_other)


@pytest.mark.parametrize("prefix", ["*", "?", "[ab]", "[^a]", "\\", "a-z", "^", "{", "}", "é*", "[", "]"])
async def test_a_prefix_has_no_wildcards(backend: RedisCache, space: str, prefix: str) -> None:
    others = ["a", "b", "ab", "z", "/"]
    await backend.write(space, [Item(key, b"1", None) for key in [f"{prefix}x", prefix, *others]])
    assert set((await backend.keys(space, prefix=prefix)).keys) == {f"{prefix}x", prefix}
    assert await backend.clear(space, prefix=prefix) == 2
    assert set((await backend.keys(space)).keys) == set(others)


# --- Other people's keys ----------------------------------------------------------------------------------------------


async def _fill(client: Any) -> None:
    await client.set("session:1", "theirs")
    await client.hset("undercroft:cache", "field", "theirs")
    await client.set("undercroft:cache:app:a", "theirs")
    await client.set(b"undercroft:cache:{app:\xff}", "theirs, and no text")
    await client.rpush("bull:default:wait", "theirs")


async def test_clear_leaves_everything_else_alone(connection: RedisConnection, backend: RedisCache) -> None:
    await _fill(connection.client)
    for space in ("app", "app2", "ap", "app.x", "APP"):
        await backend.write(space, [Item(f"k{n}", b"1", None) for n in range(700)])
        await backend.ensure_tags(space, ["t"], ttl_s=None)
        assert await backend.take_lease(space, "cold", "token", ttl_s=60)
    before = await all_keys(connection)
    assert await backend.clear("app") == 700
    gone = {names.entry("app", f"k{n}").encode() for n in range(700)} | {names.lease("app", "cold").encode()}
    assert before - await all_keys(connection) == gone


async def test_clear_reaches_every_node_of_a_cluster_and_nothing_else(shared_cluster: Cluster) -> None:
    async with (
        RedisConnection(shared_cluster.url) as connection,
        RedisCache(connection, owns_connection=False) as backend,
    ):
        client: Any = connection.client
        for n in range(50):
            await client.set(f"session:{n}", "theirs")
        for space in ("app", "app2"):
            await backend.write(space, [Item(f"k{n}", b"1", None) for n in range(200)])
        async with Cache[int](backend, namespace="app") as cache:
            assert await cache.clear() == 200
        left = {key for node in shared_cluster.nodes for key in node.cli("keys", "*").split()}
        assert left == {f"session:{n}" for n in range(50)} | {names.entry("app2", f"k{n}") for n in range(200)}


async def test_something_else_under_an_entrys_name_is_no_entry(
    connection: RedisConnection, backend: RedisCache, space: str
) -> None:
    await connection.client.rpush(names.entry(space, "a"), "a list")
    assert await backend.get(space, "a") is None
    assert (await backend.read(space, ["a", "b"])).values == (None, None)
    assert (await backend.fetch(space, ["a", "b"], [])).values == (None, None)
    await backend.write(space, [Item("a", b"1", 60)])
    assert await backend.get(space, "a") == b"1"


# --- The connection ---------------------------------------------------------------------------------------------------


async def test_a_shared_connection_stays_open(connection: RedisConnection, space: str) -> None:
    async with RedisCache.from_url(Url.parse("redis://nowhere:1"), redis=connection) as backend:
        await backend.write(space, [Item("a", b"1", 60)])
    assert await connection.client.exists(names.entry(space, "a")) == 1


async def test_scripts_that_the_server_has_forgotten_are_sent_again(
    connection: RedisConnection, backend: RedisCache, space: str
) -> None:
    items = [Item(f"k{n}", b"1", 60) for n in range(250)]  # more than one call of the script
    await backend.write(space, items)
    await connection.client.script_flush()
    await backend.write(space, items)
    await connection.client.script_flush()
    assert await backend.delete(space, [item.key for item in items]) == 250


async def test_a_write_is_one_round_trip_whose_answer_may_be_lost_but_is_not_sent_again(
    connection: RedisConnection, backend: RedisCache, space: str
) -> None:
    await backend.write(space, [Item("a", b"1", 60)])  # the server knows the script
    before = (await connection.client.info("commandstats"))["cmdstat_evalsha"]["calls"]
    await backend.write(space, [Item(f"k{n}", b"1", 60) for n in range(100)])
    assert (await connection.client.info("commandstats"))["cmdstat_evalsha"]["calls"] == before + 1


async def test_the_server_s_rights_are_checked_before_anything_is_stored(
    server: RedisServer, connection: RedisConnection, space: str
) -> None:
    server.cli("acl", "setuser", "shy", "on", ">pw", "~*", "+@all", "resetchannels")
    url = server.url.replace("redis://", "redis://shy:pw@")
    async with RedisCache.from_url(Url.parse(url)) as backend:
        with pytest.raises(
            UndercroftError, match=r"publish|permit"
        ):  # Redis 7.0 says it in other words than later ones
            await backend.write(space, [Item("a", b"1", 60)])
    assert await connection.client.exists(names.entry(space, "a")) == 0


# --- Time -------------------------------------------------------------------------------------------------------------


async def test_time_is_the_servers(backend: RedisCache, connection: RedisConnection, space: str) -> None:
    await backend.get(space, "a")
    seconds, micros = await connection.client.time()
    assert backend.time() == pytest.approx(seconds + micros / 1e6, abs=0.05)


async def test_a_surer_look_is_kept_and_a_clock_that_was_set_is_followed(connection: RedisConnection) -> None:
    clock = VirtualClock(1000.0)
    server_time = ServerTime(connection, clock)
    assert server_time() == clock.time()  # nobody has looked
    server_time._learn(500.0, 0.010)
    server_time._learn(500.005, 0.050)  # agrees, and is less sure
    assert server_time() == 1500.0
    server_time._learn(500.002, 0.001)
    assert server_time() == 1500.002
    server_time._learn(460.0, 0.050)  # contradicts: the server's clock was set, or it is another server
    assert server_time() == 1460.0


async def test_a_server_that_is_away_does_not_move_time(shared_server: RedisServer) -> None:
    clock = VirtualClock(1000.0)
    async with RedisConnection("redis://127.0.0.1:1?connect_timeout_s=0.2") as connection:
        server_time = ServerTime(connection, clock)
        await server_time.look()
        assert server_time() == clock.time()
        assert not server_time.is_due
        await clock.advance(2)
        assert server_time.is_due
