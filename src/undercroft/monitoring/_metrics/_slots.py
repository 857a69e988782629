"""The directory that processes share: one segment each, given back at their end and taken by the next.

A process holds its segment by an exclusive `flock`, which the system lets go of whatever way the process ends. It takes
the lowest free one, so there are never more files than processes at once. `lock` is held for that, and, shared, by
whoever reads: a reader finds out who lives by trying the segments' locks, which must not make them look taken. The
wait for it is bounded, and its failure is harmless: a process may make one file more than needed, no number is wrong.
`flock` needs a local file system.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from undercroft.monitoring._errors import MetricsDirectoryError
from undercroft.monitoring._metrics._segment import Segment, SegmentError
from undercroft.monitoring._metrics._warn import warn

SUFFIX = ".metrics"
_ASIDE = ".set-aside"
_LOCK = "lock"
_MOST = 4096
_WAIT_S = 2.0
_READ_WAIT_S = 0.05
_POLL_S = 0.001


def take(directory: Path) -> Segment:
    """Return the lowest segment of `directory` that nobody holds.

    Raises:
        MetricsDirectoryError: The directory or the file cannot be made or written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with locked(directory, fcntl.LOCK_EX, wait_s=_WAIT_S):
            for number in range(_MOST):
                segment = _try(directory, number)
                if segment is not None:
                    return segment
    except OSError as exc:
        raise MetricsDirectoryError(
            f"metrics cannot be shared in {directory}: {exc.strerror or exc}",
            hint="a directory on a local disk that this process may write to, with room for a few hundred kilobytes",
        ) from exc
    raise MetricsDirectoryError(f"all {_MOST} segments of {directory} are taken", hint="one directory for each host")


def _try(directory: Path, number: int) -> Segment | None:
    path = directory / f"{number:04d}{SUFFIX}"
    for _ in range(3):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        with ExitStack() as undo:
            undo.callback(os.close, descriptor)
            if not try_lock(descriptor, fcntl.LOCK_EX):
                return None
            if not _is_still(path, descriptor):  # somebody set it aside in between
                continue
            try:
                segment = Segment(descriptor, path, number)
            except SegmentError as exc:
                warn("the metrics' file %s is set aside as %s: %s", path.name, f"{path.stem}{_ASIDE}", exc)
                path.replace(path.with_suffix(_ASIDE))
                continue
            undo.pop_all()  # the segment's from now on
            return segment
    return None


def paths(directory: Path) -> list[Path]:
    """Return the segments there are, taken or not, lowest first."""
    return sorted(directory.glob(f"*{SUFFIX}"))


def slot_number(path: Path) -> int:
    """Return which slot a segment is; -1 for a file of another name."""
    return int(path.stem) if path.stem.isdecimal() else -1


def is_held(descriptor: int) -> bool:
    """Tell whether a process holds the segment. Changes nothing, if the directory's lock is held."""
    if not try_lock(descriptor, fcntl.LOCK_SH):
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def try_lock(descriptor: int, how: int) -> bool:
    """Take a lock if it is free, and tell whether it was."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def reading(directory: Path) -> Iterator[None]:
    """Hold the directory's lock for reading, if it comes free soon."""
    with locked(directory, fcntl.LOCK_SH, wait_s=_READ_WAIT_S):
        yield


@contextmanager
def locked(directory: Path, how: int, *, wait_s: float) -> Iterator[None]:
    """Hold the directory's lock for the block; after `wait_s` in vain, go on without it."""
    descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        deadline = time.monotonic() + wait_s
        while not try_lock(descriptor, how) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        yield
    finally:
        os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
