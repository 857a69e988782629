"""Breakers in Redis: one hash, from a breaker's name to `<version>:<JSON>`. The clock is the server's.

One hash, so one hash slot on a cluster, and one `HGETALL` lists them all. It has no expiry; a breaker is about 200
bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from undercroft._core.clock import Clock
from undercroft._core.url import Url
from undercroft.connections.redis import RedisConnection, RedisError, Script
from undercroft.resilience._breaker._protocol import Stored
from undercroft.resilience._errors import BreakersUnavailableError

_KEY = "undercroft:breakers"
_READ = Script("return {redis.call('TIME'), redis.call('HGET', KEYS[1], ARGV[1])}")
_READ_ALL = Script("return {redis.call('TIME'), redis.call('HGETALL', KEYS[1])}")
_SWAP = Script(
    """
    local found = redis.call('HGET', KEYS[1], ARGV[1])
    local version = found and string.match(found, '^%d+') or '0'
    if version ~= ARGV[2] then
        return 0
    end
    redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
    return 1
    """
)


class RedisBreakers:
    """The hash `key` of a Redis."""

    name = "redis"
    is_local = False

    def __init__(self, redis: RedisConnection, *, is_owned: bool = True, key: str = _KEY) -> None:
        """Take the connection; does no I/O.

        Args:
            is_owned: Whether it is opened and closed with the store, or by somebody else.
        """
        self._redis = redis
        self._is_owned = is_owned
        self._key = key

    @classmethod
    def from_url(cls, url: Url, *, what: str, clock: Clock | None = None, redis: RedisConnection | None = None) -> Self:
        """Return the store of a Redis URL; or, with `redis`, one that shares that connection.

        Raises:
            RedisUrlError: The URL names no server, or has an option that there is not.
            MissingExtraError: redis-py is not installed.
        """
        if redis is not None:
            return cls(redis, is_owned=False)
        return cls(RedisConnection.from_url(url, what=what, clock=clock))

    async def __aenter__(self) -> Self:
        if self._is_owned:
            await self._redis.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._is_owned:
            await self._redis.__aexit__(None, None, None)

    async def ping(self) -> None:
        with self._translated():
            await self._redis.ping()

    async def read(self, name: str) -> Stored:
        time, found = await self._run(_READ, name)
        return _stored(found, _seconds(time))

    async def swap(self, name: str, data: bytes, *, version: int) -> bool:
        return bool(await self._run(_SWAP, name, str(version), b"%d:%b" % (version + 1, data)))

    async def read_all(self) -> Mapping[str, Stored]:
        time, found = await self._run(_READ_ALL)
        now = _seconds(time)
        return {name.decode(): _stored(raw, now) for name, raw in zip(found[::2], found[1::2], strict=True)}

    async def _run(self, script: Script, *args: str | bytes) -> Any:
        with self._translated():
            return await self._redis.run_script(script, [self._key], args)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except RedisError as exc:
            # Refused (memory full, a wrong password) too: whatever it is, the store does not do its work.
            raise BreakersUnavailableError(exc.message, hint=exc.hint) from exc


def _stored(raw: bytes | None, now: float) -> Stored:
    if raw is None:
        return Stored(None, 0, now)
    version, _, data = raw.partition(b":")
    return Stored(data, int(version), now)


def _seconds(time: list[bytes]) -> float:
    return int(time[0]) + int(time[1]) / 1e6
