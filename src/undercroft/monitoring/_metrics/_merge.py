"""The numbers of all processes of a directory, added up.

A scrape reads every segment, but parses only the keys that it has not seen: what remains is one addition for each cell.
"""

from __future__ import annotations

import os
from array import array
from itertools import chain
from pathlib import Path

from undercroft.monitoring._metrics._assemble import GaugeReading, Merged, assemble
from undercroft.monitoring._metrics._catalog import Catalog
from undercroft.monitoring._metrics._families import Family
from undercroft.monitoring._metrics._records import FamilyRecord, SeriesRecord
from undercroft.monitoring._metrics._segment import (
    CELLS_AT,
    HEADER,
    KEYS_AT,
    Segment,
    SegmentError,
    check_header,
    is_blank,
    read_line,
    split,
)
from undercroft.monitoring._metrics._slots import is_held, paths, reading, slot_number
from undercroft.monitoring._metrics._warn import warn

_NOBODY = 0
"""Where in the totals the cells of gauges are added, and nothing is read."""
_NO_SERIES = 0
"""What lines mean that have no cells."""


class _File:
    """What is known of one segment."""

    __slots__ = ("gauges", "identity", "read", "series", "targets")

    def __init__(self, identity: int) -> None:
        self.identity = identity
        self.read = 0  # bytes of lines that are known
        self.targets: list[int] = []  # for each cell, where in the totals it is added
        self.gauges: list[tuple[int, int]] = []  # where each gauge's cells begin, and which series it is
        self.series: dict[int, None] = {}


class _Sums:
    """What one scrape has added up so far."""

    __slots__ = ("gauges", "present", "totals")

    def __init__(self) -> None:
        self.totals = [0.0]
        self.gauges: dict[int, list[GaugeReading]] = {}
        self.present: dict[int, None] = {}


class Merger:
    """Reads a directory, again and again, and remembers what it parsed. For one thread at a time."""

    def __init__(self, directory: Path, catalog: Catalog) -> None:
        self.directory = directory
        self._catalog = catalog
        self._files: dict[Path, _File] = {}
        self._known: dict[bytes, int] = {}  # lines, and which series each means
        self._records: dict[int, SeriesRecord] = {}
        self._targets: list[tuple[int, ...]] = [()]  # where in the totals each series' cells are added
        self._gauges: set[int] = set()
        self._size = 1
        self._described: dict[str, FamilyRecord] = {}
        self._told: set[str] = set()

    def families(self, own: Segment | None) -> list[Family]:
        """Return everything that is in the directory, by name.

        A segment that cannot be read is left out, and warned of once.

        Args:
            own: The segment of this process, which is read even if the directory is gone.
        """
        sums = _Sums()
        try:
            with reading(self.directory):
                for path in paths(self.directory):
                    if own is None or path != own.path:
                        self._add_other(path, sums)
        except OSError as exc:
            self._tell(f"the metrics of other processes cannot be read in {self.directory}: {exc.strerror}")
        if own is not None:
            self._add(own.path, own.descriptor, sums, is_alive=True)
        return assemble(
            (self._merged(which, sums) for which in sums.present), self._described, self._catalog, self._tell
        )

    def _merged(self, which: int, sums: _Sums) -> Merged:
        targets = self._targets[which]
        return Merged(self._records[which], sums.totals[targets[0] : targets[-1] + 1], sums.gauges.get(which, []))

    def _add_other(self, path: Path, sums: _Sums) -> None:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # set aside a moment ago
            return
        try:
            self._add(path, descriptor, sums, is_alive=is_held(descriptor))
        finally:
            os.close(descriptor)

    def _add(self, path: Path, descriptor: int, sums: _Sums, *, is_alive: bool) -> None:
        try:
            known = self._read_keys(path, descriptor)
        except SegmentError as exc:
            self._tell(f"the metrics' file {path.name} is left out: {exc}")
            return
        cells = array("d")
        content = os.pread(descriptor, 8 * len(known.targets), CELLS_AT)
        cells.frombytes(content.ljust(8 * len(known.targets), b"\0"))
        totals = sums.totals
        totals.extend([0.0] * (self._size - len(totals)))
        for target, value in zip(known.targets, cells, strict=True):
            totals[target] += value
        sums.present.update(known.series)
        if is_alive:
            self._add_gauges(known, cells, slot_number(path), sums)

    def _add_gauges(self, known: _File, cells: array[float], slot: int, sums: _Sums) -> None:
        for at, which in known.gauges:
            if cells[at + 1]:
                sums.gauges.setdefault(which, []).append(GaugeReading(cells[at + 1], cells[at], slot))

    def _read_keys(self, path: Path, descriptor: int) -> _File:
        if is_blank(descriptor):  # a process is about to make it
            return _File(0)
        identity, used = check_header(os.pread(descriptor, HEADER.size, 0))
        known = self._files.get(path)
        if known is None or known.identity != identity:
            known = self._files[path] = _File(identity)
        if used > known.read:
            keys = os.pread(descriptor, used - known.read, KEYS_AT + known.read)
            try:
                self._add_series(known, split(keys))
            except SegmentError as exc:
                if not known.read:
                    raise
                self._tell(f"new series in the metrics' file {path.name} are left out: {exc}")
            else:
                known.read = used
        return known

    def _add_series(self, known: _File, lines: list[bytes]) -> None:
        # For 64 processes of 2 000 series this is a loop of 128 000 turns: so it is written as a few that run in C.
        found = [*map(self._known.get, lines)]
        series = [self._learn(line) if which is None else which for line, which in zip(lines, found, strict=True)]
        if not self._gauges.isdisjoint(series):
            self._add_gauge_cells(known, series)
        known.targets.extend(chain.from_iterable(map(self._targets.__getitem__, series)))
        known.series.update(dict.fromkeys(series))
        known.series.pop(_NO_SERIES, None)

    def _add_gauge_cells(self, known: _File, series: list[int]) -> None:
        at = len(known.targets)
        for which in series:
            if which in self._gauges:
                known.gauges.append((at, which))
            at += len(self._targets[which])

    def _learn(self, line: bytes) -> int:
        if line in self._known:  # it was there twice
            return self._known[line]
        record = read_line(line)
        if isinstance(record, FamilyRecord):
            self._described[record.family] = record
        if not isinstance(record, SeriesRecord):
            return self._known.setdefault(line, _NO_SERIES)
        which = self._known[line] = len(self._targets)
        self._records[which] = record
        if record.kind == "gauge":
            self._gauges.add(which)
            self._targets.append((_NOBODY,) * record.width)
        else:
            self._targets.append(tuple(range(self._size, self._size + record.width)))
            self._size += record.width
        return which

    def _tell(self, what: str) -> None:
        if what not in self._told:
            self._told.add(what)
            warn("%s", what)
