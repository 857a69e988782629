"""What only a cluster has: hash slots, several nodes for one call, keys that move."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.connections.redis._servers import HOST, Cluster
from undercroft.connections.redis import CrossSlotError, RedisConnection, RedisRefusedError, Script

pytestmark = [pytest.mark.anyio, pytest.mark.redis]
INCR = Script("return redis.call('INCR', KEYS[1])")
TWO = Script("return {redis.call('INCR', KEYS[1]), redis.call('INCR', KEYS[2])}")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
async def connection(cluster: Cluster) -> AsyncIterator[RedisConnection]:
    async with RedisConnection(cluster.url) as connection:
        yield connection


async def test_script_over_several_slots_is_misuse_and_not_sent(connection: RedisConnection) -> None:
    client: Any = connection.client
    with pytest.raises(CrossSlotError, match=r"'a:\{1\}', 'b:\{2\}'") as caught:
        await connection.run_script(TWO, ["a:{1}", "b:{2}"])

    assert caught.value.keys == ("a:{1}", "b:{2}")
    assert await client.exists("a:{1}") == 0


async def test_script_over_one_slot_runs(connection: RedisConnection) -> None:
    assert await connection.run_script(TWO, ["a:{one}", b"b:{one}"]) == [1, 1]


async def test_command_over_several_slots_is_misuse(connection: RedisConnection) -> None:
    client: Any = connection.client
    for call in (client.rename("x", "y"), client.smove("x", "y", 1)):
        with pytest.raises(CrossSlotError), connection.translated():
            await call


async def test_script_is_loaded_on_each_node_that_lacks_it(connection: RedisConnection) -> None:
    client: Any = connection.client
    await client.script_flush()

    assert [await connection.run_script(INCR, [f"spread:{number}"]) for number in range(30)] == [1] * 30


async def test_pipeline_reaches_all_nodes(connection: RedisConnection) -> None:
    client: Any = connection.client
    pipeline = client.pipeline()
    for number in range(60):
        pipeline.set(f"p:{number}", number)

    assert await pipeline.execute() == [True] * 60
    assert connection.pool_status.in_use == 0


async def test_keys_that_moved_are_followed(cluster: Cluster, connection: RedisConnection) -> None:
    client: Any = connection.client
    assert await connection.run_script(INCR, ["moved"]) == 1
    await client.delete("moved")
    slot = int(cluster.nodes[0].cli("cluster", "keyslot", "moved"))
    ids = [node.cli("cluster", "myid").strip() for node in cluster.nodes]
    owner = next(number for number in range(3) if slot < 16384 * (number + 1) // 3)
    target = (owner + 1) % 3
    cluster.nodes[target].cli("cluster", "setslot", slot, "node", ids[target])
    cluster.nodes[owner].cli("cluster", "setslot", slot, "node", ids[target])

    assert await connection.run_script(INCR, ["moved"]) == 1
    assert cluster.nodes[target].cli("get", "moved") == "1\n"


async def test_watched_key_that_changed_is_refused(connection: RedisConnection, cluster: Cluster) -> None:
    client: Any = connection.client
    async with client.pipeline(transaction=True) as pipeline:
        await pipeline.watch("w")
        await client.set("w", 2)
        pipeline.multi()
        pipeline.set("w", 3)
        with pytest.raises(RedisRefusedError, match="watched key"), connection.translated():
            await pipeline.execute()
    assert await client.get("w") == b"2"


async def test_one_node_is_enough_to_find_the_others(cluster: Cluster) -> None:
    async with RedisConnection(f"redis+cluster://{HOST}:1,{HOST}:{cluster.nodes[1].port}") as connection:
        client: Any = connection.client
        assert [await client.set(f"k:{number}", number) for number in range(20)] == [True] * 20


async def test_the_first_calls_of_a_connection_may_come_all_at_once(cluster: Cluster) -> None:
    for number in range(5):
        async with RedisConnection(cluster.url) as connection:
            keys = [f"cold:{number}:{key}" for key in range(3)] * 17
            counts = await asyncio.gather(*(connection.run_script(INCR, [key]) for key in keys))
        assert sorted(counts) == sorted([*range(1, 18)] * 3)
