"""One process's numbers in a file, written as they are counted and read by every process of the directory.

Layout, in the byte order of the machine; the file is sparse, so it takes what is used of it:

| from        | what |
|---|---|
| 0           | magic `UCMETRIC`, u32 version (1), u32 zero, u64 random id, u64 bytes of keys used, u64 process id |
| 4 096       | 524 288 doubles, the cells |
| 4 198 400   | 8 MiB of lines, see `_records`: each series has the next cells, in the order of the lines |

A line is written first, then the count of used bytes, which publishes it; nothing published ever changes. A cell is
written by one aligned store of 8 bytes. So a process may be killed at any instant, and what it counted is there: the
pages belong to the kernel. (They are not synced to the disk: after a loss of power the file may be older, or no longer
make sense, and is set aside then.)

Space is allocated before it is mapped to, for a write to a hole on a full disk would kill the process.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections import Counter
from pathlib import Path

from undercroft.monitoring._metrics._metric import Metric
from undercroft.monitoring._metrics._records import FamilyRecord, SeriesRecord, family_record, parse, series_record
from undercroft.monitoring._metrics._series import Series
from undercroft.monitoring._metrics._warn import warn

MAGIC = b"UCMETRIC"
VERSION = 1
HEADER = struct.Struct("=8sIIQQQ")
CELLS_AT = 4096
CELL_COUNT = 524_288
KEYS_AT = CELLS_AT + 8 * CELL_COUNT
KEY_BYTES = 8 * 1024 * 1024
SIZE = KEYS_AT + KEY_BYTES

_USED, _PROCESS = 3, 4  # places of these in the header, as u64
_CHUNK = 16 * 1024
# Room that is kept for the series that take what finds no room: in the file, and on a disk that is full.
_LAST_CELLS, _LAST_KEYS = 16_384, 256 * 1024
_SPARE = 8 * 1024


class SegmentError(ValueError):
    """A file is no segment that this version can go on with; the text says why."""


class Segment:
    """The numbers of this process. Made with the file's lock held, by `descriptor`, which is closed with it."""

    def __init__(self, descriptor: int, path: Path, number: int) -> None:
        self.path = path
        self.number = number
        self.descriptor = descriptor
        self._is_full_told = False
        self._allocated = {CELLS_AT: 0, KEYS_AT: 0}
        if is_blank(descriptor):
            _format(descriptor)
        check_header(os.pread(descriptor, HEADER.size, 0))
        self._map = _mapped(path)
        view = memoryview(self._map)
        self._header = view[: HEADER.size].cast("Q")
        self._keys = view[KEYS_AT:]
        self.cells = view[CELLS_AT:KEYS_AT].cast("d")
        self._places: dict[bytes, tuple[int, int]] = {}
        self._counts: Counter[str] = Counter()
        self._next = 0
        self._continue()

    @property
    def used(self) -> int:
        """How many bytes of lines are published."""
        return self._header[_USED]

    def place(self, metric: Metric, series: Series, *, cap: int | None) -> tuple[int, list[float]] | None:
        """Return where a series' cells are, and what is in them; `None` when there is no room.

        Args:
            cap: The most series of this metric in the file, those of earlier holders too; `None`: as many as fit.
        """
        self.describe(metric)
        series.record = series.record or series_record(metric, series)
        found = self._places.get(series.record)
        if found is None:
            if cap is not None and self._counts[metric.family] >= cap:
                return None
            width = 2 if metric.kind == "gauge" else len(series.numbers())
            if not self._append(series.record, width, is_last=cap is None):
                return None
            self._counts[metric.family] += 1
            found = self._places[series.record]
        at, width = found
        return at, list(self.cells[at : at + width])

    def describe(self, metric: Metric) -> None:
        """Write what a metric declares, for processes that do not have its declaration."""
        if metric.is_declared:
            record = family_record(metric)
            if record not in self._places:
                self._append(record, 0, is_last=False)

    def close(self) -> None:
        """Give the file to whoever takes it next. The mapping ends when the last series lets go of it."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _append(self, record: bytes, width: int, *, is_last: bool) -> bool:
        used, end = self.used, self._next + width
        line = record + b"\n"
        kept_keys, kept_cells = (0, 0) if is_last else (_LAST_KEYS, _LAST_CELLS)
        if used + len(line) > KEY_BYTES - kept_keys or end > CELL_COUNT - kept_cells:
            return self._tell_full("it is full")
        try:
            spare = 0 if is_last else _SPARE
            self._allocate(CELLS_AT, 8 * end + spare)
            self._allocate(KEYS_AT, used + len(line) + spare)
        except OSError as exc:
            return self._tell_full(f"{exc.strerror}")
        self._keys[used : used + len(line)] = line
        self._places[record] = (self._next, width)
        self._next = end
        self._header[_USED] = used + len(line)
        return True

    def _allocate(self, area: int, needed: int) -> None:
        allocated = self._allocated[area]
        if needed > allocated:
            size = -(-needed // _CHUNK) * _CHUNK
            allocate(self.descriptor, area + allocated, size - allocated)
            self._allocated[area] = size

    def _tell_full(self, why: str) -> bool:
        if not self._is_full_told:
            self._is_full_told = True
            warn("the metrics' file %s takes no more series (%s): new ones are counted as one", self.path.name, why)
        return False

    def _continue(self) -> None:
        """Go on from where the last holder stopped: its counts stay, its gauges do not."""
        used = self.used
        if used > KEY_BYTES:
            raise SegmentError("it says that it has more keys than it can have")
        for line in split(bytes(self._keys[:used])):
            record = read_line(line)
            width = record.width if isinstance(record, SeriesRecord) else 0
            if self._next + width > CELL_COUNT:
                raise SegmentError("it has more series than cells")
            self._places[line] = (self._next, width)
            if isinstance(record, SeriesRecord):
                self._take_over(record)
            self._next += width
        self._allocate(CELLS_AT, 8 * self._next + _SPARE)
        self._allocate(KEYS_AT, used + _SPARE)
        self._header[_PROCESS] = os.getpid()

    def _take_over(self, record: SeriesRecord) -> None:
        self._counts[record.family] += 1
        cells = self.cells[self._next : self._next + record.width]
        if record.kind == "gauge":
            cells[1] = 0.0
            return
        counts = cells[1:] if record.kind == "histogram" else cells
        if not all(0 <= count < float("inf") for count in counts) or cells[0] != cells[0]:
            raise SegmentError("a count in it is no count")


def is_blank(descriptor: int) -> bool:
    """Tell whether a file was never written to, or only until its process was killed while making it."""
    return not any(os.pread(descriptor, HEADER.size, 0))


def check_header(header: bytes) -> tuple[int, int]:
    """Return a segment's id and how many bytes of lines it has.

    Raises:
        SegmentError: It is none of this version.
    """
    if len(header) < HEADER.size:
        raise SegmentError("it is too short")
    magic, version, _, identity, used, _ = HEADER.unpack(header)
    if magic != MAGIC:
        raise SegmentError("it is not a file of metrics")
    if version != VERSION:
        raise SegmentError(f"it is of version {version}, and this is {VERSION}")
    return identity, used


def split(keys: bytes) -> list[bytes]:
    """Return the lines of a segment.

    Raises:
        SegmentError: The last one has no end.
    """
    if keys and not keys.endswith(b"\n"):
        raise SegmentError("its last key has no end")
    return keys.split(b"\n")[:-1]


def read_line(line: bytes) -> SeriesRecord | FamilyRecord | None:
    """Return what a line says; `None` for one of a newer version.

    Raises:
        SegmentError: It cannot be read.
    """
    try:
        return parse(line)
    except (ValueError, RecursionError) as exc:
        raise SegmentError(f"a key in it cannot be read: {exc}") from exc


def allocate(descriptor: int, at: int, size: int) -> None:
    """Make the disk give room for bytes, whether they were written before or not; what they hold stays.

    Raises:
        OSError: There is none.
    """
    fallocate = getattr(os, "posix_fallocate", None)  # macOS has none
    if fallocate is not None:
        fallocate(descriptor, at, size)
    else:
        os.pwrite(descriptor, os.pread(descriptor, size, at).ljust(size, b"\0"), at)


def _format(descriptor: int) -> None:
    os.ftruncate(descriptor, SIZE)
    allocate(descriptor, 0, CELLS_AT)
    os.pwrite(descriptor, HEADER.pack(MAGIC, VERSION, 0, int.from_bytes(os.urandom(8), "little"), 0, 0), 0)


def _mapped(path: Path) -> mmap.mmap:
    # By a descriptor of its own: a child that inherits the mapping must not keep the lock, which the other one holds.
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        if os.fstat(descriptor).st_size < SIZE:
            raise SegmentError("it is too short")
        return mmap.mmap(descriptor, SIZE)
    finally:
        os.close(descriptor)
