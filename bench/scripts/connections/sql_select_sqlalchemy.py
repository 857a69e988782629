"""One row through SQLAlchemy alone, with its defaults, in microseconds: `… sqlite|mariadb|postgresql [begin]`.

With `begin`, SQLite begins its transactions immediately, by the recipe of SQLAlchemy's documentation.
"""

import sys

from sql_select_common import METADATA, ROWS, STATEMENT, VALUES, measured, run, url
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine


async def main() -> None:
    engine = create_async_engine(url("mysql+asyncmy", "postgresql+asyncpg", "sqlite+aiosqlite"))
    if sys.argv[2:] == ["begin"]:
        event.listen(engine.sync_engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
        event.listen(engine.sync_engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))

    async def one() -> object:
        async with AsyncSession(engine, expire_on_commit=False) as session:
            return (await session.execute(STATEMENT)).one()

    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
        await connection.execute(ROWS.insert(), VALUES)
    try:
        await measured(one)
    finally:
        async with engine.begin() as connection:
            await connection.run_sync(METADATA.drop_all)
        await engine.dispose()


run(main)
