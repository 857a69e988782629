"""Two tiers: this process's memory in front of a store that others use too.

What is kept in front is what was *read* from the store. A change is never written to the front: whoever changes
something forgets it here, before the store is asked and again after its answer, and the store tells every other process
to do the same. So there are two ways in which the front could be wrong, and both are closed:

- A value that was read before a change could be put in front after the change was told. A read in flight is marked by
  every change that concerns it, and what it brings is then given to its caller and not kept.
- A change could be missed, or come late. While the listener is not sure that it has heard everything until a second
  ago, the front is neither read nor filled; when it is sure again after a gap, the front is emptied first.

So another process's change is seen here as soon as its message comes, usually within a millisecond, and after at most
`SURE_S` of the listener when no messages come at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, Self, cast

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.durations import Duration, to_seconds
from undercroft._core.errors import ConfigError
from undercroft.cache._front import Front
from undercroft.cache._protocol import (
    NOT_NOW,
    CacheBackend,
    Changes,
    Fetched,
    Item,
    KeyPage,
    NotNow,
    Read,
    Statistics,
    TellingBackend,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTier:
    """What may be kept in this process in front of a shared cache, and for how long at most."""

    max_entries: int = 10_000
    ttl: Duration = "30s"
    """No value is used for longer without asking the store. Bounds nothing that is told: changes are heard at once."""
    max_bytes: int = 64 << 20
    """Of values alone, without some 200 bytes for each."""
    ttl_s: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ttl_s", to_seconds(self.ttl, name="ttl of the local tier"))
        if self.max_entries < 1 or self.max_bytes < 1 or self.ttl_s <= 0:
            raise ConfigError(
                f"a local tier of {self.max_entries} entries, {self.max_bytes} bytes and a ttl of {self.ttl!r} holds "
                "nothing",
                hint="leave local= out to have none",
            )


@dataclass(eq=False, slots=True)
class _Reading:
    """A read of the store that is under way."""

    space: str
    keys: frozenset[str]
    tags: frozenset[str]
    is_overtaken: bool = False

    def note(self, space: str | None, keys: Sequence[str], tags: Sequence[str]) -> None:
        """Mark it when a change concerns it."""
        if space is None or (
            space == self.space
            and ((not keys and not tags) or not self.keys.isdisjoint(keys) or not self.tags.isdisjoint(tags))
        ):
            self.is_overtaken = True


class TieredCache:
    """A `CacheBackend`: `back`, with what was read of it lately kept in front. Opens and closes `back` with itself.

    Raises:
        ConfigError: `back` does not tell what changes in it, so that nothing in front of it could be trusted.
    """

    is_local = False

    def __init__(self, back: CacheBackend, local: LocalTier, *, clock: Clock | None = None) -> None:
        changes = back.changes()
        if changes is None:
            raise ConfigError(
                f"a {back.name} cache has no local tier: it does not tell what other processes change",
                hint="leave local= out, or use Redis; a cache in memory or in a file is local already",
            )
        clock = clock or SystemClock()
        self.back = cast("TellingBackend", back)
        self.name = f"{back.name}+local"
        self._local = local
        self._changes: Changes = changes
        self._values = Front(max_entries=local.max_entries, max_bytes=local.max_bytes, clock=clock)
        self._versions = Front(max_entries=local.max_entries, max_bytes=local.max_bytes, clock=clock)
        self._readings: set[_Reading] = set()
        changes.listen(self._note)

    async def __aenter__(self) -> Self:
        await self.back.__aenter__()
        try:
            await self._changes.__aenter__()
        except BaseException:
            await self.back.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        try:
            await self._changes.__aexit__(*exc_info)
        finally:
            self._note(None, (), ())
            await self.back.__aexit__(*exc_info)

    @property
    def is_listening(self) -> bool:
        """Whether the front is in use."""
        return self._changes.is_listening

    async def ping(self) -> None:
        await self.back.ping()

    def time(self) -> float:
        return self.back.time()

    # --- Reading ----------------------------------------------------------------------------------------------------

    def get_now(self, space: str, key: str) -> bytes | Literal[NotNow.NOT_NOW]:
        if not self._changes.is_listening:
            return NOT_NOW
        found = self._values.get(space, key)
        return NOT_NOW if found is None else found

    async def get(self, space: str, key: str) -> bytes | None:
        if not self._changes.is_listening:
            return await self.back.get(space, key)
        found = self._values.get(space, key)
        return (await self._fetch(space, (key,), ())).values[0] if found is None else found

    async def read(self, space: str, keys: Sequence[str], tags: Sequence[str] = ()) -> Read:
        if not self._changes.is_listening:
            return await self.back.read(space, keys, tags)
        values = {key: self._values.get(space, key) for key in keys}
        versions = {tag: self._versions.get(space, tag) for tag in tags}
        missing = tuple(key for key, value in values.items() if value is None)
        unknown = tuple(tag for tag, version in versions.items() if version is None)
        if missing or unknown:
            found = await self._fetch(space, missing, unknown)
            values.update(zip(missing, found.values, strict=True))
            versions.update(zip(unknown, found.versions, strict=True))
        return Read(tuple(values[key] for key in keys), tuple(versions[tag] for tag in tags))

    async def keys(self, space: str, *, prefix: str = "", limit: int = 100, cursor: str | None = None) -> KeyPage:
        return await self.back.keys(space, prefix=prefix, limit=limit, cursor=cursor)

    async def statistics(self, space: str) -> Statistics:
        return await self.back.statistics(space)

    async def _fetch(self, space: str, keys: tuple[str, ...], tags: tuple[str, ...]) -> Fetched:
        """Read the store, and keep in front what no change has overtaken meanwhile."""
        reading = _Reading(space, frozenset(keys), frozenset(tags))
        self._readings.add(reading)
        try:
            found = await self.back.fetch(space, keys, tags)
        finally:
            self._readings.discard(reading)
        if not reading.is_overtaken and self._changes.is_listening:
            for key, value, left_s in zip(keys, found.values, found.left_s, strict=True):
                if value is not None:
                    self._values.keep(space, key, value, ttl_s=self._ttl_s(left_s))
            for tag, version in zip(tags, found.versions, strict=True):
                if version is not None:
                    self._versions.keep(space, tag, version, ttl_s=self._local.ttl_s)
        return found

    def _ttl_s(self, left_s: float | None) -> float:
        return self._local.ttl_s if left_s is None else min(left_s, self._local.ttl_s)

    # --- Changing ---------------------------------------------------------------------------------------------------

    async def write(self, space: str, items: Sequence[Item]) -> None:
        with self._changing(space, keys=tuple(item.key for item in items)):
            await self.back.write(space, items)

    async def delete(self, space: str, keys: Sequence[str]) -> int:
        with self._changing(space, keys=keys):
            return await self.back.delete(space, keys)

    async def clear(self, space: str, *, prefix: str = "") -> int:
        with self._changing(space):
            return await self.back.clear(space, prefix=prefix)

    async def ensure_tags(self, space: str, tags: Sequence[str], *, ttl_s: float | None) -> tuple[bytes, ...]:
        return await self.back.ensure_tags(space, tags, ttl_s=ttl_s)

    async def invalidate_tags(self, space: str, tags: Sequence[str]) -> None:
        with self._changing(space, tags=tags):
            await self.back.invalidate_tags(space, tags)

    @contextmanager
    def _changing(self, space: str, *, keys: Sequence[str] = (), tags: Sequence[str] = ()) -> Iterator[None]:
        self._note(space, keys, tags)
        try:
            yield
        finally:
            # Again, whatever came of it: a read that began meanwhile may bring what was there before.
            self._note(space, keys, tags)

    def _note(self, space: str | None, keys: Sequence[str], tags: Sequence[str]) -> None:
        """Forget what has changed, here or elsewhere, and mark the reads that it has overtaken."""
        for reading in self._readings:
            reading.note(space, keys, tags)
        for front, names in ((self._values, keys), (self._versions, tags)):
            if space is None:
                front.drop_all()
            elif keys or tags:
                front.drop(space, names)
            else:
                front.drop_space(space)

    # --- Leases -----------------------------------------------------------------------------------------------------

    async def take_lease(self, space: str, key: str, token: str, *, ttl_s: float) -> bool:
        return await self.back.take_lease(space, key, token, ttl_s=ttl_s)

    async def renew_lease(self, space: str, key: str, token: str, *, ttl_s: float) -> bool:
        return await self.back.renew_lease(space, key, token, ttl_s=ttl_s)

    async def write_leased(self, space: str, item: Item, token: str) -> bool:
        with self._changing(space, keys=(item.key,)):
            return await self.back.write_leased(space, item, token)

    async def end_lease(self, space: str, key: str, token: str) -> None:
        await self.back.end_lease(space, key, token)

    async def wait_for_lease(self, space: str, key: str, *, timeout_s: float) -> None:
        await self.back.wait_for_lease(space, key, timeout_s=timeout_s)

    # --- Coherence --------------------------------------------------------------------------------------------------

    def changes(self) -> Changes | None:
        """Return `None`: one tier is enough."""
        return None
