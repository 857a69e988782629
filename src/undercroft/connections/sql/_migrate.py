"""The tables of undercroft itself: which steps there are, and taking them, in one process at a time.

Steps are Alembic's, numbered, one file each in `migrations/`, and only ever add: the previous release must go on
working beside the newest schema. What a step promises is in its revision: `0002_since_0001` is step 2, and releases
that know steps up to 1 or more still work beside it. Alembic keeps the last step in `undercroft_alembic_version`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from undercroft._core.extras import require_module
from undercroft.connections.sql._protocol import PlannedMigration

if TYPE_CHECKING:
    from undercroft.connections.sql._facade import Database
    from undercroft.connections.sql._scripts import Scripts

STEPS = Path(__file__).parent / "migrations"


async def migrate(db: Database) -> list[int]:
    """Bring undercroft's own tables to this release's version; return the numbers of the steps this call took.

    Safe when many processes start together: one takes the steps, the others wait for it and find nothing to do. All
    steps or none on PostgreSQL and SQLite; on MySQL, which commits every change of a table at once, each step can be
    taken again after a crash. A database that a newer release migrated is left as it is when it says that this release
    works beside it.

    Raises:
        SchemaVersionError: A newer release migrated it, and this one does not work beside it.
        DatabaseLockedError: Another process has been migrating for two minutes.
    """
    scripts = _scripts(db)
    async with db.connection() as connection:
        return await scripts.upgrade(connection)


async def plan(db: Database) -> list[PlannedMigration]:
    """Return the steps that `migrate` would take now, with their SQL; changes nothing.

    Raises:
        SchemaVersionError: As `migrate`.
    """
    scripts = _scripts(db)
    async with db.connection() as connection:
        return await connection.run_sync(scripts.pending)


def _scripts(db: Database, steps: str | os.PathLike[str] = STEPS) -> Scripts:
    require_module("alembic", extra="sql", needed_for=f"{db.what}: migrations")
    db.engine  # noqa: B018 - says which package is missing, or that it is not open, before anything is imported
    from undercroft.connections.sql._scripts import Scripts

    return Scripts(steps)
