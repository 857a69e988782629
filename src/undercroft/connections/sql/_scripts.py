"""Alembic, used from Python: no ini file, no env.py, no global `op`. Imported with the first `migrate`."""

from __future__ import annotations

import hashlib
import os
import random
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from io import StringIO
from typing import Any

import anyio
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, MigrationStep, RevisionStep
from alembic.script import Script, ScriptDirectory
from sqlalchemy import BigInteger, Connection, bindparam, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection

from undercroft.connections.sql._errors import DatabaseError, DatabaseLockedError, SchemaVersionError
from undercroft.connections.sql._protocol import PlannedMigration

VERSION_TABLE = "undercroft_alembic_version"
_REVISION = re.compile(r"([0-9]{4})_since_([0-9]{4})")
_LOCK_S = 120.0
_LOCK_KEY = int.from_bytes(hashlib.sha256(b"undercroft migrations").digest()[:8], signed=True)
_NEXT_TRY_S = 0.05


class Scripts:
    """The steps in one directory, the oldest first. Stateless; reads the directory when it is made."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._directory = ScriptDirectory(directory, version_locations=[directory])
        self._steps: Sequence[Script] = [*reversed(list(self._directory.walk_revisions()))]

    @property
    def newest(self) -> int:
        """The number of the last step."""
        return _numbers(self._steps[-1].revision)[0]

    async def upgrade(self, connection: AsyncConnection) -> list[int]:
        """Take the steps that are missing, under a lock that other processes wait for; return their numbers."""
        async with _alone(connection):
            return await connection.run_sync(self._upgrade)

    def pending(self, connection: Connection) -> list[PlannedMigration]:
        """Return the steps that are missing, with their SQL in the connection's dialect."""
        return [self._planned(connection, script) for script in self._missing(connection)]

    def _upgrade(self, connection: Connection) -> list[int]:
        missing = self._missing(connection)
        if missing:
            self._run(missing, connection=connection, opts={"version_table": VERSION_TABLE})
        return [_numbers(script.revision)[0] for script in missing]

    def _missing(self, connection: Connection) -> list[Script]:
        current = _current(connection)
        if current is None:
            return list(self._steps)
        number, works_with = _numbers(current)
        if number > self.newest:
            if works_with > self.newest:
                raise SchemaVersionError(
                    f"undercroft's tables are at step {number}, which works with releases that know step {works_with} "
                    f"or more; this one knows up to {self.newest}",
                    hint="upgrade undercroft, or point it at another database",
                )
            return []
        return [script for script in self._steps if _numbers(script.revision)[0] > number]

    def _planned(self, connection: Connection, script: Script) -> PlannedMigration:
        written = StringIO()
        before = script.down_revision
        opts = {
            "as_sql": True,
            "output_buffer": written,
            "version_table": VERSION_TABLE,
            "starting_rev": before,
            "script": self._directory,
        }
        self._run([script], dialect=connection.dialect, opts=opts)
        number, works_with = _numbers(script.revision)
        title = script.doc.strip().rstrip(".")
        return PlannedMigration(number=number, title=title, works_with=works_with, sql=written.getvalue().strip())

    def _run(self, scripts: Sequence[Script], *, opts: dict[str, Any], **target: Any) -> None:
        def steps(*_: object) -> list[RevisionStep]:
            return [MigrationStep.upgrade_from_script(self._directory.revision_map, script) for script in scripts]

        context = MigrationContext.configure(**target, opts={**opts, "fn": steps})
        # Each step is given its operations: Alembic's `op` is one for the whole process.
        context.run_migrations(op=Operations(context))


@asynccontextmanager
async def _alone(connection: AsyncConnection) -> AsyncIterator[None]:
    """Keep other processes out for the block, and commit at its end."""
    name = connection.dialect.name
    lock = {"sqlite": _lock_sqlite, "postgresql": _lock_postgres}.get(name, _lock_mysql)
    deadline = time.monotonic() + _LOCK_S
    while not await lock(connection):
        if time.monotonic() >= deadline:
            raise DatabaseLockedError("another process has been migrating undercroft's tables for two minutes")
        await anyio.sleep(_NEXT_TRY_S * random.uniform(0.5, 1.5))
    try:
        yield
        await connection.commit()
    finally:
        if name not in ("sqlite", "postgresql"):  # there the lock ended with the transaction
            await connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": await _mysql_lock_name(connection)})


async def _lock_sqlite(connection: AsyncConnection) -> bool:
    try:
        await connection.begin()  # immediately: the one write lock is what keeps the others out
    except DatabaseLockedError:
        return False
    return True


async def _lock_postgres(connection: AsyncConnection) -> bool:
    # Not the function that waits: a statement's time limit would end it.
    statement = text("SELECT pg_try_advisory_xact_lock(:key)").bindparams(bindparam("key", _LOCK_KEY, BigInteger))
    return bool((await connection.execute(statement)).scalar_one())


async def _lock_mysql(connection: AsyncConnection) -> bool:
    name = await _mysql_lock_name(connection)
    return bool((await connection.execute(text("SELECT GET_LOCK(:name, 0)"), {"name": name})).scalar_one() == 1)


async def _mysql_lock_name(connection: AsyncConnection) -> str:
    # The server's locks are not those of one database, and their names have up to 64 characters.
    database = (await connection.execute(text("SELECT DATABASE()"))).scalar_one()
    return f"undercroft.{hashlib.sha256(str(database).encode()).hexdigest()[:40]}"


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one_or_none()  # noqa: S608
    return found


def _numbers(revision: str) -> tuple[int, int]:
    match = _REVISION.fullmatch(revision)
    if match is None:
        raise DatabaseError(f"{revision!r} in {VERSION_TABLE} is not a step of undercroft's")
    return int(match[1]), int(match[2])
