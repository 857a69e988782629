"""How long operations take, and which are slow."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Protocol

import msgspec

from undercroft._core.clock import Clock, SystemClock, utc
from undercroft._core.durations import Duration, to_seconds
from undercroft.monitoring._tracking._errors import TrackingError
from undercroft.monitoring._tracking._percentiles import rank
from undercroft.monitoring._tracking._sketch import Sketch

OTHERS = "(others)"
"""The operation that those beyond the cap are counted as."""


class TimedSpan(Protocol):
    """What is read of a finished span."""

    @property
    def name(self) -> str: ...

    @property
    def start_time_ns(self) -> int: ...

    @property
    def end_time_ns(self) -> int: ...

    @property
    def status(self) -> str: ...


class OperationReport(msgspec.Struct, frozen=True, kw_only=True):
    """How long one operation takes, in seconds. Quantiles are within two percent, the others exact. Has a JSON form."""

    operation: str
    count: int
    failed_count: int
    mean_s: float
    min_s: float
    p50_s: float
    p95_s: float
    p99_s: float
    max_s: float


class PerformanceReport(msgspec.Struct, frozen=True, kw_only=True):
    """All operations since the tracker was made or cleared. Has a JSON form."""

    since: datetime
    operations: tuple[OperationReport, ...]
    """Those that took most time altogether first."""


class PerformanceTracker:
    """Measures operations by name. Lives in one process, as long as it; needs no closing. May be used from any thread.

    Bounded: at most `max_operations` names, after which further ones are counted together as `(others)`; for each, a
    few hundred numbers at most. Names must be few: `GET /orders/{id}`, never `GET /orders/7`.

    It is a span processor too: given to the tracer, it measures every span by its name.

    Raises:
        TrackingError: `max_operations` is less than one.
    """

    def __init__(self, *, max_operations: int = 200, clock: Clock | None = None) -> None:
        if max_operations < 1:
            raise TrackingError(f"max_operations {max_operations!r} leaves no room for any operation")
        self._max_operations = max_operations
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._sketches: dict[str, Sketch] = {}
        self._failed: dict[str, int] = {}
        self._since = self._clock.time()

    def record(self, operation: str, duration: Duration, *, has_failed: bool = False) -> None:
        """Count one run of `operation`.

        Raises:
            DurationError: The duration is negative, or none.
        """
        self._record(operation, to_seconds(duration), has_failed=has_failed)

    @contextmanager
    def measure(self, operation: str) -> Iterator[None]:
        """Count the block as one run; one that raises has failed."""
        began = self._clock.monotonic()
        has_failed = True
        try:
            yield
            has_failed = False
        finally:
            self._record(operation, self._clock.monotonic() - began, has_failed=has_failed)

    def report(self) -> PerformanceReport:
        """Return how long each operation takes."""
        with self._lock:
            rows = [_row(name, sketch, self._failed.get(name, 0)) for name, sketch in self._sketches.items()]
            since = self._since
        rows.sort(key=lambda row: (-row.mean_s * row.count, row.operation))
        return PerformanceReport(since=utc(since), operations=tuple(rows))

    def slow_operations(self, threshold: Duration = "1s", *, quantile: float = 0.95) -> list[OperationReport]:
        """Return the operations whose quantile is at or above `threshold`, the slowest first.

        Raises:
            DurationError: The threshold is none.
            TrackingError: The quantile is not between 0 and 1.
        """
        least = to_seconds(threshold, name="threshold")
        rank(quantile, 1)  # refuses it, also when there is nothing to look at
        with self._lock:
            slow = [
                (sketch.quantile(quantile), _row(name, sketch, self._failed.get(name, 0)))
                for name, sketch in self._sketches.items()
            ]
        slow.sort(key=lambda found: (-found[0], found[1].operation))
        return [row for seconds, row in slow if seconds >= least]

    def clear(self) -> None:
        """Forget everything, and measure from now."""
        with self._lock:
            self._sketches.clear()
            self._failed.clear()
            self._since = self._clock.time()

    def on_end(self, span: TimedSpan) -> None:
        """Count a finished span as one run of the operation it is named after."""
        seconds = max(0, span.end_time_ns - span.start_time_ns) / 1e9
        self._record(span.name, seconds, has_failed=span.status == "error")

    async def flush(self) -> None:
        """Do nothing: nothing is delivered anywhere."""

    async def aclose(self) -> None:
        """Do nothing: nothing is held open."""

    def _record(self, operation: str, seconds: float, *, has_failed: bool) -> None:
        with self._lock:
            if operation not in self._sketches and len(self._sketches) >= self._max_operations:
                operation = OTHERS
            self._sketches.setdefault(operation, Sketch()).add(seconds)
            if has_failed:
                self._failed[operation] = self._failed.get(operation, 0) + 1


def _row(operation: str, sketch: Sketch, failed_count: int) -> OperationReport:
    return OperationReport(
        operation=operation,
        count=sketch.count,
        failed_count=failed_count,
        mean_s=sketch.total / sketch.count,
        min_s=0.0 if math.isinf(sketch.smallest) else sketch.smallest,
        p50_s=sketch.quantile(0.5),
        p95_s=sketch.quantile(0.95),
        p99_s=sketch.quantile(0.99),
        max_s=sketch.largest,
    )
