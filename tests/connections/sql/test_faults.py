"""Servers that crash, networks that stall, disks that fill: what was committed is there, and it goes on by itself."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from sqlalchemy import select, text

from tests._services import Server
from tests._services.mariadb import MariaDB
from tests._services.postgres import Postgres
from tests.connections.sql._databases import Target, User, administer, of_server
from tests.connections.sql._restartable import Restartable, restartable
from undercroft.connections.sql import (
    ConnectionLostError,
    Database,
    DatabaseAuthError,
    DatabaseNotWritableError,
    DatabaseUnavailableError,
    StatementTimeoutError,
)
from undercroft.testing.fault_proxy import FaultProxy

pytestmark = pytest.mark.anyio
SERVERS: dict[str, Server] = {"mariadb": MariaDB(), "postgres": Postgres()}


@pytest.fixture(scope="module", params=list(SERVERS))
def own(request: pytest.FixtureRequest) -> Iterator[tuple[str, Restartable]]:
    """A server of our own that may be crashed."""
    lacking = SERVERS[request.param].missing()
    if lacking is not None:
        pytest.skip(f"{lacking} is not installed")
    with restartable(SERVERS[request.param]) as server:
        yield request.param, server


@pytest.fixture
def own_target(own: tuple[str, Restartable]) -> Iterator[Target]:
    kind, server = own
    yield from of_server(kind, server)


class Writers:
    """Tasks that insert rows as fast as they can, and remember what became of each."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.acknowledged: set[str] = set()
        self.unknown: set[str] = set()
        self.last_success = 0.0

    @asynccontextmanager
    async def at_work(self, count: int) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            for number in range(count):
                tasks.start_soon(self._write, number)
            yield
            tasks.cancel_scope.cancel()

    async def _write(self, writer: int) -> None:
        number = 0
        while True:
            number += 1
            name = f"{writer}-{number}"
            try:
                with anyio.CancelScope(shield=True):
                    async with self.db.transaction() as session:
                        session.add(User(email=name))
            except ConnectionLostError as exc:
                if exc.is_outcome_unknown:
                    self.unknown.add(name)
            except DatabaseUnavailableError:
                await anyio.sleep(0.02)
            else:
                self.acknowledged.add(name)
                self.last_success = time.monotonic()
            await anyio.sleep(0)


@pytest.mark.timeout(180)
@pytest.mark.slow
async def test_server_that_crashes_under_load_loses_nothing_and_is_found_again(
    own: tuple[str, Restartable], own_target: Target
) -> None:
    kind, server = own
    restarts = {"postgres": 20, "mariadb": 5}[kind]
    recoveries: list[float] = []
    async with Database(own_target.url) as db:
        await db.create_all(User.metadata)
        writers = Writers(db)
        async with writers.at_work(8):
            for _ in range(restarts):
                before = len(writers.acknowledged)
                await until(lambda before=before: len(writers.acknowledged) >= before + 20)
                await restart(server)
                is_up = time.monotonic()
                await until(lambda is_up=is_up: writers.last_success > is_up)
                recoveries.append(writers.last_success - is_up)

        async with db.read_session() as session:
            rows = set((await session.scalars(select(User.email))).all())
        assert writers.acknowledged - rows == set()
        assert rows - writers.acknowledged - writers.unknown == set()
        assert db.pool_status.in_use == 0
    assert max(recoveries) < 5.0
    print(f"{kind}: {restarts} crashes, {len(writers.acknowledged)} commits, {len(writers.unknown)} unknown,", end=" ")
    print(f"longest recovery {max(recoveries) * 1000:.0f} ms")


async def test_idle_connections_of_a_server_that_crashed_are_replaced_unseen(
    own: tuple[str, Restartable], own_target: Target
) -> None:
    async with Database(own_target.url) as db:
        async with db.read_session(), db.connection(), db.connection():
            pass
        await restart(own[1])
        await anyio.sleep(1.1)  # one that was used within the last second is given out untested
        await db.ping()


async def test_connection_that_breaks_in_the_middle_is_lost_and_rolled_back(server_target: Target) -> None:
    async with through_proxy(server_target) as (db, proxy):
        async with db.transaction() as session:
            session.add(User(email="ann@example.com"))
            await session.flush()
            proxy.cut()
            with pytest.raises(ConnectionLostError) as caught:
                await session.execute(text("SELECT 1"))
            await session.rollback()
        assert not caught.value.is_outcome_unknown
        async with db.read_session() as session:
            assert (await session.scalars(select(User))).all() == []
        assert db.pool_status.in_use == 0


async def test_connection_that_breaks_in_the_commit_says_that_nobody_knows(server_target: Target) -> None:
    async with through_proxy(server_target) as (db, proxy):

        async def add() -> None:
            async with db.transaction() as session:
                session.add(User(email="ann@example.com"))
                await session.flush()
                proxy.lose_reply(to=b"COMMIT")

        with pytest.raises(ConnectionLostError) as caught:
            await add()
        assert caught.value.is_outcome_unknown
        assert "look whether the data is there" in str(caught.value)
        async with db.read_session() as session:
            assert (await session.scalars(select(User.email))).all() == ["ann@example.com"]


async def test_half_open_connection_ends_a_statement_in_time(server_target: Target) -> None:
    async with through_proxy(server_target, statement_timeout_s=0.5) as (db, proxy):
        with anyio.fail_after(8):
            async with db.read_session() as session:
                await session.execute(text("SELECT 1"))
                proxy.stall()
                with pytest.raises(StatementTimeoutError):
                    await session.execute(text("SELECT 1"))
        proxy.heal()
        await db.ping()
        assert db.pool_status.in_use == 0


async def test_server_that_does_not_answer_ends_connecting_in_time(server_target: Target) -> None:
    async with FaultProxy(server_target.host, server_target.port) as proxy:
        proxy.stall()
        url = at(server_target, proxy) + "?connect_timeout_s=0.2"
        with anyio.fail_after(3), pytest.raises(DatabaseUnavailableError, match="did not answer within 200ms"):
            async with Database(url):
                pass


async def test_closing_does_not_wait_for_a_server_that_is_silent(server_target: Target) -> None:
    async with FaultProxy(server_target.host, server_target.port) as proxy:
        async with Database(at(server_target, proxy)) as db:
            async with db.read_session() as one, db.read_session() as two:
                await one.execute(text("SELECT 1"))
                await two.execute(text("SELECT 1"))
            proxy.stall()
            started = time.monotonic()
        assert time.monotonic() - started < 12


async def test_password_is_checked_with_scram(own: tuple[str, Restartable], own_target: Target) -> None:
    kind, server = own
    if kind != "postgres":
        return  # MariaDB's is in test_errors.py: any server of it can have users
    await administer(kind, server.host, server.port, "CREATE ROLE ann LOGIN PASSWORD 'right'")
    hba = server.data / "pg_hba.conf"
    before = hba.read_text()
    try:
        hba.write_text(f"host all ann 127.0.0.1/32 scram-sha-256\n{before}")
        await administer(kind, server.host, server.port, "SELECT pg_reload_conf()")
        async with Database(own_target.url.replace("postgres@", "ann:right@")) as db:
            await db.ping()
        with pytest.raises(DatabaseAuthError) as caught:
            async with Database(own_target.url.replace("postgres@", "ann:wr0ng@")):
                pass
        assert "wr0ng" not in str(caught.value) + repr(caught.value.__cause__)
    finally:
        hba.write_text(before)


FILL_THE_DISK = """
import asyncio, json, resource, sys
from sqlalchemy import text
from undercroft.connections.sql import Database, DatabaseNotWritableError

async def write(db, number):
    async with db.transaction() as session:
        await session.execute(text("INSERT INTO rows VALUES (:n, :filling)"), {"n": number, "filling": "x" * 10000})

async def main():
    async with Database(f"sqlite:///{sys.argv[1]}") as db:
        async with db.connection() as connection:
            await connection.execute(text("CREATE TABLE rows (n INTEGER, filling TEXT)"))
            await connection.commit()
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
        written = 0
        try:
            while written < 1000:
                await write(db, written)
                written += 1
        except DatabaseNotWritableError as exc:
            error = str(exc)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        await write(db, 1000)
        async with db.read_session() as session:
            rows = (await session.execute(text("SELECT n FROM rows ORDER BY n"))).scalars().all()
            check = await session.scalar(text("PRAGMA integrity_check"))
        print(json.dumps({"written": written, "rows": rows, "check": check, "error": error}))

asyncio.run(main())
"""


async def test_full_disk_loses_nothing_and_goes_on_when_there_is_space(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FILL_THE_DISK, str(tmp_path / "app.db")]
    done = await anyio.to_thread.run_sync(
        lambda: subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert 0 < told["written"] < 1000
    assert told["rows"] == [*range(told["written"]), 1000]
    assert told["check"] == "ok"
    assert DatabaseNotWritableError.code in told["error"]


async def restart(server: Restartable) -> None:
    await anyio.to_thread.run_sync(server.crash)
    server.start()
    await anyio.to_thread.run_sync(server.wait)


@asynccontextmanager
async def through_proxy(target: Target, **options: object) -> AsyncIterator[tuple[Database, FaultProxy]]:
    """A database whose connections go through a proxy that can break them."""
    async with FaultProxy(target.host, target.port) as proxy:
        query = "&".join(f"{key}={value}" for key, value in options.items())
        async with Database(f"{at(target, proxy)}?{query}" if query else at(target, proxy)) as db:
            await db.create_all(User.metadata)
            yield db, proxy


def at(target: Target, proxy: FaultProxy) -> str:
    return target.url.replace(f":{target.port}/", f":{proxy.port}/")


async def until(condition: object, *, seconds: float = 20) -> None:
    with anyio.fail_after(seconds):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.005)
