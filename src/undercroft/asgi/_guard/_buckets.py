"""Token buckets in this process's memory, for at most so many clients."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final


class Bucket:
    """One bucket: `size` at once, `per_second` afterwards. A refusal takes nothing."""

    __slots__ = ("level", "seen_at", "strikes")

    def __init__(self, size: float, now: float) -> None:
        self.level = size
        self.seen_at = now
        self.strikes = 0
        """Refusals since it was full last."""


class Buckets:
    """A bucket for each client, the least recently seen dropped beyond `limit`: memory is bounded, whoever comes.

    What a dropped client gains is a full bucket. To be dropped it must wait until `limit` others have come, and one
    that floods is always among the most recent.

    Args:
        size: How much at once.
        per_second: How much comes back.
        limit: How many clients are remembered.
    """

    def __init__(self, size: float, per_second: float, *, limit: int) -> None:
        self.size: Final = size
        self._per_second = per_second
        self._limit = limit
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str, now: float) -> float:
        """Take one; return 0, or the seconds until there will be one, in which case nothing was taken."""
        bucket = self._bucket(key, now)
        if bucket.level >= 1:
            bucket.level -= 1
            return 0.0
        bucket.strikes += 1
        return (1 - bucket.level) / self._per_second

    def strikes(self, key: str) -> int:
        """Return how often a client was refused since its bucket was full last."""
        bucket = self._buckets.get(key)
        return 0 if bucket is None else bucket.strikes

    def forget(self, key: str) -> None:
        """Drop a client."""
        self._buckets.pop(key, None)

    def _bucket(self, key: str, now: float) -> Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(self.size, now)
            if len(self._buckets) > self._limit:
                self._buckets.popitem(last=False)
            return bucket
        self._buckets.move_to_end(key)
        bucket.level = min(self.size, bucket.level + max(0.0, now - bucket.seen_at) * self._per_second)
        bucket.seen_at = now
        if bucket.level >= self.size:
            bucket.strikes = 0
        return bucket
