"""One row through `Database`, in microseconds: `sql_select_undercroft.py sqlite|mariadb|postgresql [session|read]`."""

import sys

from sql_select_common import METADATA, ROWS, STATEMENT, VALUES, measured, run, url

from undercroft.connections.sql import Database


async def main() -> None:
    async with Database(url("mysql", "postgresql", "sqlite"), pool_size=5) as db:
        opened = db.read_session if sys.argv[2:] == ["read"] else db.session

        async def one() -> object:
            async with opened() as session:
                return (await session.execute(STATEMENT)).one()

        await db.create_all(METADATA)
        try:
            async with db.transaction() as session:
                await session.execute(ROWS.insert(), VALUES)
            await measured(one)
        finally:
            async with db.connection() as connection:
                await connection.run_sync(METADATA.drop_all)
                await connection.commit()


run(main)
