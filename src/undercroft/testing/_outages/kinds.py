"""The kinds of outages, and that only one happens at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Protocol

from undercroft._core.errors import ConfigError


class Outage(StrEnum):
    """A way in which a store is away. What each kind means for a store is told by the class that makes it."""

    REFUSED = "refused"
    """Nobody is there: connections are refused, and those that were open are gone."""
    CUT = "cut"
    """Every answer is cut in its middle. What was asked may have been done."""
    STALLED = "stalled"
    """Nothing is refused and nothing is answered."""
    READ_ONLY = "read_only"
    """Reading works, and no change is taken."""
    OUT_OF_MEMORY = "out_of_memory"
    """Reading works, and nothing that needs room is taken."""


OUTAGES: tuple[Outage, ...] = tuple(Outage)
"""All kinds, for `pytest.mark.parametrize`."""


class HasKinds(Protocol):
    """What can have outages of some kinds."""

    @property
    def supported(self) -> tuple[Outage, ...]: ...


class One:
    """Lets one outage begin at a time: two would heal each other."""

    def __init__(self) -> None:
        self._current: Outage | None = None

    @contextmanager
    def begin(self, outage: Outage, of: HasKinds) -> Iterator[None]:
        """Hold the place for the block.

        Raises:
            ConfigError: It is not of the kinds that `of` can have, or another one is going on.
        """
        if outage not in of.supported:
            raise ConfigError(
                f"{type(of).__name__} cannot have the outage {outage.value!r}",
                hint=f"it can have: {', '.join(of.supported)}",
            )
        if self._current is not None:
            raise ConfigError(
                f"the outage {outage.value!r} cannot begin within {self._current.value!r}",
                hint="let one end before the next",
            )
        self._current = outage
        try:
            yield
        finally:
            self._current = None
