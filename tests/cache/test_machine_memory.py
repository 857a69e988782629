"""Two caches over one memory backend, in every order that Hypothesis finds."""

from __future__ import annotations

from functools import cached_property

from hypothesis import settings

from undercroft.cache.memory import MemoryCache
from undercroft.testing.conformance.cache.machine import CacheMachine


class MemoryMachine(CacheMachine):
    @cached_property
    def store(self) -> MemoryCache:
        return MemoryCache(clock=self.clock)

    def make_backend(self) -> MemoryCache:
        return self.store


TestCacheOnMemory = MemoryMachine.TestCase
TestCacheOnMemory.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
