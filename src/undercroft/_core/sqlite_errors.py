"""What can go wrong with a SQLite file, and sqlite3's errors turned into that.

    UndercroftError
    ├── StoreUnavailableError              SQLite did not take the work; nothing was written
    └── ConfigError
        ├── StoreNotWritableError          the directory or file cannot be written, or not safely
        └── StoreVersionError              a newer undercroft wrote the file

sqlite3's own errors are only ever the cause of one of these.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from undercroft._core.errors import ConfigError, Kind, UndercroftError


class StoreUnavailableError(UndercroftError):
    """The SQLite file did not take the work: disk full, read-only, locked too long, damaged. Nothing was written."""

    code = "UC0401"
    kind = Kind.UNAVAILABLE
    http_status = 503


class StoreNotWritableError(ConfigError):
    """The directory or file cannot be written, or is on a file system that SQLite's locks do not work on."""

    code = "UC0402"


class StoreVersionError(ConfigError):
    """The file was written by a newer version of undercroft."""

    code = "UC0403"


class translated:  # noqa: N801 - reads as a statement
    """Turn sqlite3's errors into `StoreUnavailableError`, naming the file and what SQLite said."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, exc: BaseException | None, __: object) -> None:
        if isinstance(exc, sqlite3.Error):
            name = getattr(exc, "sqlite_errorname", type(exc).__name__)
            raise StoreUnavailableError(
                f"the store {self._path} did not take the work: {exc} ({name})", hint=_HINTS.get(name[:11])
            ) from exc


_HINTS = {
    "SQLITE_FULL": "free space on its disk; it goes on by itself when there is some",
    "SQLITE_READ": "make the file and its directory writable for this user",
    "SQLITE_BUSY": "another process holds a long write; look for a script with an open transaction",
    "SQLITE_IOER": "look at the disk and at the kernel's log",
    "SQLITE_CORR": "the file is damaged; restore it from a backup",
    "SQLITE_NOTA": "the file is not a SQLite database; point the URL at another one",
    "SQLITE_CANT": "look at the rights of the file, its -wal and -shm, and its directory",
}

# Wrong with the file, and thus with the whole batch. Any other code is about one piece of work: a constraint, a typo.
_FILE_ERRORS = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOLFS,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
}


def primary_code(exc: sqlite3.Error) -> int | None:
    """Return SQLite's code without its extension: `SQLITE_IOERR` for `SQLITE_IOERR_WRITE`."""
    code: int | None = getattr(exc, "sqlite_errorcode", None)  # absent when Python's module itself complains
    return None if code is None else code & 0xFF


def is_about_the_file(exc: BaseException) -> bool:
    """Tell whether a translated error concerns the file, and thus everybody, or only the statement that raised it."""
    cause = exc.__cause__
    if not isinstance(exc, StoreUnavailableError) or not isinstance(cause, sqlite3.Error):
        return False
    return primary_code(cause) in _FILE_ERRORS


def is_busy(exc: BaseException) -> bool:
    """Tell whether an error, translated or not, says that somebody else holds the lock for now."""
    cause = exc.__cause__ if isinstance(exc, StoreUnavailableError) else exc
    return isinstance(cause, sqlite3.Error) and primary_code(cause) == sqlite3.SQLITE_BUSY


def copy_of(exc: BaseException) -> BaseException:
    """Return an error of its own for each of those who are told: tracebacks and notes are added while it is raised."""
    if not isinstance(exc, StoreUnavailableError):
        return exc
    copy = StoreUnavailableError(exc.message, hint=exc.hint)
    copy.__cause__ = exc.__cause__
    return copy
