from __future__ import annotations

from typing import assert_type

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.client import PubSub

from undercroft._core.url import Url
from undercroft.connections.redis import (
    Holder,
    PoolExhaustedError,
    PoolStatus,
    RedisConnection,
    RedisError,
    RedisOptions,
    RedisUnavailableError,
    Script,
    translated,
)

# making
connection = RedisConnection("redis://h", what="REDIS_URL")
assert_type(RedisConnection.from_url(Url.parse("redis://h"), what="REDIS_URL"), RedisConnection)
assert_type(connection.client, Redis | RedisCluster)
assert_type(connection.place, str)
assert_type(connection.is_cluster, bool)
RedisConnection("redis://h", "REDIS_URL")  # E: call-arg
RedisConnection(6379)  # E: arg-type
RedisConnection.from_url("redis://h", what="x")  # E: arg-type
RedisConnection("redis://h", pool_size=3)  # E: call-arg
connection.client = object()  # E: misc,assignment

# values
script = Script("return 1")
assert_type(script.sha, str)
script.text = "return 2"  # E: misc
Script("return 1", "sha")  # E: call-arg
Script(b"return 1")  # E: arg-type
status: PoolStatus = connection.pool_status
assert_type(status.oldest_use_s, float | None)
status.in_use = 0  # E: misc
assert_type(RedisOptions().pool_size, int)


# using
async def use() -> None:
    async with connection as opened:
        assert_type(opened, RedisConnection)
        assert_type(await opened.ping(), float)
        assert_type(await opened.server_version(), tuple[int, ...])
        await opened.run_script(script)
        await opened.run_script(script, ["a", b"b"], ["c", b"d", 1, 1.5])
        await opened.run_script("return 1")  # E: arg-type
        await opened.run_script(script, [1])  # E: list-item
        await opened.run_script(script, args=[None])  # E: list-item
        assert_type(opened.pubsub(), PubSub)


# a block of `translated` never swallows: no "missing return" here
def value() -> int:
    with connection.translated():
        return 1


# errors
def errors() -> None:
    assert_type(translated("the cache"), translated)
    assert_type(connection.translated(), translated)
    try:
        with connection.translated():
            pass
    except PoolExhaustedError as error:
        assert_type(error.holders, tuple[Holder, ...])
    except RedisUnavailableError as error:
        assert_type(error.may_have_run, bool)
        assert_type(error.retry_after, float | None)
    except RedisError as error:
        error.may_have_run  # E: attr-defined
