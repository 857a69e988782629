"""One SQL database, or a replica beside it: SQLAlchemy 2's sessions over a pool that waits and says who holds it.

    from undercroft.connections.sql import Database

    async with Database("sqlite:///var/app.db") as db:         # or mysql://…, mariadb://…, postgresql://…
        await db.create_all(Base.metadata)                     # your own DeclarativeBase
        async with db.transaction() as session:                # committed at the end, rolled back on an error
            session.add(User(name="Ann"))
        async with db.read_session() as session:               # a replica, where there is one
            users = (await session.scalars(select(User))).all()

`migrate(db)` makes undercroft's own tables, `SqlClaims(db)` remembers what was handled. Importing this loads no
SQLAlchemy; `Database` does, and names what pip must install.
"""

from __future__ import annotations

from undercroft.connections.sql._claims import ClaimResult, SqlClaims
from undercroft.connections.sql._environment import mysql_url
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
    InvalidClaimError,
    PoolExhaustedError,
    SchemaVersionError,
    StatementError,
    StatementTimeoutError,
    TooManyConnectionsError,
    TransactionConflictError,
    UnknownDatabaseError,
    Use,
)
from undercroft.connections.sql._facade import Database
from undercroft.connections.sql._migrate import migrate, plan
from undercroft.connections.sql._protocol import DialectName, PlannedMigration, PoolStatus
from undercroft.connections.sql._schemes import SCHEMES

__all__ = [
    "SCHEMES",
    "ClaimResult",
    "ConnectionLostError",
    "Database",
    "DatabaseAuthError",
    "DatabaseError",
    "DatabaseLockedError",
    "DatabaseNotWritableError",
    "DatabaseRefusedError",
    "DatabaseUnavailableError",
    "DatabaseValueError",
    "DialectName",
    "IntegrityError",
    "InvalidClaimError",
    "PlannedMigration",
    "PoolExhaustedError",
    "PoolStatus",
    "SchemaVersionError",
    "SqlClaims",
    "StatementError",
    "StatementTimeoutError",
    "TooManyConnectionsError",
    "TransactionConflictError",
    "UnknownDatabaseError",
    "Use",
    "migrate",
    "mysql_url",
    "plan",
]
