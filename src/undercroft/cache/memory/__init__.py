"""A cache in this process: `memory://?max_entries=10000`."""

from __future__ import annotations

from undercroft.cache.memory._backend import MemoryCache

__all__ = ["MemoryCache"]
