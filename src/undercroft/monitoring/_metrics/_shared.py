"""A registry's part in a directory that processes share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from undercroft.monitoring._errors import MetricsDirectoryError
from undercroft.monitoring._metrics._attachment import Attachment
from undercroft.monitoring._metrics._catalog import Catalog
from undercroft.monitoring._metrics._merge import Merger
from undercroft.monitoring._metrics._metric import Metric
from undercroft.monitoring._metrics._segment import Segment
from undercroft.monitoring._metrics._series import Series
from undercroft.monitoring._metrics._slots import take
from undercroft.monitoring._metrics._warn import warn

if TYPE_CHECKING:
    from undercroft.monitoring._metrics._families import Family


class Shared:
    """What a registry shares, and where. Made at the first attachment; stays for the next ones.

    What this process counted is in every series' `own`, attached or not. `_poured` remembers how much of it a directory
    has already, so that attaching it again counts nothing twice.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._count = 0
        self._directory = Path()
        self._segment: Segment | None = None
        self._merger: Merger | None = None
        self._poured: dict[Path, dict[bytes, list[float]]] = {}

    @property
    def is_attached(self) -> bool:
        """Whether a directory is attached."""
        return self._count > 0

    def attach(self, directory: str | PathLike[str]) -> Attachment:
        """Share by `directory`, or go on sharing by it.

        Raises:
            MetricsDirectoryError: It cannot be used, or another one is attached.
        """
        wanted = Path(os.path.realpath(directory))
        # Held while files are opened: a child that is forked meanwhile would inherit, and keep, their locks.
        with self._catalog.lock:
            if self.is_attached and wanted != self._directory:
                raise MetricsDirectoryError(
                    f"metrics are shared in {self._directory} already, so they cannot be in {wanted}",
                    hint="a process shares its metrics in one directory at a time; detach the other one first",
                )
            if not self.is_attached:
                self._begin(wanted, take(wanted))
            self._count += 1
        return Attachment(self.detach, wanted)

    def detach(self) -> None:
        """End one attachment."""
        with self._catalog.lock:
            if self.is_attached:  # a child that found no segment has ended the sharing already
                self._count -= 1
                if not self._count:
                    self._end()

    def families(self) -> list[Family]:
        """Return what all processes of the directory counted, by name."""
        assert self._merger is not None
        with self._catalog.lock:
            return self._merger.families(self._segment)

    def place(self, metric: Metric, series: Series, *, is_last: bool) -> bool:
        """Give a new series its cells; `False` when there is no room."""
        segment = self._segment or self._late()
        if segment is None:
            return True
        cap = None if is_last else metric.declaration.max_series or self._catalog.max_series
        found = segment.place(metric, series, cap=cap)
        if found is None:
            return False
        at, stored = found
        series.bind(segment.cells, at, stored, self._already(series, stored))
        return True

    def describe(self, metric: Metric) -> None:
        """Tell other processes what a metric declares."""
        if self._segment is not None:
            self._segment.describe(metric)

    def forget(self) -> None:
        """Know that no series has counted anything yet."""
        self._poured.clear()

    def fork(self) -> None:
        """Leave the parent its segment, and take one when the first series is counted here."""
        self._poured.clear()
        if self._segment is not None:
            self._segment.close()
            self._segment = None
        if self.is_attached:
            for _, series in self._catalog.all_series():
                series.cells = _LateCells(self, series)

    def write_late(self, series: Series) -> None:
        """Take a segment in a child, and write what `series` has counted."""
        with self._catalog.lock:
            if self._late() is None:
                series.cells = None

    def _late(self) -> Segment | None:
        if self._segment is not None:
            return self._segment
        try:
            self._begin(self._directory, take(self._directory))
        except MetricsDirectoryError as exc:
            warn("%s; this process (%d) counts for itself alone", exc.message, os.getpid())
            self._count = 0
            self._end()
        return self._segment

    def _begin(self, directory: Path, segment: Segment) -> None:
        self._directory, self._segment = directory, segment
        if self._merger is None or self._merger.directory != directory:
            self._merger = Merger(directory, self._catalog)
        self._catalog.sharing = self
        for metric, series in self._catalog.all_series():
            if not self.place(metric, series, is_last=series is metric.overflow):
                self._shut_out(series)
        self._poured.pop(directory, None)

    def _shut_out(self, series: Series) -> None:
        """Count a series, that was counted before there was a directory and finds no room, for this process alone."""
        series.cells = None

    def _end(self) -> None:
        self._catalog.sharing = None
        poured = self._poured[self._directory] = {}
        for _, series in self._catalog.all_series():
            if series.cells is not None:
                series.cells = None
                poured[series.record] = series.numbers()
        if self._segment is not None:
            self._segment.close()
            self._segment = None
        # A directory that is gone, such as a test's, is never attached again.
        self._poured = {path: numbers for path, numbers in self._poured.items() if path.exists()}

    def _already(self, series: Series, stored: Sequence[float]) -> list[float]:
        numbers = self._poured.get(self._directory, {}).get(series.record)
        return numbers if numbers is not None else [0.0] * len(stored)


class _LateCells:
    """Stands for cells until the first is written, in a child process that may never count."""

    __slots__ = ("_series", "_shared")

    def __init__(self, shared: Shared, series: Series) -> None:
        self._shared = shared
        self._series = series

    def __setitem__(self, at: int, value: float, /) -> None:
        self._shared.write_late(self._series)  # binding a series writes what it has counted, this too
