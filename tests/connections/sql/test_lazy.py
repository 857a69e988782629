"""What is loaded and opened when: nothing by importing, nothing by a lazy database before its first use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.connections.sql._databases import User
from undercroft.connections.sql import Database, DatabaseUnavailableError

HEAVY = "{'sqlalchemy', 'alembic', 'greenlet', 'aiosqlite', 'asyncmy', 'asyncpg', 'sqlite3', 'ssl'}"


def fresh(code: str, cwd: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False, cwd=cwd
    )
    assert done.returncode == 0, done.stderr


def test_importing_loads_nothing_heavy(tmp_path: Path) -> None:
    heavy = HEAVY.replace(", 'ssl'", "")  # asyncio brings it
    fresh(f"import sys, undercroft.connections.sql; assert not {heavy} & set(sys.modules)", tmp_path)


def test_package_loads_a_connection_when_it_is_named(tmp_path: Path) -> None:
    fresh(
        "import sys, undercroft.connections as c; assert 'undercroft.connections.sql' not in sys.modules;"
        "assert c.sql.Database; assert 'sqlalchemy' not in sys.modules; assert 'sql' in dir(c)",
        tmp_path,
    )


LAZY = """
import asyncio, sys
from undercroft.connections.sql import Database

async def main():
    async with Database("sqlite:///app.db", is_lazy=True) as db:
        assert db.dialect == "sqlite" and db.pool_status.size == 10
    assert "sqlalchemy" not in sys.modules

asyncio.run(main())
"""


def test_lazy_database_that_is_not_used_costs_nothing(tmp_path: Path) -> None:
    fresh(LAZY, tmp_path)
    assert list(tmp_path.iterdir()) == []


MISSING = """
import sys
for name in {missing}: sys.modules[name] = None
from undercroft.connections.sql import Database
from undercroft._core.errors import MissingExtraError
try:
    Database("{url}")
except MissingExtraError as exc:
    assert exc.hint == "pip install 'undercroft[{extra}]'", exc.hint
    assert "DATABASE" in str(exc).upper() and isinstance(exc, ImportError)
else:
    raise SystemExit("no error")
Database("{url}", is_lazy=True)
"""


@pytest.mark.parametrize(
    ("url", "missing", "extra"),
    [
        ("sqlite:///app.db", ["sqlalchemy"], "sql"),
        ("sqlite:///app.db", ["greenlet"], "sql"),
        ("sqlite:///app.db", ["aiosqlite"], "sql"),
        ("mysql://me@db/shop", ["asyncmy"], "mysql"),
        ("postgresql://me@db/shop", ["asyncpg"], "postgres"),
    ],
)
def test_missing_package_names_the_pip_line(url: str, missing: list[str], extra: str, tmp_path: Path) -> None:
    fresh(MISSING.format(url=url, missing=missing, extra=extra), tmp_path)


LAZY_MISSING = """
import asyncio, sys
sys.modules["aiosqlite"] = None
from undercroft.connections.sql import Database
from undercroft._core.errors import MissingExtraError

async def main():
    async with Database("sqlite:///app.db", is_lazy=True) as db:
        for use in (db.session, db.transaction, db.connection, db.read_session):
            try:
                use()
            except MissingExtraError:
                continue
            raise SystemExit("no error")

asyncio.run(main())
"""


def test_lazy_database_names_the_pip_line_at_first_use(tmp_path: Path) -> None:
    fresh(LAZY_MISSING, tmp_path)


@pytest.mark.anyio
async def test_lazy_database_opens_at_its_first_use(tmp_path: Path) -> None:
    async with Database(f"sqlite:///{tmp_path}/app.db", is_lazy=True) as db:
        assert not (tmp_path / "app.db").exists()
        await db.create_all(User.metadata)
        async with db.transaction() as session:
            session.add(User(email="ann@example.com"))
        assert db.pool_status.idle == 1
    assert db.pool_status.idle == 0


@pytest.mark.anyio
async def test_lazy_database_that_is_down_says_so_at_first_use() -> None:
    async with Database("postgresql://me@127.0.0.1:1/shop", is_lazy=True) as db:
        with pytest.raises(DatabaseUnavailableError, match=r"127\.0\.0\.1:1"):
            await db.ping()
