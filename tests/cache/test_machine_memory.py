"""Two caches over one memory backend, in every order that Hypothesis finds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cached_property

from hypothesis import settings

from undercroft.cache import Item, Read
from undercroft.cache.memory import MemoryCache
from undercroft.testing.conformance.cache.machine import CacheMachine


class MemoryMachine(CacheMachine):
    @cached_property
    def store(self) -> MemoryCache:
        return MemoryCache(clock=self.clock)

    def make_backend(self) -> MemoryCache:
        return self.store


class FarMemory(MemoryCache):
    """A store to which every call takes its time, each another one, and so does the answer."""

    is_local = False
    get_now = None  # type: ignore[assignment]  # it has none
    _calls = 0

    async def _travel(self) -> None:
        self._calls += 1
        for _ in range(self._calls * 7 % 5):
            await asyncio.sleep(0)

    async def get(self, space: str, key: str) -> bytes | None:
        await self._travel()
        found = await super().get(space, key)
        await self._travel()
        return found

    async def read(self, space: str, keys: Sequence[str], tags: Sequence[str] = ()) -> Read:
        await self._travel()
        found = await super().read(space, keys, tags)
        await self._travel()
        return found

    async def write(self, space: str, items: Sequence[Item]) -> None:
        await self._travel()
        await super().write(space, items)
        await self._travel()

    async def delete(self, space: str, keys: Sequence[str]) -> int:
        await self._travel()
        count = await super().delete(space, keys)
        await self._travel()
        return count

    async def invalidate_tags(self, space: str, tags: Sequence[str]) -> None:
        await self._travel()
        await super().invalidate_tags(space, tags)
        await self._travel()

    async def ensure_tags(self, space: str, tags: Sequence[str], *, ttl_s: float | None) -> tuple[bytes, ...]:
        await self._travel()
        made = await super().ensure_tags(space, tags, ttl_s=ttl_s)
        await self._travel()
        return made

    async def take_lease(self, space: str, key: str, token: str, *, ttl_s: float) -> bool:
        await self._travel()
        is_taken = await super().take_lease(space, key, token, ttl_s=ttl_s)
        await self._travel()
        return is_taken

    async def write_leased(self, space: str, item: Item, token: str) -> bool:
        await self._travel()
        is_written = await super().write_leased(space, item, token)
        await self._travel()
        return is_written

    async def end_lease(self, space: str, key: str, token: str) -> None:
        await self._travel()
        await super().end_lease(space, key, token)


class FarMachine(CacheMachine):
    @cached_property
    def store(self) -> FarMemory:
        return FarMemory(clock=self.clock)

    def make_backend(self) -> FarMemory:
        return self.store

    async def settle(self) -> None:
        for _ in range(120):
            await asyncio.sleep(0)


TestCacheOnMemory = MemoryMachine.TestCase
TestCacheOnMemory.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestCacheOnFarMemory = FarMachine.TestCase
TestCacheOnFarMemory.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
