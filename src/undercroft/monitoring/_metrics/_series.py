"""One metric with one set of label values: the numbers themselves.

`own` is what this process counted; `get_counter` and its like read it. While a directory is attached, `cells` are the
doubles of the process's segment, and each change is written there as `base + own`: `base` is what earlier holders of
the segment counted. The order of the statements matters to threads: see `_threads`.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol

from undercroft.monitoring._metrics._names import LabelSet, MetricType, labels_text
from undercroft.monitoring._metrics._numbers import MOST, PLAIN, continued, counter_value, finite, number
from undercroft.monitoring._metrics._threads import exact
from undercroft.monitoring._metrics._timer import Timer

if TYPE_CHECKING:
    from undercroft.monitoring._metrics._exemplars import Exemplars


class Cells(Protocol):
    """Where a segment's doubles are written."""

    def __setitem__(self, at: int, value: float, /) -> None: ...


class Series:
    """What the three kinds have in common."""

    __slots__ = ("at", "cells", "is_hidden", "labels", "metric", "record", "text")
    kind: ClassVar[MetricType]

    def __init__(self, metric: str, labels: LabelSet) -> None:
        self.metric = metric
        self.labels = labels
        self.text = labels_text(labels)
        self.record = b""
        """Its key in a segment; empty before it was in one."""
        self.cells: Cells | None = None
        self.at = 0
        self.is_hidden = False
        """Not shown until it is used (again)."""

    def numbers(self) -> list[float]:
        """Return what this process counted, in the order of the cells."""
        raise NotImplementedError

    def bind(self, cells: Cells, at: int, stored: Sequence[float], poured: Sequence[float]) -> None:
        """Write to `cells` from now on.

        Args:
            stored: What is in the cells.
            poured: What of this process's own numbers is in them already, from an earlier time.
        """
        raise NotImplementedError

    def restart(self, *, is_shared: bool) -> None:
        """Count from zero, in a child of the process that counted so far."""
        raise NotImplementedError

    def clear(self) -> None:
        """Forget what was counted; what is in the cells stays there."""
        raise NotImplementedError


class CounterSeries(Series):
    """A number that only grows. Lives as long as its registry; keep it where a label set is counted often."""

    __slots__ = ("base", "own")
    kind = "counter"

    def __init__(self, metric: str, labels: LabelSet) -> None:
        super().__init__(metric, labels)
        self.own = 0.0
        self.base = 0.0

    @property
    def value(self) -> float:
        """What this process counted."""
        return self.own

    @exact
    def increment(self, value: float = 1) -> None:
        """Add `value`.

        Raises:
            MetricValueError: It is negative, not finite, or no number.
        """
        if value.__class__ not in PLAIN or not 0 <= value <= MOST:
            value = counter_value(self.metric, value)
        self.own += value
        cells = self.cells
        if cells is not None:
            cells[self.at] = self.base + self.own

    def numbers(self) -> list[float]:
        return [self.own]

    def bind(self, cells: Cells, at: int, stored: Sequence[float], poured: Sequence[float]) -> None:
        self.base = continued(stored[0], poured[0])
        self.at = at
        self.cells = cells
        cells[at] = self.base + self.own

    def restart(self, *, is_shared: bool) -> None:  # noqa: ARG002 - a gauge's matter
        self.own = self.base = 0.0

    def clear(self) -> None:
        self.base, self.own, self.is_hidden = self.base + self.own, 0.0, True


class GaugeSeries(Series):
    """A number that goes up and down. Lives as long as its registry."""

    __slots__ = ("own",)
    kind = "gauge"

    def __init__(self, metric: str, labels: LabelSet) -> None:
        super().__init__(metric, labels)
        self.own = 0.0
        self.is_hidden = True

    @property
    def value(self) -> float:
        """What this process set."""
        return self.own

    @exact
    def set(self, value: float) -> None:
        """Be `value`, which may be infinite or NaN.

        Raises:
            MetricValueError: It is no number.
        """
        self.own = float(value) if value.__class__ in PLAIN and -MOST <= value <= MOST else number(self.metric, value)
        self.is_hidden = False
        cells = self.cells
        if cells is not None:
            cells[self.at] = self.own
            cells[self.at + 1] = time.time()

    @exact
    def increment(self, value: float = 1) -> None:
        """Add `value`, which may be negative.

        Raises:
            MetricValueError: It is no number.
        """
        if value.__class__ not in PLAIN or not -MOST <= value <= MOST:
            value = number(self.metric, value)
        self.own += value
        self.is_hidden = False
        cells = self.cells
        if cells is not None:
            cells[self.at] = self.own
            cells[self.at + 1] = time.time()

    def decrement(self, value: float = 1) -> None:
        """Subtract `value`."""
        self.increment(-value)

    def numbers(self) -> list[float]:
        return [self.own]

    def bind(self, cells: Cells, at: int, stored: Sequence[float], poured: Sequence[float]) -> None:  # noqa: ARG002 - nothing is added up
        self.at = at
        self.cells = cells
        if not self.is_hidden:
            cells[at] = self.own
            cells[at + 1] = time.time()

    def restart(self, *, is_shared: bool) -> None:
        # What a parent shows itself is not shown twice; what one that is not attached set, only its children show.
        self.is_hidden = self.is_hidden or is_shared
        if is_shared:
            self.own = 0.0

    def clear(self) -> None:
        self.own, self.is_hidden = 0.0, True
        if self.cells is not None:
            self.cells[self.at + 1] = 0.0


class HistogramSeries(Series):
    """How many values fell into each bucket, and their sum. Lives as long as its registry."""

    __slots__ = ("base", "bounds", "exemplars", "own")
    kind = "histogram"

    def __init__(self, metric: str, labels: LabelSet, bounds: tuple[float, ...], exemplars: Exemplars) -> None:
        super().__init__(metric, labels)
        self.bounds = bounds
        self.exemplars = exemplars
        self.own = [0.0] * (len(bounds) + 2)
        """The sum, then each bucket's own count, the last one's for what is above all bounds."""
        self.base = [0.0] * (len(bounds) + 2)

    @exact
    def observe(self, value: float) -> None:
        """Count `value` in its bucket: that of the smallest bound that is not below it.

        Raises:
            MetricValueError: It is not finite, or no number.
        """
        if value.__class__ not in PLAIN or not -MOST <= value <= MOST:
            value = finite(self.metric, value)
        bucket = bisect_left(self.bounds, value) + 1
        own = self.own
        own[0] += value
        own[bucket] += 1.0
        cells = self.cells
        if cells is not None:
            cells[self.at] = self.base[0] + own[0]
            cells[self.at + bucket] = self.base[bucket] + own[bucket]
        exemplars = self.exemplars
        if exemplars.monotonic() >= exemplars.due[bucket]:
            exemplars.offer(bucket, value)

    def time(self) -> Timer:
        """Return what observes seconds: around a block, or around a function."""
        return Timer(self.observe, self.exemplars.monotonic)

    def numbers(self) -> list[float]:
        return list(self.own)

    def bind(self, cells: Cells, at: int, stored: Sequence[float], poured: Sequence[float]) -> None:
        self.at = at
        self.base = [continued(before, already) for before, already in zip(stored, poured, strict=True)]
        self.cells = cells
        for index in range(len(self.own)):
            cells[at + index] = self.base[index] + self.own[index]

    def restart(self, *, is_shared: bool) -> None:  # noqa: ARG002 - a gauge's matter
        self.own = [0.0] * len(self.own)
        self.base = [0.0] * len(self.base)

    def clear(self) -> None:
        own, self.own = self.own, [0.0] * len(self.own)
        self.base = [before + counted for before, counted in zip(self.base, own, strict=True)]
        self.exemplars.clear()
        self.is_hidden = True
