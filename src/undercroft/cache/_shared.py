"""What a cache and its views have in common: the way to the store, the namespace, and what is being computed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

from undercroft._core.clock import Clock
from undercroft.cache._compute import Computing
from undercroft.cache._protocol import CacheBackend
from undercroft.cache._store import Store
from undercroft.cache.off import OffCache


class Shared:
    """Opened by the first of them that is entered, and closed by the last that is left."""

    def __init__(
        self, backend: CacheBackend, space: str, *, clock: Clock, timeout_s: float, on_error: Callable[[], None]
    ) -> None:
        self.backend = backend
        self.space = space
        self.clock = clock
        self.random = random.Random().random
        self.real = Store(backend, clock, timeout_s=timeout_s, on_error=on_error)
        """For what must happen: deleting."""
        self.store = self.real
        """For reading and writing; another one while the cache is switched off."""
        self._off = Store(OffCache(clock), clock, timeout_s=timeout_s, on_error=on_error)
        self._switched_off = 0
        self._opened = 0
        self.computing = Computing(space, clock, random=self.random, token=new_token)

    async def open(self) -> None:
        """Open the store, if nobody did."""
        if not self._opened:
            await self.backend.__aenter__()
            self.real.open()
            self._off.open()
        self._opened += 1

    async def close(self) -> None:
        """End what is being computed and close the store, if nobody else uses it."""
        self._opened -= 1
        if not self._opened:
            try:
                await self.computing.close()
            finally:
                self.real.close()
                self._off.close()
                await self.backend.__aexit__(None, None, None)

    @contextmanager
    def off(self) -> Iterator[None]:
        """Keep nothing and find nothing for the block."""
        self._switched_off += 1
        self.store = self._off
        try:
            yield
        finally:
            self._switched_off -= 1
            if not self._switched_off:
                self.store = self.real


def new_token() -> str:
    """Return a name for who computes, which nobody else has."""
    return uuid4().hex
