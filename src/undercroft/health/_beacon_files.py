"""The files of the beacons: written as a whole, for their owner only, and never many."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from undercroft.health._heartbeats import read_heartbeats

KEPT = 256
"""How many files a directory may hold; the oldest are removed when a beacon starts."""
_FORGOTTEN_S = 86_400.0


def write_file(path: Path, document: bytes) -> None:
    """Replace the file by `document`, at once for every reader.

    Raises:
        OSError: The disk does not take it.
    """
    try:
        _replace(path, document)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, document)


def _replace(path: Path, document: bytes) -> None:
    # Not synced: after a crash of the machine, the process is not there either.
    new = path.with_name(f".{path.name}.new")
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(document)
        new.replace(path)
    except OSError:
        with suppress(OSError):
            new.unlink()
        raise


def remove_file(path: Path) -> None:
    """Remove the file, if it is there.

    Raises:
        OSError: The disk does not let go of it.
    """
    path.unlink(missing_ok=True)


def sweep(directory: Path, kind: str) -> None:
    """Remove what processes of this kind left that are gone, what nobody has touched for a day, and what is too much.

    Those of other kinds stay for a day: that one of them was killed is news.

    Raises:
        OSError: The directory cannot be read.
    """
    for beat in read_heartbeats(directory, kind=kind, max_age_s=float("inf")):
        if beat.is_here and not beat.is_live and beat.pid:
            namespace = str(beat.document["host"]).rpartition("/")[2]
            remove_file(directory / f"{beat.kind}-{beat.pid}-{namespace}.json")
    for path in _by_age(directory)[KEPT - 1 :]:
        remove_file(path)
    forgotten_s = time.time() - _FORGOTTEN_S
    for path in _by_age(directory):
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < forgotten_s:
                remove_file(path)


def _by_age(directory: Path) -> list[Path]:
    """Return our files in the directory, the half-written among them, the youngest first."""
    dated = []
    with suppress(FileNotFoundError, NotADirectoryError):
        for entry in os.scandir(directory):
            if entry.name.endswith((".json", ".json.new")):
                with suppress(FileNotFoundError):
                    dated.append((entry.stat().st_mtime, entry.path))
    return [Path(path) for _, path in sorted(dated, reverse=True)]
