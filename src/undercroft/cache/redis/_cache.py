"""The Redis backend. See the package's docstring."""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, Self

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.url import Url
from undercroft.cache._errors import CacheUnavailableError
from undercroft.cache._protocol import Changes, Fetched, Item, KeyPage, Read, Statistics
from undercroft.cache._waiting import LeaseWaits
from undercroft.cache.redis import _keys as names
from undercroft.cache.redis import _scripts as scripts
from undercroft.cache.redis._changes import RedisChanges
from undercroft.cache.redis._commands import Call, Commands
from undercroft.cache.redis._server_time import ServerTime
from undercroft.connections.redis import RedisCommandError, RedisConnection, RedisError

_VERSION_BYTES = 16
_LONGEST_MS = 10**13
"""Some 300 years: Redis refuses what would end after the largest instant it knows."""
_STEPS_A_PAGE = 20


class RedisCache:
    """A `CacheBackend` on Redis. Entering does no network I/O.

    Args:
        connection: What to talk through.
        owns_connection: Whether it is opened and closed with this, or by somebody else, before and after.
        random_bytes: Makes the versions of tags.
    """

    name = "redis"
    is_local = False

    def __init__(
        self,
        connection: RedisConnection,
        *,
        owns_connection: bool = True,
        clock: Clock | None = None,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._connection = connection
        self._owns_connection = owns_connection
        self._clock = clock or SystemClock()
        self._random_bytes = random_bytes
        self._commands = Commands(connection)
        self._server_time = ServerTime(connection, self._clock)
        self._waits = LeaseWaits(self._clock)

    @classmethod
    def from_url(
        cls, url: Url, *, what: str = "cache", clock: Clock | None = None, redis: RedisConnection | None = None
    ) -> Self:
        """Make the backend of a Redis URL. Connects to nothing.

        Args:
            redis: A connection to use instead of one of its own; opened and closed by whoever made it.
        """
        connection = redis or RedisConnection.from_url(url, what=what, clock=clock)
        return cls(connection, owns_connection=redis is None, clock=clock)

    async def __aenter__(self) -> Self:
        if self._owns_connection:
            await self._connection.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._waits.wake_all()
        if self._owns_connection:
            await self._connection.__aexit__(None, None, None)

    async def ping(self) -> None:
        with _UNAVAILABLE:
            await self._connection.ping()

    def time(self) -> float:
        return self._server_time()

    # --- Entries ----------------------------------------------------------------------------------------------------

    async def get(self, space: str, key: str) -> bytes | None:
        with _UNAVAILABLE:
            if self._server_time.is_due:
                await self._server_time.look()
            return await self._commands.get(names.entry(space, key))

    async def read(self, space: str, keys: Sequence[str], tags: Sequence[str] = ()) -> Read:
        wanted = [names.entry(space, key) for key in keys] + [names.tag(space, tag) for tag in tags]
        with _UNAVAILABLE:
            if self._server_time.is_due:
                await self._server_time.look()
            found = await self._commands.get_all(wanted)
        return Read(tuple(found[: len(keys)]), tuple(found[len(keys) :]))

    async def fetch(self, space: str, keys: Sequence[str], tags: Sequence[str]) -> Fetched:
        with _UNAVAILABLE:
            if self._server_time.is_due:
                await self._server_time.look()
            found = await self._commands.get_with_ttl(
                [names.entry(space, key) for key in keys], [names.tag(space, tag) for tag in tags]
            )
        return Fetched(
            values=tuple(value for value, _ in found[: len(keys)]),
            left_s=tuple(None if left == -1 else max(left, 0) / 1000 for _, left in found[: len(keys)]),
            versions=tuple(version for version, _ in found[len(keys) :]),
        )

    async def write(self, space: str, items: Sequence[Item]) -> None:
        calls = [
            Call(
                self._pairs(space, [item.key for item in part]),
                [*_told(space, keys=[item.key for item in part]), *_data(part)],
            )
            for part in self._parts(items)
        ]
        await self._run_all(scripts.WRITE, calls)
        self._waits.wake(space, (item.key for item in items))

    async def delete(self, space: str, keys: Sequence[str]) -> int:
        calls = [Call(self._pairs(space, part), _told(space, keys=part)) for part in self._parts(keys)]
        counts = await self._run_all(scripts.DELETE, calls)
        self._waits.wake(space, keys)
        return sum(counts)

    async def clear(self, space: str, *, prefix: str = "") -> int:
        """As the protocol says. Looks at every key of the server, of whatever use, and blocks nobody meanwhile."""
        count = 0
        async for keys in self._walk(space, prefix):
            count += await self.delete(space, keys)
        self._waits.wake_all()
        return count

    async def keys(self, space: str, *, prefix: str = "", limit: int = 100, cursor: str | None = None) -> KeyPage:
        pattern, found = names.pattern(space, prefix), dict[str, None]()
        for _ in range(_STEPS_A_PAGE):
            with _UNAVAILABLE:
                some, cursor = await self._commands.step(pattern, cursor, at_once=max(limit, 10))
            found.update(dict.fromkeys(_keys_of(filter(names.is_entry, some), space)))
            if cursor is None or len(found) >= limit:
                break
        return KeyPage(tuple(found), cursor)

    async def statistics(self, space: str) -> Statistics:
        """As the protocol says. Looks at every key of the server; what values weigh is not known without reading."""
        found: set[bytes] = set()
        with _UNAVAILABLE:
            async for some in self._commands.walk(names.pattern(space, "")):
                found.update(filter(names.is_entry, some))
        return Statistics(entries=len(found), size_bytes=None)

    # --- Tags -------------------------------------------------------------------------------------------------------

    async def ensure_tags(self, space: str, tags: Sequence[str], *, ttl_s: float | None) -> tuple[bytes, ...]:
        calls = [
            Call(
                [names.tag(space, tag) for tag in part],
                [_ms(ttl_s), *(self._random_bytes(_VERSION_BYTES).hex() for _ in part)],
            )
            for part in self._parts(tags)
        ]
        replies = await self._run_all(scripts.ENSURE_TAGS, calls)
        return tuple(version for versions in replies for version in versions)

    async def invalidate_tags(self, space: str, tags: Sequence[str]) -> None:
        calls = [Call([names.tag(space, tag) for tag in part], _told(space, tags=part)) for part in self._parts(tags)]
        await self._run_all(scripts.FORGET_TAGS, calls)

    # --- Leases -----------------------------------------------------------------------------------------------------

    async def take_lease(self, space: str, key: str, token: str, *, ttl_s: float) -> bool:
        return bool(await self._run(scripts.TAKE_LEASE, [names.lease(space, key)], [token, _ms(ttl_s)]))

    async def renew_lease(self, space: str, key: str, token: str, *, ttl_s: float) -> bool:
        return bool(await self._run(scripts.RENEW_LEASE, [names.lease(space, key)], [token, _ms(ttl_s)]))

    async def write_leased(self, space: str, item: Item, token: str) -> bool:
        keys = self._pairs(space, [item.key])
        is_kept = await self._run(scripts.WRITE_LEASED, keys, [*_told(space, keys=[item.key]), *_data([item]), token])
        self._waits.wake(space, (item.key,))
        return bool(is_kept)

    async def end_lease(self, space: str, key: str, token: str) -> None:
        await self._run(scripts.END_LEASE, [names.lease(space, key)], [token])
        self._waits.wake(space, (key,))

    async def wait_for_lease(self, space: str, key: str, *, timeout_s: float) -> None:
        async def is_held() -> bool:
            with _UNAVAILABLE:
                return await self._commands.get(names.lease(space, key)) is not None

        await self._waits.wait(space, key, timeout_s=timeout_s, is_held=is_held)

    # --- Coherence --------------------------------------------------------------------------------------------------

    def changes(self) -> Changes | None:
        """Return a listener to the channel of changes."""
        return RedisChanges(self._connection, clock=self._clock)

    # --- What it is made of -----------------------------------------------------------------------------------------

    async def _run(self, script: Any, keys: Sequence[str], args: Sequence[str | bytes | float]) -> Any:
        with _UNAVAILABLE:
            if self._server_time.is_due:
                await self._server_time.look()
            return await self._commands.run(script, Call(keys, args))

    async def _run_all(self, script: Any, calls: Sequence[Call]) -> list[Any]:
        if not calls:
            return []
        with _UNAVAILABLE:
            if self._server_time.is_due:
                await self._server_time.look()
            return await self._commands.run_all(script, calls)

    async def _walk(self, space: str, prefix: str) -> AsyncIterator[list[str]]:
        with _UNAVAILABLE:
            async for some in self._commands.walk(names.pattern(space, prefix)):
                if keys := list(dict.fromkeys(_keys_of(some, space))):
                    yield keys

    def _pairs(self, space: str, keys: Iterable[str]) -> list[str]:
        return [name for key in keys for name in (names.entry(space, key), names.lease(space, key))]

    def _parts(self, whole: Sequence[Any]) -> list[Sequence[Any]]:
        size = self._commands.at_once
        return [whole[start : start + size] for start in range(0, len(whole), size)]


class _Unavailable:
    """Turn Redis's errors into the cache's, but for those that say that a command is wrong. Has no state."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, exc: BaseException | None, __: object) -> None:
        if isinstance(exc, RedisError) and not isinstance(exc, RedisCommandError):
            raise CacheUnavailableError(exc.message, hint=exc.hint, retry_after=exc.retry_after) from exc


_UNAVAILABLE = _Unavailable()


def _told(space: str, *, keys: Sequence[str] = (), tags: Sequence[str] = ()) -> list[str | bytes]:
    return [names.CHANGES, names.message(space, tuple(keys), tuple(tags))]


def _data(items: Iterable[Item]) -> Iterable[str | bytes | int]:
    for item in items:
        yield item.data
        yield _ms(item.ttl_s)


def _ms(ttl_s: float | None) -> int | str:
    """Return a TTL as the scripts take it: at least a millisecond, empty for none."""
    if ttl_s is None or ttl_s * 1000 > _LONGEST_MS:
        return ""
    return max(1, math.ceil(ttl_s * 1000))


def _keys_of(found: Iterable[bytes], space: str) -> Iterable[str]:
    for name in found:
        key = names.key_of(name, space)
        if key is not None:
            yield key
