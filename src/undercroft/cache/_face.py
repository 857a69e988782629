"""The functions of the module's face: they act on the bound cache."""

from __future__ import annotations

from typing import Any

from undercroft.cache._cached import bound_cache
from undercroft.cache._facade import Cache


def get_cache() -> Cache[Any]:
    """Return the cache of the bound `Infra`.

    Raises:
        NotBoundError: No `Infra` is bound here.
    """
    return bound_cache.require()
