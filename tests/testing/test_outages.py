"""Outages of a real Redis and of real SQLite files: what a client meets in them, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest
import redis.asyncio as client
from redis import exceptions
from redis.exceptions import ReadOnlyError, RedisError

from tests._services._provide import is_ci, skip_or_fail
from tests.connections.redis._servers import HOST, RedisServer
from undercroft._core.errors import ConfigError
from undercroft._core.sqlite import SqliteOptions, SqliteStore, StoreUnavailableError
from undercroft.testing.outages import OUTAGES, Outage, RedisOutages, SqliteOutages

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    if shutil.which("redis-server") is None:
        skip_or_fail("redis-server is not installed", is_ci=is_ci())
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
async def outages(server: RedisServer) -> AsyncIterator[RedisOutages]:
    server.cli("flushall")
    async with RedisOutages(HOST, server.port) as outages:
        yield outages


@pytest.fixture
async def db(outages: RedisOutages) -> AsyncIterator[client.Redis]:
    async with client.Redis.from_url(outages.url, retry=None, socket_timeout=0.2) as db:
        await db.set("k", "old")
        yield db


def settings(server: RedisServer) -> list[str]:
    names = ("maxmemory", "maxmemory-policy", "replica-read-only", "replica-serve-stale-data")
    return [*(server.cli("config", "get", name) for name in names), server.cli("role").splitlines()[0]]


EXPECTED: dict[Outage, type[Exception]] = {
    Outage.REFUSED: exceptions.ConnectionError,
    Outage.CUT: exceptions.ConnectionError,
    Outage.STALLED: exceptions.TimeoutError,
    Outage.READ_ONLY: exceptions.ReadOnlyError,
    Outage.OUT_OF_MEMORY: exceptions.OutOfMemoryError,
}
ANSWERS_READS = {Outage.READ_ONLY, Outage.OUT_OF_MEMORY}


@pytest.mark.parametrize("outage", OUTAGES)
async def test_write_fails_as_the_kind_says_and_works_again_afterwards(
    outages: RedisOutages, db: client.Redis, outage: Outage
) -> None:
    async with outages.during(outage):
        for _ in range(3):
            with pytest.raises(EXPECTED[outage]):
                await db.set("k", "lost")

    await db.set("k", "new")
    assert await db.get("k") == b"new"


@pytest.mark.parametrize("outage", OUTAGES)
async def test_reads_are_answered_only_where_the_server_is_reached(
    outages: RedisOutages, db: client.Redis, outage: Outage
) -> None:
    async with outages.during(outage):
        if outage in ANSWERS_READS:
            assert await db.get("k") == b"old"
        else:
            with pytest.raises(RedisError):
                await db.get("k")


@pytest.mark.parametrize("outage", OUTAGES)
async def test_what_clients_sent_to_a_server_they_never_heard_of_is_done_only_when_replies_are_cut(
    outages: RedisOutages, server: RedisServer, outage: Outage
) -> None:
    async with client.Redis.from_url(outages.url, retry=None, socket_timeout=0.2, single_connection_client=True) as db:
        await db.ping()
        async with outages.during(outage):
            with pytest.raises(RedisError):
                await db.incr("counted")
        await anyio.sleep(0.05)  # nothing may come late

        assert server.cli("get", "counted").strip() == ("1" if outage is Outage.CUT else "")


@pytest.mark.parametrize("outage", OUTAGES)
async def test_server_is_configured_as_before_also_after_an_error(
    outages: RedisOutages, server: RedisServer, outage: Outage
) -> None:
    server.cli("config", "set", "maxmemory-policy", "allkeys-lru")
    server.cli("config", "set", "maxmemory", "1gb")
    before = settings(server)
    with pytest.raises(ZeroDivisionError):
        async with outages.during(outage):
            raise ZeroDivisionError

    assert settings(server) == before
    server.cli("config", "set", "maxmemory", "0")


@pytest.mark.parametrize("outage", OUTAGES)
async def test_server_is_configured_as_before_also_after_a_cancellation(
    outages: RedisOutages, server: RedisServer, outage: Outage
) -> None:
    before = settings(server)
    with anyio.move_on_after(0.1):
        async with outages.during(outage):
            await anyio.sleep_forever()

    assert settings(server) == before
    async with client.Redis.from_url(outages.url, retry=None) as db:
        assert await db.ping()


async def test_connection_that_was_being_made_is_refused_too(outages: RedisOutages) -> None:
    connecting = [asyncio.open_connection(HOST, outages.proxy.port) for _ in range(50)]
    begun = asyncio.gather(*connecting, return_exceptions=True)
    async with outages.during(Outage.REFUSED):
        for made in await begun:
            if isinstance(made, BaseException):
                continue
            reader, writer = made
            writer.write(b"PING\r\n")
            with anyio.fail_after(2):
                assert await _answer(reader) == b""
            writer.close()


async def _answer(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(10)
    except OSError:
        return b""


async def test_second_outage_within_the_first_is_refused(outages: RedisOutages) -> None:
    async with outages.during(Outage.CUT):
        with pytest.raises(ConfigError, match="cannot begin within 'cut'"):
            async with outages.during(Outage.STALLED):
                pass  # pragma: no cover


async def test_server_with_a_password_is_asked_with_it(tmp_path: Path) -> None:
    with RedisServer(tmp_path, "--requirepass", "s3 cret/") as server:
        async with (
            RedisOutages(HOST, server.port, "s3 cret/") as outages,
            client.Redis.from_url(outages.url) as db,
            outages.during(Outage.READ_ONLY),
        ):
            with pytest.raises(ReadOnlyError):
                await db.set("k", "v")
        with pytest.raises(ConfigError, match="refuses CONFIG: NOAUTH") as told:
            async with RedisOutages(HOST, server.port):
                pass  # pragma: no cover
        with pytest.raises(ConfigError, match="refuses AUTH") as wrong:
            async with RedisOutages(HOST, server.port, "wr0ng"):
                pass  # pragma: no cover
        assert "wr0ng" not in f"{told.value}{wrong.value}"


async def test_server_that_does_not_allow_configuration_is_refused(tmp_path: Path) -> None:
    with (
        RedisServer(tmp_path, "--rename-command", "CONFIG", "") as server,
        pytest.raises(ConfigError, match="refuses CONFIG"),
    ):
        async with RedisOutages(HOST, server.port):
            pass  # pragma: no cover


async def test_replica_is_refused(tmp_path: Path) -> None:
    with RedisServer(tmp_path, "--replicaof", HOST, "1") as server, pytest.raises(ConfigError, match="is a slave"):
        async with RedisOutages(HOST, server.port):
            pass  # pragma: no cover


async def test_missing_server_is_refused() -> None:
    with pytest.raises(ConfigError, match="does not answer CONFIG"):
        async with RedisOutages(HOST, 1):
            pass  # pragma: no cover


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    migrations = ("CREATE TABLE t (v)",)
    options = SqliteOptions(busy_timeout_s=0.1)
    async with SqliteStore(tmp_path / "store.db", migrations=migrations, options=options) as store:
        await insert(store)
        yield store


async def insert(store: SqliteStore) -> None:
    await store.write(lambda db: db.execute("INSERT INTO t VALUES (?)", ("x" * 100,)))


async def count(store: SqliteStore) -> int:
    return await store.read(lambda db: int(db.execute("SELECT count(*) FROM t").fetchone()[0]))


SQLITE_SAYS = {
    Outage.REFUSED: "deleted or replaced",
    Outage.STALLED: "locked",
    Outage.OUT_OF_MEMORY: "disk I/O error",
    Outage.READ_ONLY: "readonly",
}


@pytest.mark.parametrize("outage", SQLITE_SAYS)
async def test_file_takes_no_write_during_an_outage_and_takes_them_again(store: SqliteStore, outage: Outage) -> None:
    with SqliteOutages(store.path, run=store.read) as outages:
        for _ in range(3):
            async with outages.during(outage):
                for _ in range(3):
                    with pytest.raises(StoreUnavailableError, match=SQLITE_SAYS[outage]):
                        await insert(store)
                assert await count(store) == 1

    await insert(store)
    assert await count(store) == 2
    (check,) = await store.read(lambda db: db.execute("PRAGMA integrity_check").fetchone())
    assert check == "ok"


async def test_no_room_is_left_also_where_an_old_log_is_longer_than_its_content(store: SqliteStore) -> None:
    big = b"x" * 200_000
    await store.write(lambda db: db.execute("INSERT INTO t VALUES (?)", (big,)))
    await store.read(lambda db: db.execute("PRAGMA wal_checkpoint(RESTART)").fetchall())
    async with SqliteOutages(store.path).during(Outage.OUT_OF_MEMORY):
        with pytest.raises(StoreUnavailableError):
            await insert(store)


@pytest.mark.parametrize("outage", SQLITE_SAYS)
async def test_nothing_is_left_behind_after_an_error(store: SqliteStore, outage: Outage) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE), sorted(store.path.parent.iterdir())
    with pytest.raises(ZeroDivisionError):
        async with SqliteOutages(store.path, run=store.read).during(outage):
            raise ZeroDivisionError

    assert (resource.getrlimit(resource.RLIMIT_FSIZE), sorted(store.path.parent.iterdir())) == before
    await insert(store)


async def test_gone_file_is_not_opened_anew(store: SqliteStore) -> None:
    async with SqliteOutages(store.path).during(Outage.REFUSED):
        with pytest.raises(sqlite3.OperationalError, match="unable to open"):
            sqlite3.connect(store.path).execute("CREATE TABLE other (v)")


async def test_locked_file_is_locked_for_other_processes_too(store: SqliteStore) -> None:
    async with SqliteOutages(store.path).during(Outage.STALLED):
        ask = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"
        done = subprocess.run([sys.executable, "-c", ask, store.path], capture_output=True, text=True, timeout=20)
        assert "database is locked" in done.stderr


async def test_file_says_which_outages_it_cannot_have(store: SqliteStore) -> None:
    outages = SqliteOutages(store.path)
    assert set(OUTAGES) - set(outages.supported) == {Outage.CUT, Outage.READ_ONLY}
    with pytest.raises(ConfigError, match="cannot have the outage 'cut'"):
        async with outages.during(Outage.CUT):
            pass  # pragma: no cover


async def test_file_that_was_never_opened_has_no_outage(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        async with SqliteOutages(tmp_path / "none.db").during(Outage.STALLED):
            pass  # pragma: no cover
