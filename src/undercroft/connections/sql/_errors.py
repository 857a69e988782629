"""What can go wrong with a SQL database.

DatabaseError                                      UC4200
├── DatabaseUnavailableError     (ConnectionError) UC4210  unavailable  it refused, or did not answer
│   ├── ConnectionLostError                        UC4211  unavailable  … in the middle; after a commit, look
│   ├── TooManyConnectionsError                    UC4212  unavailable  the server has no room for us
│   ├── TransactionConflictError                   UC4213  unavailable  deadlock or serialization: run it again
│   ├── DatabaseLockedError                        UC4214  unavailable  somebody else holds a lock too long
│   ├── DatabaseNotWritableError                   UC4215  unavailable  disk full, or read-only
│   ├── PoolExhaustedError       (TimeoutError)    UC4216  unavailable  our own connections are all in use
│   └── StatementTimeoutError    (TimeoutError)    UC4217  unavailable  one statement took too long
├── DatabaseRefusedError                           UC4220  refused      the server said no
│   ├── DatabaseAuthError                          UC4221  refused      … to our user, password or right
│   ├── UnknownDatabaseError                       UC4222  refused      … since there is no such database
│   ├── IntegrityError                             UC4223  refused      … since a constraint would be broken
│   └── DatabaseValueError       (ValueError)      UC4224  refused      … to a value that does not fit
├── StatementError                                 UC4230  misuse       the SQL: syntax, unknown table or column
├── SchemaVersionError                             UC4240  misuse       a newer undercroft changed the tables
└── InvalidClaimError            (ValueError)      UC4250  misuse       a key, owner or lease that cannot be one

They are raised by the statement itself, inside the block, with the driver's exception as `__cause__`. Messages name
constraints, tables and columns, never a statement's parameters. SQLAlchemy's own errors about its use (`NoResultFound`,
`InvalidRequestError`, …) stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from undercroft._core.errors import Kind, UndercroftError

Rule = Literal["unique", "foreign key", "not null", "check", "exclusion"]


class DatabaseError(UndercroftError):
    """Base of every error of this module.

    `vendor_code` is the database's own: an SQLSTATE such as `23505`, a MySQL number such as `1062`, or SQLite's name.
    """

    code = "UC4200"

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        near: Sequence[str] = (),
        retry_after: float | None = None,
        vendor_code: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, near=near, retry_after=retry_after)
        self.vendor_code = vendor_code


class DatabaseUnavailableError(DatabaseError, ConnectionError):
    """The database refused the connection, or did not answer in time; nothing is known to be wrong with the call."""

    code = "UC4210"
    kind = Kind.UNAVAILABLE
    http_status = 503


class ConnectionLostError(DatabaseUnavailableError):
    """The connection broke in the middle. The transaction is rolled back, unless it was being committed.

    `is_outcome_unknown` tells that it broke during the commit of `transaction()`: look whether the data is there
    before doing it again.
    """

    code = "UC4211"
    is_outcome_unknown = False


class TooManyConnectionsError(DatabaseUnavailableError):
    """The server takes no more connections, from anybody or from this user."""

    code = "UC4212"


class TransactionConflictError(DatabaseUnavailableError):
    """The database gave up this transaction in favour of another: run the whole transaction again."""

    code = "UC4213"
    http_status = 409


class DatabaseLockedError(DatabaseUnavailableError):
    """A lock was not released in time: a row's, a table's, or SQLite's one write lock."""

    code = "UC4214"


class DatabaseNotWritableError(DatabaseUnavailableError):
    """The database can be read only: its disk is full, it is a standby, or the transaction was asked for read-only."""

    code = "UC4215"


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One connection that is out of the pool."""

    task: str
    """The name of the task that took it."""
    held_s: float
    """Since when, in seconds."""
    site: str | None
    """`file:line` of the `session()`, `transaction()` or `connection()` it was taken for; `None` of others."""

    def __str__(self) -> str:
        return f"{self.task} for {self.held_s:.1f}s{f' ({self.site})' if self.site else ''}"


class PoolExhaustedError(DatabaseUnavailableError, TimeoutError):
    """No connection of our own pool came free in time. `uses` tells who has them, the longest first."""

    code = "UC4216"

    def __init__(self, message: str, *, uses: Sequence[Use], hint: str) -> None:
        super().__init__(message, hint=hint)
        self.uses = tuple(uses)


class StatementTimeoutError(DatabaseUnavailableError, TimeoutError):
    """One statement took longer than `statement_timeout_s`, or the server cancelled it."""

    code = "UC4217"
    http_status = 504


class DatabaseRefusedError(DatabaseError):
    """The database understood and denied it; a retry gives the same answer."""

    code = "UC4220"
    kind = Kind.REFUSED


class DatabaseAuthError(DatabaseRefusedError):
    """The user, its password or its rights were not accepted."""

    code = "UC4221"


class UnknownDatabaseError(DatabaseRefusedError):
    """The server has no database of this name."""

    code = "UC4222"


class IntegrityError(DatabaseRefusedError):
    """A constraint would be broken; the statement did nothing.

    What the database tells is in `rule`, `constraint`, `table` and `columns`; the rest is `None` or empty. SQLite names
    the columns of a unique constraint, the others its name.
    """

    code = "UC4223"
    http_status = 409

    def __init__(
        self,
        *,
        rule: Rule | None = None,
        constraint: str | None = None,
        table: str | None = None,
        columns: Sequence[str] = (),
        vendor_code: str | None = None,
    ) -> None:
        self.rule: Rule | None = rule
        self.constraint = constraint
        self.table = table
        self.columns = tuple(columns)
        place = ", ".join(f"{table}.{column}" if table else column for column in columns) or table
        named = f" {constraint!r}" if constraint else ""
        super().__init__(
            f"a {rule or 'integrity'} constraint{named} would be broken{f', on {place}' if place else ''}",
            vendor_code=vendor_code,
        )


class DatabaseValueError(DatabaseRefusedError, ValueError):
    """A value does not fit its column or parameter: too long, out of range, of another type."""

    code = "UC4224"
    http_status = 422


class StatementError(DatabaseError):
    """The statement cannot run: a syntax error, a table or column that is not there, a function of another type."""

    code = "UC4230"


class SchemaVersionError(DatabaseError):
    """A newer undercroft migrated the database in a way that this one cannot work beside."""

    code = "UC4240"


class InvalidClaimError(DatabaseError, ValueError):
    """The key, the owner or the lease of a claim is not valid."""

    code = "UC4250"


def migrate_hint(text: str) -> str | None:
    """Return what to do when one of undercroft's own tables is missing."""
    return "make undercroft's tables: await migrate(db)" if re.search(r"\bundercroft_", text) else None
