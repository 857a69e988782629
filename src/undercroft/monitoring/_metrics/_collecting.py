"""Functions that are asked before each exposition: for what is cheaper to look up than to count."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from undercroft.monitoring._metrics._names import LabelSet, label_set
from undercroft.monitoring._metrics._values import Collector, Reading
from undercroft.monitoring._metrics._warn import warn

if TYPE_CHECKING:
    from undercroft.monitoring._metrics._registry import Registry


class Collectors:
    """The collecting functions of one registry, in the order in which they were added."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._all: tuple[Collector, ...] = ()
        self._totals: dict[tuple[str, LabelSet], float] = {}
        self._failed: set[int] = set()

    def add(self, collector: Collector) -> Callable[[], None]:
        """Ask `collector` from now on, until the returned function is called."""
        self._all = (*self._all, collector)

        def end() -> None:
            self._all = tuple(kept for kept in self._all if kept is not collector)

        return end

    def run(self) -> None:
        """Ask each, and set what it found. What one raises is warned of the first time, and goes no further."""
        for collector in self._all:
            try:
                self._take(collector() or ())
            except Exception as exc:
                self._tell(collector, exc)
            else:
                self._failed.discard(id(collector))

    def forget(self) -> None:
        """Forget how far the counters had come that someone else counts."""
        self._totals.clear()

    def _take(self, readings: Iterable[Reading]) -> None:
        for reading in readings:
            if reading.type == "gauge":
                self._registry.gauge(reading.name, reading.value, reading.labels)
            else:
                self._advance(reading)

    def _advance(self, reading: Reading) -> None:
        key = (reading.name, label_set(reading.labels))
        before = self._totals.get(key, 0.0)
        # Whoever counts may have begun anew: then all that it counted since is new.
        added = reading.value - before if reading.value >= before else reading.value
        self._registry.increment(reading.name, added, reading.labels)
        self._totals[key] = reading.value

    def _tell(self, collector: Collector, exc: Exception) -> None:
        if id(collector) not in self._failed:
            self._failed.add(id(collector))
            name = getattr(collector, "__qualname__", type(collector).__name__)
            warn("the metrics of %s could not be collected: %s: %s", name, type(exc).__name__, exc)
