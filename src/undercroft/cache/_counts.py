"""What a cache counts of its own work; the metrics are the process's, and listed in docs/metrics.md."""

from __future__ import annotations

from typing import Literal

import msgspec

from undercroft.monitoring import Counter, CounterSeries, Histogram

MissReason = Literal["absent", "expired", "invalidated", "damaged", "version", "type", "unavailable"]
"""`absent`: not there; `expired`: there, and not fresh; `invalidated`: one of its tags was; `damaged`, `version`,
`type`: stored by somebody or something else; `unavailable`: the store did not answer."""
Computed = Literal["stored", "not_stored", "superseded", "uncoordinated", "failed"]
"""`not_stored`: not wanted, or the store was away; `superseded`: deleted or set meanwhile; `uncoordinated`: another
process was at it for too long; `failed`: the function raised."""

_SECONDS = (0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class CacheStats(msgspec.Struct, frozen=True, kw_only=True):
    """What one cache did in this process, since it was made."""

    hits: int
    """Reads that were answered from the store, stale answers included."""
    misses: dict[str, int]
    """Reads that were not, by reason: absent, expired, invalidated, damaged, version, type, unavailable."""
    computed: dict[str, int]
    """Computations by what came of them: stored, not_stored, superseded, uncoordinated, failed."""
    coalesced: int
    """Calls that waited for somebody else's computation: stampedes avoided."""
    stale_served: dict[str, int]
    """Stale answers by reason: refreshing, error."""
    store_errors: int
    """Calls of the store that failed or were late."""
    entries: int | None
    """In the store, in this cache's namespace, its views included; `None` when the store did not answer."""
    size_bytes: int | None
    """Of their data; `None` where the store cannot tell."""

    @property
    def hit_rate(self) -> float | None:
        """Hits of all reads, 0 to 1; `None` before the first."""
        reads = self.hits + sum(self.misses.values())
        return self.hits / reads if reads else None


class Tally:
    """One number, of this cache and of the process."""

    __slots__ = ("_increment", "value")

    def __init__(self, series: CounterSeries) -> None:
        self._increment = series.increment
        self.value = 0

    def add(self, count: int = 1) -> None:
        """Count."""
        self.value += count
        self._increment(count)


class _ByWord(dict[str, Tally]):
    """The tallies of a metric with one more label, made when they are first counted."""

    def __init__(self, counter: Counter, name: str) -> None:
        super().__init__()
        self._counter, self._name = counter, name

    def __missing__(self, word: str) -> Tally:
        tally = self[word] = Tally(self._counter.labels(self._name, word))
        return tally

    def numbers(self) -> dict[str, int]:
        return {word: tally.value for word, tally in sorted(self.items()) if tally.value}


class Counts:
    """Counts for one cache, or one view of it; `name` is its label."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.hits = Tally(
            Counter("undercroft_cache_hits_total", help="Reads that a cache answered.", labels=("cache",)).labels(name)
        )
        self.misses = _ByWord(
            Counter(
                "undercroft_cache_misses_total",
                help="Reads that a cache did not answer, by reason.",
                labels=("cache", "reason"),
            ),
            name,
        )
        self.computed = _ByWord(
            Counter(
                "undercroft_cache_computed_total",
                help="Values that were computed, by what came of it.",
                labels=("cache", "outcome"),
            ),
            name,
        )
        self.coalesced = Tally(
            Counter(
                "undercroft_cache_coalesced_total",
                help="Calls that waited for somebody else's computation.",
                labels=("cache",),
            ).labels(name)
        )
        self.stale = _ByWord(
            Counter(
                "undercroft_cache_stale_served_total",
                help="Stale values that were served, by reason.",
                labels=("cache", "reason"),
            ),
            name,
        )
        self.store_errors = Tally(
            Counter(
                "undercroft_cache_store_errors_total",
                help="Calls of a cache's store that failed or were late.",
                labels=("cache",),
            ).labels(name)
        )
        self.compute_seconds = Histogram(
            "undercroft_cache_compute_seconds",
            help="Seconds that computing values took.",
            unit="seconds",
            labels=("cache",),
            buckets=_SECONDS,
        ).labels(name)

    def miss(self, reason: MissReason) -> None:
        """Count a read that was not answered."""
        self.misses[reason].add()

    def computation(self, outcome: Computed, seconds: float) -> None:
        """Count a computation that ended."""
        self.computed[outcome].add()
        self.compute_seconds.observe(seconds if seconds > 0.0 else 0.0)
