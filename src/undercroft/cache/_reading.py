"""Reading a cache, which never fails because of its store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar, overload

from undercroft.cache._counts import CacheStats, Counts
from undercroft.cache._envelope import FORMAT, MISFITS, Codec
from undercroft.cache._errors import CacheMissError, CacheUnavailableError
from undercroft.cache._look import Found, judged, look, versions_of
from undercroft.cache._missing import MISSING
from undercroft.cache._names import MOST, check_key
from undercroft.cache._protocol import NOT_NOW
from undercroft.cache._shared import Shared

T = TypeVar("T")
D = TypeVar("D")
LONG_S = 30.0
"""What a call that goes through many keys may take on top of the deadline."""

_COUNT_S = 2.0
"""The same for counting, which somebody waits for in front of a screen."""


class Reads(Generic[T]):
    """What of a cache only looks."""

    _shared: Shared
    _space: str
    _prefix: str
    """Of this view's keys in the store."""
    _codec: Codec[T]
    _counts: Counts

    @overload
    async def get(self, key: str) -> T | None: ...

    @overload
    async def get(self, key: str, default: D) -> T | D: ...

    async def get(self, key: str, default: Any = None) -> Any:
        """Return the fresh value under `key`, or `default`. `get(key, MISSING)` tells a stored `None` from none.

        Each call returns a value of its own: changing it does not change the cache. A value that cannot be read (of
        another type or version, damaged) is not there. Never fails because of the store.
        """
        # On the path of every request: nothing here is more than it has to be.
        if key.__class__ is not str or not 0 < len(key) <= MOST or not key.isascii():
            check_key(key)
        store = self._shared.store
        try:
            stored = NOT_NOW if store.get_now is None else store.get_now(self._space, self._prefix + key)
        except CacheUnavailableError as exc:
            store.failed(exc)
            return self._counted(Found(None, "unavailable"), default)
        if stored is NOT_NOW:
            try:
                stored = await store.fetch(self._space, self._prefix + key)
            except CacheUnavailableError:
                return self._counted(Found(None, "unavailable"), default)
        if stored is None:
            self._counts.misses["absent"].add()
            return default
        try:
            envelope = self._codec.decode(stored)
        except MISFITS:
            return self._counted(Found(None, self._codec.misfit(stored)), default)
        if envelope.tags or envelope.format != FORMAT or envelope.version != self._codec.version:
            return self._counted((await self._judged([stored]))[0], default)
        fresh_for_s = envelope.fresh_for_s
        if fresh_for_s is not None and store.backend.time() >= envelope.written_at + fresh_for_s:
            self._counts.misses["expired"].add()
            return default
        self._counts.hits.add()
        return envelope.data

    async def require(self, key: str) -> T:
        """Return the fresh value under `key`.

        Raises:
            CacheMissError: There is none, or the store does not answer.
        """
        value = await self.get(key, MISSING)
        if value is MISSING:
            raise CacheMissError(
                f"there is nothing fresh under {key!r}",
                key=key,
                hint="get() returns a default instead; get_or_set() computes what is missing",
            )
        return value

    async def exists(self, key: str) -> bool:
        """Tell whether there is a fresh value that can be read. False when the store does not answer; not counted."""
        check_key(key)
        try:
            found = await look(self._shared.store, self._space, self._prefix + key, self._codec)
        except CacheUnavailableError:
            return False
        return found.is_fresh

    async def get_many(self, keys: Iterable[str]) -> dict[str, T]:
        """Return the fresh values there are, by key; in one round trip, and a second one if some have tags."""
        wanted = list(dict.fromkeys(keys))
        for key in wanted:
            check_key(key)
        if not wanted:
            return {}
        try:
            read = await self._shared.store.read(self._space, [self._prefix + key for key in wanted])
        except CacheUnavailableError:
            found = [Found(None, "unavailable")] * len(wanted)
        else:
            found = await self._judged(read.values)
        answers = {key: self._counted(one, MISSING) for key, one in zip(wanted, found, strict=True)}
        return {key: value for key, value in answers.items() if value is not MISSING}

    async def _judged(self, stored: Sequence[bytes | None]) -> list[Found]:
        """Say of what use these are; what the store does not tell of their tags makes them none."""
        opened = [self._codec.open(data) for data in stored]
        tags = tuple({tag: None for one in opened if not isinstance(one, str) for tag in one.tags or ()})
        store = self._shared.store
        versions: dict[str, str | None] | None = {}
        if tags:
            try:
                versions = versions_of(tags, (await store.read(self._space, (), tags)).versions)
            except CacheUnavailableError:
                versions = None
        now = store.time()
        return [judged(one, versions, now) for one in opened]

    def _counted(self, found: Found, default: Any) -> Any:
        if found.envelope is None or not found.is_fresh:
            self._counts.miss(found.reason)
            return default
        self._counts.hits.add()
        return found.envelope.data

    # --- Looking into it --------------------------------------------------------------------------------------------

    async def iter_keys(self, *, prefix: str = "") -> AsyncIterator[str]:
        """Yield the keys that begin with `prefix`, in no order, each once. Some may not be fresh any more.

        Raises:
            CacheUnavailableError: The store does not answer.
        """
        store, begin, own = self._shared.real, self._prefix + prefix, len(self._prefix)
        cursor: str | None = None
        seen: set[str] = set()
        while True:
            page = await store.insist(partial(store.backend.keys, self._space, prefix=begin, limit=500, cursor=cursor))
            for key in page.keys:
                if key not in seen:
                    seen.add(key)
                    yield key[own:]
            cursor = page.cursor
            if cursor is None:
                return

    async def list_keys(self, *, prefix: str = "", limit: int = 100) -> list[str]:
        """Return at most `limit` of the keys that begin with `prefix`. See `iter_keys`."""
        keys: list[str] = []
        async for key in self.iter_keys(prefix=prefix):
            if len(keys) >= limit:
                break
            keys.append(key)
        return keys

    async def stats(self) -> CacheStats:
        """Return what this cache did in this process, and how much its namespace holds."""
        counts, real = self._counts, self._shared.real
        try:
            held = await real.ask(lambda: real.backend.statistics(self._space), more_s=_COUNT_S)
        except CacheUnavailableError:
            held = None
        return CacheStats(
            hits=counts.hits.value,
            misses=counts.misses.numbers(),
            computed=counts.computed.numbers(),
            coalesced=counts.coalesced.value,
            stale_served=counts.stale.numbers(),
            store_errors=counts.store_errors.value,
            entries=None if held is None else held.entries,
            size_bytes=None if held is None else held.size_bytes,
        )
