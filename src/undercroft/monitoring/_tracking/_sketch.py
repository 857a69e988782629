"""Durations in buckets: any number of them in a little memory, and quantiles of them within two percent."""

from __future__ import annotations

import math

from undercroft.monitoring._tracking._percentiles import rank

ACCURACY = 0.02
"""A quantile is at most this share off."""
_GROWTH = (1 + ACCURACY) / (1 - ACCURACY)
_LOG_GROWTH = math.log(_GROWTH)
_LEAST_S = 1e-6
_MOST_S = 86_400.0


class Sketch:
    """Counts of durations by size: bucket i ends at growth^i, so that its middle is near to all in it.

    The buckets of DDSketch (https://doi.org/10.14778/3352063.3352135), with ends: below a microsecond and above a day
    there is one bucket each, so there are about 630 at most. Not safe for threads.
    """

    __slots__ = ("_buckets", "count", "largest", "smallest", "total")

    def __init__(self) -> None:
        self._buckets: dict[int, int] = {}
        self.count = 0
        self.total = 0.0
        self.smallest = math.inf
        self.largest = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration, of at least 0."""
        index = math.ceil(math.log(min(max(seconds, _LEAST_S), _MOST_S)) / _LOG_GROWTH)
        self._buckets[index] = self._buckets.get(index, 0) + 1
        self.count += 1
        self.total += seconds
        self.smallest = min(self.smallest, seconds)
        self.largest = max(self.largest, seconds)

    def quantile(self, quantile: float) -> float:
        """Return the nearest rank's duration within two percent, from a microsecond to a day; 0 when there are none."""
        if not self.count:
            return 0.0
        wanted = rank(quantile, self.count)
        if wanted in (1, self.count):
            return self.smallest if wanted == 1 else self.largest
        seen = 0
        for index in sorted(self._buckets):
            seen += self._buckets[index]
            if seen >= wanted:
                middle = 2 * _GROWTH**index / (_GROWTH + 1)
                return min(max(middle, self.smallest), self.largest)
        return self.largest
