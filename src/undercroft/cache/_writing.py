"""Writing to a cache and deleting from it, which says so when the store did not take it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from undercroft._core.durations import Duration
from undercroft.cache._envelope import rewrap
from undercroft.cache._leased import LEASE_S
from undercroft.cache._lifetimes import Lifetimes, Ttl, window
from undercroft.cache._look import versions_of
from undercroft.cache._names import check_key, check_tags
from undercroft.cache._protocol import Item
from undercroft.cache._reading import LONG_S, Reads
from undercroft.cache._rules import Rules
from undercroft.cache._shared import new_token

T = TypeVar("T")


class Writes(Reads[T]):
    """What of a cache changes something at once."""

    _lifetimes: Lifetimes

    async def set(
        self,
        key: str,
        value: T,
        ttl: Ttl | None = None,
        *,
        ttl_ms: float | None = None,
        tags: Iterable[str] = (),
        stale: Duration | None = None,
    ) -> None:
        """Store a value, whatever was there. What is being computed for this key meanwhile is not stored over it.

        Args:
            ttl: How long it is fresh: seconds, a `timedelta`, text such as `"5m"`, or `NO_EXPIRY`.
            ttl_ms: The same in milliseconds.
            tags: What it depends on: `invalidate_tags` of one makes it invalid. If another process may invalidate one
                while the value is being made, use `get_or_set`, which reads the tags' versions before.
            stale: For how long after the ttl `get_or_set(stale=…)` and `stale_on_error` may serve it.

        Raises:
            MissingTTLError: There is no ttl, neither here nor as the cache's default.
            CacheOptionError: The ttl is 0, negative or no duration.
            CacheKeyError: The key or a tag is not valid.
            CacheValueError: The value has no JSON form, or would come back as something else.
            CacheUnavailableError: The store did not take it, or did not say so.
        """
        await self._set({key: value}, f"set({key!r})", ttl, ttl_ms, tags, stale)

    async def set_many(
        self,
        values: Mapping[str, T],
        ttl: Ttl | None = None,
        *,
        ttl_ms: float | None = None,
        tags: Iterable[str] = (),
        stale: Duration | None = None,
    ) -> None:
        """Store these values by key, in one round trip; not as one: others may see some of them first. See `set`."""
        await self._set(values, "set_many()", ttl, ttl_ms, tags, stale)

    async def _set(
        self,
        values: Mapping[str, T],
        call: str,
        ttl: Ttl | None,
        ttl_ms: float | None,
        tags: Iterable[str],
        stale: Duration | None,
    ) -> None:
        for key in values:
            check_key(key)
        rules = Rules(
            fresh_for_s=self._lifetimes.seconds(ttl, ttl_ms, call),
            stale_s=window(stale, "stale"),
            tags=check_tags(tags) if tags else (),
        )
        data = {key: self._codec.encode(value, what=call)[0] for key, value in values.items()}
        store, space = self._shared.store, self._space
        versions: dict[str, str | None] = {}
        if rules.tags:
            ttl_s = rules.kept_s(rules.fresh_for_s)
            made = await store.insist(lambda: store.backend.ensure_tags(space, rules.tags, ttl_s=ttl_s))
            versions = versions_of(rules.tags, made)
        items = [self._item(key, one, rules, versions) for key, one in data.items()]
        await store.insist(lambda: store.backend.write(space, items))

    def _item(self, key: str, data: bytes, rules: Rules, versions: Mapping[str, str | None]) -> Item:
        fresh_s = self._lifetimes.jittered(rules.fresh_for_s)
        stored = self._codec.wrap(data, written_at=self._shared.store.time(), fresh_for_s=fresh_s, tags=versions)
        return Item(self._prefix + key, stored, rules.kept_s(fresh_s))

    async def touch(self, key: str, ttl: Ttl | None = None, *, ttl_ms: float | None = None) -> bool:
        """Have a fresh value live until `ttl` from now, and tell whether it does.

        False when there is none, when it was written or deleted meanwhile, or when it is being computed anew.

        Raises:
            CacheUnavailableError: The store did not answer; it may live longer or not.
        """
        check_key(key)
        fresh_s = self._lifetimes.jittered(self._lifetimes.seconds(ttl, ttl_ms, f"touch({key!r})"))
        store, space, full, token = self._shared.store, self._space, self._prefix + key, new_token()
        # Under a lease: what is set or deleted meanwhile ends it, and is not written over.
        if not await store.insist(lambda: store.backend.take_lease(space, full, token, ttl_s=LEASE_S)):
            return False
        read = await store.insist(lambda: store.backend.read(space, (full,)))
        (found,) = await self._judged(read.values)
        if not found.is_fresh or read.values[0] is None:
            await store.insist(lambda: store.backend.end_lease(space, full, token))
            return False
        if found.envelope is not None and found.envelope.tags:
            tags = tuple(found.envelope.tags)
            await store.insist(lambda: store.backend.ensure_tags(space, tags, ttl_s=fresh_s))
        item = Item(full, rewrap(read.values[0], written_at=store.time(), fresh_for_s=fresh_s), fresh_s)
        return await store.insist(lambda: store.backend.write_leased(space, item, token))

    # --- Forgetting -------------------------------------------------------------------------------------------------

    async def delete(self, key: str) -> bool:
        """Forget a value, and tell whether there was one. What is being computed for it meanwhile is not stored.

        Raises:
            CacheUnavailableError: The store did not answer; the value may be there still.
        """
        return await self.delete_many((key,)) == 1

    async def delete_many(self, keys: Iterable[str]) -> int:
        """Forget these values, and return how many there were. See `delete`."""
        wanted = list(dict.fromkeys(keys))
        for key in wanted:
            check_key(key)
        real, full = self._shared.real, [self._prefix + key for key in wanted]
        return await real.insist(lambda: real.backend.delete(self._space, full)) if full else 0

    async def remove(self, key: str) -> bool:
        """The same as `delete`."""
        return await self.delete(key)

    async def del_(self, key: str) -> bool:
        """The same as `delete`."""
        return await self.delete(key)

    async def clear(self, *, prefix: str = "", dry_run: bool = False) -> int:
        """Forget every value of this cache whose key begins with `prefix`, and return how many there were.

        Nothing else in the store is touched: not what other namespaces hold, nor a queue in the same Redis. What is
        written while this runs may stay; what was being computed is not stored.

        Args:
            dry_run: Count only.

        Raises:
            CacheUnavailableError: The store did not answer; some may be there still.
        """
        if dry_run:
            return sum([1 async for _ in self.iter_keys(prefix=prefix)])
        real, begin = self._shared.real, self._prefix + prefix
        return await real.insist(lambda: real.backend.clear(self._space, prefix=begin), more_s=LONG_S)

    async def invalidate_tags(self, *tags: str) -> None:
        """Make every value invalid that has one of these tags, in this cache's namespace, its views included.

        From when this returns, no such value is returned, also none that is being computed now.

        Raises:
            CacheUnavailableError: The store did not answer; they may be valid still.
        """
        checked = check_tags(tags)
        real = self._shared.real
        if checked:
            await real.insist(lambda: real.backend.invalidate_tags(self._space, checked))
