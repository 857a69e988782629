"""undercroft's own tables: made once, by one of many, and never taken away from the release before."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from sqlalchemy import inspect, text

from tests.connections.sql._databases import Base, Target, User
from undercroft.connections.sql import (
    Database,
    DatabaseError,
    PlannedMigration,
    SchemaVersionError,
    SqlClaims,
    StatementError,
    migrate,
    plan,
)
from undercroft.connections.sql._migrate import STEPS
from undercroft.connections.sql._scripts import Scripts

pytestmark = pytest.mark.anyio
ALL = [1, 2]


async def tables(db: Database) -> set[str]:
    async with db.connection() as connection:
        return set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))


async def indexes(db: Database) -> set[str]:
    async with db.connection() as connection:
        found = await connection.run_sync(lambda sync: inspect(sync).get_indexes("undercroft_claims"))
        return {str(index["name"]) for index in found}


async def test_migrate_takes_every_step_once(db: Database) -> None:
    assert await migrate(db) == ALL
    assert await migrate(db) == []
    assert {"undercroft_claims", "undercroft_alembic_version"} <= await tables(db)
    assert await indexes(db) >= {"undercroft_claims_done_at", "undercroft_claims_lease"}


async def test_plan_shows_what_would_be_done_and_does_nothing(db: Database) -> None:
    steps = await plan(db)

    assert [(step.number, step.works_with) for step in steps] == [(1, 1), (2, 1)]
    assert steps[0].title == "Claims: which keys are being handled, and which are done"
    assert "undercroft_claims" not in await tables(db)
    await migrate(db)
    assert await plan(db) == []


async def test_planned_sql_makes_the_same_tables_by_hand(db: Database, target: Target) -> None:
    async with db.connection() as connection:
        for step in await plan(db):
            for statement in statements(step):
                await connection.exec_driver_sql(statement)
        await connection.commit()

    assert await migrate(db) == []
    assert await indexes(db) >= {"undercroft_claims_done_at", "undercroft_claims_lease"}
    claim = await SqlClaims(db).claim("key", owner="me", lease_s=60)
    assert claim.state == "claimed"


def statements(step: PlannedMigration) -> list[str]:
    lines = [line for line in step.sql.splitlines() if not line.startswith("--")]
    return [statement.strip() for statement in "\n".join(lines).split(";") if statement.strip()]


@pytest.mark.timeout(120)
async def test_eight_processes_at_once_take_each_step_once(target: Target) -> None:
    script = Path(__file__).with_name("migrate_process.py")
    processes = [
        subprocess.Popen(
            [sys.executable, str(script), target.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(8)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = [ast.literal_eval(process.communicate(timeout=50)[0]) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()

    assert sorted(answers) == [[]] * 7 + [ALL]
    assert [process.returncode for process in processes] == [0] * 8


async def test_two_databases_migrate_at_once_in_one_process(tmp_path: Path) -> None:
    async def one(number: int) -> None:
        async with Database(f"sqlite:///{tmp_path}/{number}.db") as db:
            taken.append(await migrate(db))

    taken: list[list[int]] = []
    async with anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(one, number)
    assert taken == [ALL] * 4


async def test_migrating_leaves_the_applications_tables_alone(db: Database) -> None:
    async with db.transaction() as session:
        session.add(User(email="ann@example.com"))
    await migrate(db)

    async with db.read_session() as session:
        assert await session.scalar(text("SELECT email FROM users")) == "ann@example.com"
    assert {table.name for table in Base.metadata.sorted_tables} <= await tables(db)


def release_that_knows(directory: Path, newest: int, *extra: tuple[str, str]) -> Scripts:
    """Return the steps as a release before, or after, this one had them."""
    directory.mkdir()
    for step in sorted(STEPS.glob("m*.py"))[:newest]:
        shutil.copy(step, directory)
    for name, source in extra:
        (directory / name).write_text(source)
    return Scripts(directory)


def step(number: int, since: int, before: str) -> tuple[str, str]:
    source = f'"""Step {number}."""\nrevision = "{number:04}_since_{since:04}"\ndown_revision = {before!r}\n\n'
    return (
        f"m{number:04}_later.py",
        source + f'def upgrade(op):\n    op.execute("CREATE TABLE later_{number} (n INT)")\n',
    )


async def test_release_before_works_beside_the_newest_schema(db: Database, tmp_path: Path) -> None:
    await migrate(db)
    before = release_that_knows(tmp_path / "before", 1)

    async with db.connection() as connection:
        assert await before.upgrade(connection) == []
        assert await connection.run_sync(before.pending) == []
    claims = SqlClaims(db)
    claim = await claims.claim("key", owner="me", lease_s=60)
    assert await claims.done("key", claim.token)


async def test_database_of_a_newer_release_is_left_alone_when_it_says_so(db: Database, tmp_path: Path) -> None:
    newer = release_that_knows(tmp_path / "newer", 2, step(3, since=2, before="0002_since_0001"))
    async with db.connection() as connection:
        assert await newer.upgrade(connection) == [1, 2, 3]

    assert await migrate(db) == []
    assert await plan(db) == []


async def test_database_that_a_newer_release_changed_too_much_is_refused(db: Database, tmp_path: Path) -> None:
    newer = release_that_knows(tmp_path / "newer", 2, step(3, since=3, before="0002_since_0001"))
    async with db.connection() as connection:
        await newer.upgrade(connection)

    for refused in (migrate, plan):
        with pytest.raises(SchemaVersionError, match=r"step 3.*up to 2"):
            await refused(db)


async def test_step_that_fails_can_be_taken_again(db: Database, tmp_path: Path) -> None:
    name, source = step(3, since=2, before="0002_since_0001")
    broken = release_that_knows(tmp_path / "broken", 2, (name, source.replace("CREATE TABLE", "CREATE TABEL")))
    with pytest.raises(StatementError):
        async with db.connection() as connection:
            await broken.upgrade(connection)
    mended = release_that_knows(tmp_path / "mended", 2, (name, source))
    async with db.connection() as connection:
        taken = await mended.upgrade(connection)

    assert taken[-1] == 3
    assert "later_3" in await tables(db)


async def test_step_that_a_crash_cut_in_half_is_finished(db: Database) -> None:
    """MySQL commits each change of a table by itself; the version is written after it."""
    await migrate(db)
    async with db.connection() as connection:
        await connection.execute(text("DELETE FROM undercroft_alembic_version"))
        await connection.execute(
            text(f"DROP INDEX undercroft_claims_lease{' ON undercroft_claims' if db.dialect == 'mariadb' else ''}")
        )
        await connection.commit()

    assert await migrate(db) == ALL
    assert await indexes(db) >= {"undercroft_claims_done_at", "undercroft_claims_lease"}


async def test_strange_version_is_an_error(db: Database) -> None:
    await migrate(db)
    async with db.transaction() as session:
        await session.execute(text("UPDATE undercroft_alembic_version SET version_num = 'abc'"))
    with pytest.raises(DatabaseError, match="'abc'"):
        await migrate(db)


async def test_table_that_was_not_migrated_says_what_to_do(db: Database) -> None:
    with pytest.raises(StatementError, match=r"await migrate\(db\)"):
        await SqlClaims(db).claim("key", owner="me", lease_s=60)
