"""Redis: one client for everything, that loses no connection, sends nothing twice and recovers by itself.

    from undercroft.connections.redis import RedisConnection, Script

    async with RedisConnection("redis://cache:6379/0", what="REDIS_URL") as redis:
        await redis.client.set("greeting", "hello", ex=60)          # redis-py's own client, all of its commands

        take = Script("return redis.call('DECRBY', KEYS[1], ARGV[1])")
        left = await redis.run_script(take, ["stock:7"], [3])        # errors of undercroft

        print(redis.pool_status)

Also `rediss://` (TLS), `redis+unix:///run/redis.sock`, `redis+sentinel://h1,h2/name/0` and `redis+cluster://h1,h2`.
"""

from undercroft._core.url import Url
from undercroft.connections.redis._connection import PoolStatus, RedisConnection
from undercroft.connections.redis._errors import (
    CrossSlotError,
    Holder,
    PoolExhaustedError,
    RedisAuthError,
    RedisBusyError,
    RedisCertificateError,
    RedisCommandError,
    RedisError,
    RedisNoPrimaryError,
    RedisOutOfMemoryError,
    RedisPermissionError,
    RedisReadOnlyError,
    RedisRefusedError,
    RedisTimeoutError,
    RedisTooManyClientsError,
    RedisUnavailableError,
    RedisUrlError,
)
from undercroft.connections.redis._script import Script
from undercroft.connections.redis._settings import RedisOptions
from undercroft.connections.redis._translate import translated

__all__ = [
    "CrossSlotError",
    "Holder",
    "PoolExhaustedError",
    "PoolStatus",
    "RedisAuthError",
    "RedisBusyError",
    "RedisCertificateError",
    "RedisCommandError",
    "RedisConnection",
    "RedisError",
    "RedisNoPrimaryError",
    "RedisOptions",
    "RedisOutOfMemoryError",
    "RedisPermissionError",
    "RedisReadOnlyError",
    "RedisRefusedError",
    "RedisTimeoutError",
    "RedisTooManyClientsError",
    "RedisUnavailableError",
    "RedisUrlError",
    "Script",
    "Url",
    "translated",
]
