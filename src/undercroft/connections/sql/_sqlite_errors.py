"""sqlite3's errors, by SQLite's own result codes (https://www.sqlite.org/rescode.html)."""

from __future__ import annotations

import sqlite3

from undercroft.connections.sql._errors import (
    ConnectionLostError,
    DatabaseError,
    DatabaseLockedError,
    DatabaseNotWritableError,
    DatabaseUnavailableError,
    DatabaseValueError,
    IntegrityError,
    Rule,
    StatementError,
    StatementTimeoutError,
    migrate_hint,
)

_RULES: dict[str, Rule] = {
    "SQLITE_CONSTRAINT_UNIQUE": "unique",
    "SQLITE_CONSTRAINT_PRIMARYKEY": "unique",
    "SQLITE_CONSTRAINT_ROWID": "unique",
    "SQLITE_CONSTRAINT_NOTNULL": "not null",
    "SQLITE_CONSTRAINT_CHECK": "check",
    "SQLITE_CONSTRAINT_FOREIGNKEY": "foreign key",
    "SQLITE_CONSTRAINT_TRIGGER": "foreign key",
}
_LOCKED = (
    "keep transactions short; one in the block of another needs within=; look for another process that has one open"
)
_UNAVAILABLE: dict[int, tuple[type[DatabaseUnavailableError], str]] = {
    sqlite3.SQLITE_BUSY: (DatabaseLockedError, _LOCKED),
    sqlite3.SQLITE_LOCKED: (DatabaseLockedError, _LOCKED),
    sqlite3.SQLITE_FULL: (DatabaseNotWritableError, "free space on its disk; it goes on by itself when there is some"),
    sqlite3.SQLITE_READONLY: (
        DatabaseNotWritableError,
        "a read-only session only reads: use transaction(); otherwise look at the rights of the file and directory",
    ),
    sqlite3.SQLITE_IOERR: (DatabaseNotWritableError, "look at the disk, its free space and the kernel's log"),
    sqlite3.SQLITE_CANTOPEN: (DatabaseUnavailableError, "look at the rights of the file and of its directory"),
    sqlite3.SQLITE_PERM: (DatabaseUnavailableError, "look at the rights of the file and of its directory"),
    sqlite3.SQLITE_CORRUPT: (DatabaseUnavailableError, "the file is damaged; restore it from a backup"),
    sqlite3.SQLITE_NOTADB: (DatabaseUnavailableError, "the file is not a SQLite database; point the URL at another"),
    sqlite3.SQLITE_NOMEM: (DatabaseUnavailableError, "the process has no memory left"),
    sqlite3.SQLITE_INTERRUPT: (StatementTimeoutError, "the statement was interrupted"),
}
_VALUES = {sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_RANGE, sqlite3.SQLITE_TOOBIG}
_CLOSED = ("no active connection", "connection closed", "closed database")


def translate_sqlite(exc: BaseException, place: str) -> DatabaseError | None:
    """Return our error for sqlite3's, or `None` for what is not one.

    Args:
        place: The file; named in the message.
    """
    if any(text in str(exc).lower() for text in _CLOSED) and isinstance(exc, sqlite3.Error | ValueError):
        return ConnectionLostError(f"the connection to {place} was closed while it was in use")
    if not isinstance(exc, sqlite3.Error):
        # sqlite3 raises this for an integer of more than 64 bits.
        return DatabaseValueError("a number is too large for SQLite") if isinstance(exc, OverflowError) else None
    name: str = getattr(exc, "sqlite_errorname", type(exc).__name__)
    # Absent when Python's module itself complains; its lowest byte is the code without its extension.
    primary = getattr(exc, "sqlite_errorcode", -1) & 0xFF
    if primary == sqlite3.SQLITE_CONSTRAINT:
        return _integrity(str(exc), name)
    if primary in _UNAVAILABLE:
        kind, hint = _UNAVAILABLE[primary]
        return kind(f"{place}: {exc}", hint=hint, vendor_code=name)
    if primary in _VALUES or isinstance(exc, sqlite3.InterfaceError | sqlite3.DataError):
        return DatabaseValueError("a value has a type or size that SQLite does not take", vendor_code=name)
    return StatementError(f"{place}: {exc}", hint=migrate_hint(str(exc)), vendor_code=name)


def is_busy(exc: BaseException) -> bool:
    """Tell whether another connection holds the lock that this one wants."""
    return isinstance(exc, sqlite3.Error) and getattr(exc, "sqlite_errorcode", -1) & 0xFF == sqlite3.SQLITE_BUSY


def _integrity(text: str, name: str) -> IntegrityError:
    """Read `UNIQUE constraint failed: users.email, users.name`, `CHECK constraint failed: is_adult`, …"""
    rule = _RULES.get(name)
    _, _, place = text.partition(" constraint failed: ")
    if rule in ("unique", "not null") and "." in place and not place.startswith("index "):
        pairs = [part.rpartition(".") for part in place.split(", ")]
        return IntegrityError(rule=rule, table=pairs[0][0], columns=[pair[2] for pair in pairs], vendor_code=name)
    constraint = place.removeprefix("index ").strip("'") or None
    return IntegrityError(rule=rule, constraint=constraint, vendor_code=name)
