"""From the summed up series of several processes to families, also where the processes disagree about them."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from undercroft.monitoring._metrics._catalog import Catalog
from undercroft.monitoring._metrics._exemplars import Exemplar
from undercroft.monitoring._metrics._families import Family, Row, family_of, with_worker
from undercroft.monitoring._metrics._metric import Across, Metric
from undercroft.monitoring._metrics._names import MetricType, names_of
from undercroft.monitoring._metrics._records import FamilyRecord, SeriesRecord
from undercroft.monitoring._metrics._series import HistogramSeries


class GaugeReading(NamedTuple):
    """What one living process says of a gauge."""

    set_at: float
    value: float
    slot: int


class Merged(NamedTuple):
    """One series of all processes."""

    record: SeriesRecord
    numbers: list[float]
    """A counter's total; of a histogram the sum, then each bucket's own count."""
    gauges: list[GaugeReading]


class _Group:
    """The series of one family."""

    def __init__(self, first: SeriesRecord, metric: Metric | None) -> None:
        self.kind: MetricType = first.kind
        self.name = first.family
        self.metric = metric
        # This process's own declaration wins, else the first one, in the order of the segments.
        self._bounds = metric.bounds if metric else first.bounds
        self._across: Across = metric.declaration.across if metric else first.across
        self._rows: dict[str, Row] = {}
        self._gauges: dict[str, list[GaugeReading]] = {}

    def add(self, merged: Merged) -> None:
        """Take one more series."""
        record = merged.record
        if record.kind == "gauge":
            self._gauges.setdefault(record.text, []).extend(merged.gauges)
            return
        numbers = merged.numbers if record.bounds == self._bounds else rebinned(merged, self._bounds)
        row = self._rows.get(record.text)
        if row is None:
            self._rows[record.text] = Row(record.text, numbers, self._exemplars(record))
        else:
            row.numbers = [old + new for old, new in zip(row.numbers, numbers, strict=True)]

    def family(self, described: FamilyRecord | None) -> Family:
        """Return the family, as this process declares it, or else as another one did."""
        rows = list(self._rows.values())
        for labels, readings in self._gauges.items():
            rows.extend(_gauge_rows(labels, readings, self._across))
        if self.metric is not None and (self.metric.is_declared or described is None):
            return family_of(self.metric, rows)
        if described is not None and described.kind == self.kind:
            return Family(self.kind, self.name, described.help, described.unit, self._bounds, rows)
        return Family(self.kind, self.name, f"The {self.kind} {self.name}.", "", self._bounds, rows)

    def _exemplars(self, record: SeriesRecord) -> Mapping[int, Exemplar]:
        series = self.metric.series.get(record.labels) if self.metric else None
        return dict(series.exemplars.kept) if isinstance(series, HistogramSeries) else {}


def assemble(
    series: Iterable[Merged], described: Mapping[str, FamilyRecord], catalog: Catalog, tell: Callable[[str], None]
) -> list[Family]:
    """Return families by name. Of two that clash, this process's own stays, else the first one."""
    groups: dict[str, _Group] = {}
    refused: set[tuple[str, str]] = set()
    taken: dict[str, str] = {}
    for merged in series:
        record = merged.record
        group = groups.get(record.family)
        if group is not None and group.kind == record.kind:
            group.add(merged)
        elif (record.kind, record.family) not in refused:
            if _is_free(record, taken, catalog):
                group = groups[record.family] = _Group(record, catalog.metrics.get(record.family))
                group.add(merged)
            else:
                refused.add((record.kind, record.family))
    for kind, name in sorted(refused):
        tell(f"the {kind} {name!r} of another process is left out: here the name belongs to another metric")
    families = [group.family(described.get(name)) for name, group in sorted(groups.items())]
    return [family for family in families if family.rows]


def _is_free(record: SeriesRecord, taken: dict[str, str], catalog: Catalog) -> bool:
    """Take the names of a family, if no other one has any of them."""
    names = names_of(record.kind, record.family)
    own = catalog.metrics.get(record.family)
    is_own = own is not None and own.kind == record.kind
    if any(name in taken for name in names) or (not is_own and any(map(catalog.is_taken, names))):
        return False
    taken.update(dict.fromkeys(names, record.family))
    return True


def _gauge_rows(labels: str, readings: list[GaugeReading], across: Across) -> list[Row]:
    if across == "each":
        return [Row(with_worker(labels, reading.slot), [reading.value]) for reading in sorted(readings, key=_slot)]
    if not readings:
        return []
    return [Row(labels, [_one(readings, across)])]


def _one(readings: list[GaugeReading], across: Across) -> float:
    values = [reading.value for reading in readings]
    if across == "last":
        return max(readings).value
    if across == "sum":
        return sum(values)
    numbers = [value for value in values if not math.isnan(value)] or values
    return max(numbers) if across == "max" else min(numbers)


def _slot(reading: GaugeReading) -> int:
    return reading.slot


def rebinned(merged: Merged, bounds: tuple[float, ...]) -> list[float]:
    """Return a histogram's numbers in other buckets.

    The count of a bucket goes into the one that holds its upper bound: count and sum stay exact, and nothing ever goes
    down; only where the new bounds are finer, values seem larger than they were.
    """
    total, *counts = merged.numbers
    moved = [0.0] * (len(bounds) + 1)
    for bound, count in zip((*merged.record.bounds, math.inf), counts, strict=True):
        moved[bisect_left(bounds, bound)] += count
    return [total, *moved]
