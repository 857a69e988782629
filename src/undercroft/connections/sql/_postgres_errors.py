"""PostgreSQL's errors, by SQLSTATE (https://www.postgresql.org/docs/18/errcodes-appendix.html)."""

from __future__ import annotations

import re
from typing import Any

from undercroft.connections.sql._errors import (
    ConnectionLostError,
    DatabaseAuthError,
    DatabaseError,
    DatabaseLockedError,
    DatabaseNotWritableError,
    DatabaseRefusedError,
    DatabaseUnavailableError,
    DatabaseValueError,
    IntegrityError,
    Rule,
    StatementError,
    StatementTimeoutError,
    TooManyConnectionsError,
    TransactionConflictError,
    UnknownDatabaseError,
    migrate_hint,
)

_RULES: dict[str, Rule] = {
    "23502": "not null",
    "23503": "foreign key",
    "23001": "foreign key",
    "23505": "unique",
    "23514": "check",
    "23P01": "exclusion",
}
_AGAIN = "run the whole transaction again"
_AUTH = "check the user, its password and its rights"
# The longest prefix of the SQLSTATE decides.
_BY_STATE: dict[str, tuple[type[DatabaseError], str | None]] = {
    "08": (ConnectionLostError, None),
    "25006": (DatabaseNotWritableError, "a standby, and a read-only session, only read: use transaction()"),
    "28": (DatabaseAuthError, _AUTH),
    "3D000": (UnknownDatabaseError, "create it, or correct the name in the URL"),
    "40": (TransactionConflictError, _AGAIN),
    "42501": (DatabaseAuthError, _AUTH),
    "53": (DatabaseUnavailableError, "the server is out of a resource; look at its log"),
    "53100": (DatabaseNotWritableError, "free space on the server's disk"),
    "53300": (TooManyConnectionsError, "lower pool_size, or raise the server's max_connections"),
    "55P03": (DatabaseLockedError, "keep transactions short; look for one that is open"),
    "57014": (StatementTimeoutError, "make the statement faster, or raise ?statement_timeout_s="),
    "57P": (ConnectionLostError, None),
    "57P03": (DatabaseUnavailableError, "the server is starting or stopping; try again"),
    "57P04": (UnknownDatabaseError, "the database was dropped"),
    "58": (DatabaseUnavailableError, "the server met an error of its system; look at its log"),
    "XX": (DatabaseUnavailableError, "the server met an error of its own; look at its log"),
    "0A": (StatementError, None),
    "42": (StatementError, None),
    "3F000": (StatementError, None),
}
_CLOSED = re.compile(r"connection (is|was|has been) (closed|released)|connection was closed|underlying connection")


def translate_postgres(exc: BaseException, place: str) -> DatabaseError | None:
    """Return our error for asyncpg's, or for SQLAlchemy's copy of it; `None` for what is neither.

    Args:
        place: The server and database; named in the message.
    """
    origin = _origin(exc)
    if origin is None:
        return None
    state: str | None = getattr(origin, "sqlstate", None)
    if state is None:
        return _of_the_client(origin, place)
    if state.startswith("23"):
        return _integrity(origin, state)
    if state.startswith("22"):
        column = getattr(origin, "column_name", None)
        return DatabaseValueError(f"a value does not fit{f' column {column!r}' if column else ''}", vendor_code=state)
    kind, hint = _found(state)
    text = str(origin.args[0]) if origin.args else type(origin).__name__
    return kind(f"{place}: {text}", hint=migrate_hint(text) or hint, vendor_code=state)


def _origin(exc: BaseException | None) -> BaseException | None:
    """Return asyncpg's own exception, which SQLAlchemy keeps as the cause of its copy."""
    while exc is not None:
        if type(exc).__module__.startswith("asyncpg"):
            return exc
        exc = exc.__cause__
    return None


def _of_the_client(exc: BaseException, place: str) -> DatabaseError:
    if _CLOSED.search(str(exc)):
        return ConnectionLostError(f"{place}: the connection is closed")
    if isinstance(exc, ValueError):  # asyncpg's DataError: a value it could not encode, which its text quotes
        return DatabaseValueError("a value does not fit the type of its parameter")
    return StatementError(f"{place}: {type(exc).__name__}", hint="see the cause")


def _found(state: str) -> tuple[type[DatabaseError], str | None]:
    for length in (5, 3, 2):
        if state[:length] in _BY_STATE:
            return _BY_STATE[state[:length]]
    return DatabaseRefusedError, None


def _integrity(origin: Any, state: str) -> IntegrityError:
    column = getattr(origin, "column_name", None)
    return IntegrityError(
        rule=_RULES.get(state),
        constraint=getattr(origin, "constraint_name", None),
        table=getattr(origin, "table_name", None),
        columns=[column] if column else (),
        vendor_code=state,
    )
