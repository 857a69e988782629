"""The SQLite store: group commit, news of other processes, and everything that a disk can do to it."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.core.store_process import MANY_MIGRATIONS, MIGRATIONS, add, count
from undercroft._core import sqlite as sqlite_module
from undercroft._core import sqlite_place
from undercroft._core.errors import ConfigError, Kind, NotOpenError
from undercroft._core.sqlite import (
    SqliteOptions,
    SqliteStore,
    StoreNotWritableError,
    StoreUnavailableError,
    StoreVersionError,
    file_system_of,
)
from undercroft._core.url import Url, UrlError

pytestmark = pytest.mark.anyio
PROGRAM = Path(__file__).with_name("store_process.py")
DEADLINE_S = 20
AT_ONCE = 20
"""How often two processes open and migrate one new file at the same moment."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "store.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    async with SqliteStore(path, migrations=MIGRATIONS) as store:
        yield store


def start(command: str, path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, PROGRAM, command, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def run(command: str, path: Path) -> list[str]:
    """Run another process to its end; return what it said."""
    result = subprocess.run(
        [sys.executable, PROGRAM, command, path],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=DEADLINE_S,
        text=True,
    )
    assert result.stderr == ""
    return result.stdout.splitlines()


@contextmanager
def another_process(command: str, path: Path) -> Iterator[Callable[[], str]]:
    """Start a process and wait until it is ready; the function lets it go on, and returns what it said."""
    process = start(command, path)
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield lambda: process.communicate(timeout=DEADLINE_S)[0]
        finally:
            process.kill()


@asynccontextmanager
async def busy(store: SqliteStore) -> AsyncIterator[None]:
    """Keep the store's thread at work for the block, so that whatever is asked in it waits and becomes one batch."""
    is_busy, may_go_on = threading.Event(), threading.Event()

    def wait(_: sqlite3.Connection) -> None:
        is_busy.set()
        assert may_go_on.wait(DEADLINE_S)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.read, wait)
        await anyio.to_thread.run_sync(is_busy.wait, DEADLINE_S)
        try:
            yield
        finally:
            may_go_on.set()


async def ask(store: SqliteStore, *works: Callable[[sqlite3.Connection], Any]) -> list[Any]:
    """Write all of `works` in one batch; return their results and errors."""
    async with busy(store):
        waiting = [asyncio.create_task(store.write(work)) for work in works]
        await asyncio.sleep(0)
    return await asyncio.gather(*waiting, return_exceptions=True)


async def texts(store: SqliteStore) -> list[str]:
    return [text for (text,) in await store.read(lambda db: db.execute("SELECT text FROM notes").fetchall())]


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(DEADLINE_S):
        while not condition():
            await anyio.sleep(0.005)


def fail(_: sqlite3.Connection) -> None:
    raise KeyError("work")


# Reading and writing


async def test_what_was_written_is_read(store: SqliteStore) -> None:
    await store.write(add("a"))

    assert await texts(store) == ["a"]


async def test_write_returns_what_the_work_returns(store: SqliteStore) -> None:
    assert await store.write(lambda db: db.execute("INSERT INTO notes (text) VALUES ('a')").rowcount) == 1


async def test_read_returns_what_the_work_returns(store: SqliteStore) -> None:
    assert await store.read(lambda db: db.execute("SELECT 6 * 7").fetchone()) == (42,)


async def test_cursor_does_not_leave_the_thread_that_owns_the_connection(store: SqliteStore) -> None:
    assert await store.write(lambda db: db.execute("INSERT INTO notes (text) VALUES ('a')")) is None


async def test_what_was_written_is_there_after_opening_again(path: Path) -> None:
    async with SqliteStore(path, migrations=MIGRATIONS) as store:
        await store.write(add("a"))
    async with SqliteStore(path, migrations=MIGRATIONS) as store:
        assert await texts(store) == ["a"]


async def test_one_store_may_be_opened_again(path: Path) -> None:
    store = SqliteStore(path, migrations=MIGRATIONS)
    for text in "ab":
        async with store:
            await store.write(add(text))
    async with store:
        assert await texts(store) == ["a", "b"]


async def test_all_work_runs_in_one_thread_that_is_not_the_loops(store: SqliteStore) -> None:
    threads = {await ask_thread(store.read) for _ in range(3)} | {await ask_thread(store.write) for _ in range(3)}

    assert len(threads) == 1
    assert threading.get_ident() not in threads


async def ask_thread(way: Callable[[Callable[[sqlite3.Connection], int]], Any]) -> int:
    ident: int = await way(lambda _: threading.get_ident())
    return ident


async def test_commits_are_durable_by_default(store: SqliteStore) -> None:
    """2 is FULL, https://www.sqlite.org/pragma.html#pragma_synchronous."""
    assert await store.read(lambda db: db.execute("PRAGMA synchronous").fetchone()) == (2,)


async def test_durability_can_be_traded(path: Path) -> None:
    async with SqliteStore(path, migrations=(), options=SqliteOptions(synchronous="normal")) as store:
        assert await store.read(lambda db: db.execute("PRAGMA synchronous").fetchone()) == (1,)


# Group commit


async def traced(store: SqliteStore, works: int) -> list[str]:
    """Write `works` notes at once; return the statements about transactions that this took."""
    statements: list[str] = []
    await store.read(lambda db: db.set_trace_callback(statements.append))
    await ask(store, *(add(str(n)) for n in range(works)))
    await store.read(lambda db: db.set_trace_callback(None))
    return [statement for statement in statements if statement.startswith(("BEGIN", "COMMIT", "ROLLBACK"))]


async def test_concurrent_writes_share_one_commit(store: SqliteStore) -> None:
    assert await traced(store, 300) == ["BEGIN IMMEDIATE", "COMMIT"]
    assert await store.read(count) == 300


async def test_batch_has_at_most_500_writes(store: SqliteStore) -> None:
    assert (await traced(store, 1200)).count("COMMIT") == 3
    assert await store.read(count) == 1200


async def test_writes_of_a_batch_are_done_in_the_order_they_were_asked(store: SqliteStore) -> None:
    await ask(store, *(add(str(n)) for n in range(100)))

    assert await texts(store) == [str(n) for n in range(100)]


async def test_read_alone_needs_no_transaction(store: SqliteStore) -> None:
    statements: list[str] = []
    await store.read(lambda db: db.set_trace_callback(statements.append))
    await store.read(count)

    assert not [statement for statement in statements if statement.startswith("BEGIN")]


def constraint(db: sqlite3.Connection) -> None:
    db.execute("INSERT INTO notes (text) VALUES ('half done')")
    db.execute("INSERT INTO notes (text) VALUES (NULL)")


def typo(db: sqlite3.Connection) -> None:
    db.execute("INSERT INTO notes (text) VALUES ('half done')")
    db.execute("INSRT INTO notes")


def wrong_binding(db: sqlite3.Connection) -> None:
    db.execute("INSERT INTO notes (text) VALUES ('half done')")
    db.execute("INSERT INTO notes (text) VALUES (?)", ())


def own_error(db: sqlite3.Connection) -> None:
    db.execute("INSERT INTO notes (text) VALUES ('half done')")
    raise KeyError("work")


def stop_iteration(db: sqlite3.Connection) -> None:
    db.execute("INSERT INTO notes (text) VALUES ('half done')")
    next(iter(()))


def base_exception(db: sqlite3.Connection) -> None:
    class OutcomeError(BaseException):
        """As test frameworks raise."""

    db.execute("INSERT INTO notes (text) VALUES ('half done')")
    raise OutcomeError


EACH_FAILURE = [constraint, typo, wrong_binding, own_error, stop_iteration, base_exception]
each_failure = pytest.mark.parametrize("failing", EACH_FAILURE, ids=lambda work: work.__name__)


@each_failure
async def test_failing_write_does_not_touch_the_others_of_its_batch(
    store: SqliteStore, failing: Callable[[sqlite3.Connection], None]
) -> None:
    with anyio.fail_after(DEADLINE_S):
        before, failed, after = await ask(store, add("before"), failing, add("after"))

    assert (before, after) == (None, None)
    assert isinstance(failed, BaseException)
    assert await texts(store) == ["before", "after"]


@each_failure
async def test_store_goes_on_after_a_failing_write(
    store: SqliteStore, failing: Callable[[sqlite3.Connection], None]
) -> None:
    with suppress(BaseException):
        await store.write(failing)
    with anyio.fail_after(DEADLINE_S):
        await store.write(add("next"))

    assert await texts(store) == ["next"]


async def test_writes_need_no_savepoints_while_none_fails(store: SqliteStore) -> None:
    statements: list[str] = []
    await store.read(lambda db: db.set_trace_callback(statements.append))
    await ask(store, *(add(str(n)) for n in range(5)))
    await store.read(lambda db: db.set_trace_callback(None))

    assert not [statement for statement in statements if "SAVEPOINT" in statement]


async def test_work_beside_a_failing_one_is_done_again_and_counts_once(store: SqliteStore) -> None:
    calls: list[str] = []

    def noted(db: sqlite3.Connection) -> None:
        calls.append("called")
        add("noted")(db)

    await ask(store, noted, fail, add("after"))

    assert len(calls) == 2
    assert await texts(store) == ["noted", "after"]


async def test_submitted_write_tells_after_its_commit_though_nobody_waits(store: SqliteStore) -> None:
    told: list[int] = []
    future = store.submit(
        lambda db: db.execute("INSERT INTO notes (text) VALUES ('a')").rowcount, on_commit=told.append
    )
    future.cancel()

    await until(lambda: told == [1])
    assert await texts(store) == ["a"]


async def test_submitted_write_that_fails_tells_nothing(store: SqliteStore) -> None:
    told: list[None] = []
    future = store.submit(fail, on_commit=told.append)

    with pytest.raises(KeyError):
        await future
    assert told == []


async def test_file_that_was_replaced_is_written_no_more(path: Path, store: SqliteStore) -> None:
    path.rename(path.with_name("aside.db"))
    path.write_bytes(b"")

    with pytest.raises(StoreUnavailableError, match="deleted or replaced"):
        await store.write(add("a"))


async def test_error_of_the_work_itself_is_raised_as_it_is(store: SqliteStore) -> None:
    with pytest.raises(KeyError, match="work"):
        await store.write(fail)


async def test_error_of_a_read_is_raised_as_it_is(store: SqliteStore) -> None:
    with pytest.raises(KeyError, match="work"):
        await store.read(fail)


async def test_error_of_sqlite_is_translated_with_its_cause(store: SqliteStore) -> None:
    with pytest.raises(StoreUnavailableError, match=r"NOT NULL constraint failed.*SQLITE_CONSTRAINT_NOTNULL") as caught:
        await store.write(constraint)

    assert isinstance(caught.value.__cause__, sqlite3.IntegrityError)


async def test_failing_read_does_not_touch_the_writes_of_its_batch(store: SqliteStore) -> None:
    async with busy(store):
        write = asyncio.create_task(store.write(add("a")))
        read = asyncio.create_task(store.read(fail))
        await asyncio.sleep(0)
    await asyncio.gather(write, read, return_exceptions=True)

    assert await texts(store) == ["a"]


async def test_cancelled_waiter_does_not_break_the_others(store: SqliteStore) -> None:
    async with busy(store):
        waiting = [asyncio.create_task(store.write(add(text))) for text in "abc"]
        await asyncio.sleep(0)
        waiting[1].cancel()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [type(None), asyncio.CancelledError, type(None)]
    assert {"a", "c"} <= set(await texts(store))


async def test_cancelled_waiter_stops_waiting_at_once(store: SqliteStore) -> None:
    async with busy(store):
        with anyio.move_on_after(0.01) as scope:
            await store.write(add("a"))

        assert scope.cancelled_caught


# News


async def test_write_that_is_news_calls_on_change_in_the_loop_after_its_commit(path: Path) -> None:
    called: list[tuple[int, int]] = []

    def on_change() -> None:
        with sqlite3.connect(path) as db:
            called.append((threading.get_ident(), count(db)))
        db.close()

    async with SqliteStore(path, migrations=MIGRATIONS, on_change=on_change) as store:
        await store.write(add("a"), is_news=True)
        await until(lambda: bool(called))

    assert called == [(threading.get_ident(), 1)]


async def test_write_that_is_no_news_does_not_call_on_change(path: Path) -> None:
    called: list[bool] = []
    async with SqliteStore(path, migrations=MIGRATIONS, on_change=lambda: called.append(True)) as store:
        await store.write(add("a"))

    assert called == []


async def test_news_of_a_batch_is_told_once(path: Path) -> None:
    called: list[bool] = []
    async with SqliteStore(path, migrations=MIGRATIONS, on_change=lambda: called.append(True)) as store:
        async with busy(store):
            waiting = [asyncio.create_task(store.write(add(text), is_news=True)) for text in "abc"]
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)

    assert called == [True]


async def test_failed_write_is_no_news(path: Path) -> None:
    called: list[bool] = []
    async with SqliteStore(path, migrations=MIGRATIONS, on_change=lambda: called.append(True)) as store:
        with suppress(KeyError):
            await store.write(own_error, is_news=True)

    assert called == []


async def test_commit_of_another_store_is_noticed(path: Path, store: SqliteStore) -> None:
    noticed = asyncio.Event()
    async with SqliteStore(path, migrations=MIGRATIONS, on_change=noticed.set):
        await store.write(add("a"))
        with anyio.fail_after(DEADLINE_S):
            await noticed.wait()


async def test_commit_of_another_store_right_after_opening_is_noticed(
    path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_written = threading.Event()
    serve = SqliteStore._serve

    def serve_late(self: SqliteStore, *args: Any) -> None:
        has_written.wait(DEADLINE_S)
        serve(self, *args)

    await store.read(count)  # its own thread serves already
    monkeypatch.setattr(SqliteStore, "_serve", serve_late)
    noticed = asyncio.Event()
    async with SqliteStore(path, migrations=MIGRATIONS, on_change=noticed.set):
        await store.write(add("a"))
        has_written.set()
        with anyio.fail_after(DEADLINE_S):
            await noticed.wait()


async def test_commit_of_another_store_is_noticed_under_constant_work(path: Path, store: SqliteStore) -> None:
    noticed = asyncio.Event()
    async with SqliteStore(path, migrations=MIGRATIONS, on_change=noticed.set) as working:
        await store.write(add("a"))
        with anyio.fail_after(DEADLINE_S):
            while not noticed.is_set():
                await working.read(count)  # never idle for as long as the time between looks


async def test_commit_of_another_process_is_noticed(path: Path) -> None:
    noticed = asyncio.Event()
    async with SqliteStore(path, migrations=MIGRATIONS, on_change=noticed.set):
        with another_process("news", path) as go_on:
            assert await anyio.to_thread.run_sync(go_on) == "written\n"
            with anyio.fail_after(DEADLINE_S):
                await noticed.wait()


async def test_commit_is_noticed_once(path: Path, store: SqliteStore) -> None:
    calls: list[bool] = []
    options = SqliteOptions(poll_s=0.001)
    async with SqliteStore(path, migrations=MIGRATIONS, options=options, on_change=lambda: calls.append(True)) as other:
        await store.write(add("a"))
        await until(lambda: bool(calls))
        for _ in range(100):
            await other.read(count)
        await store.write(add("b"))  # once this is noticed too, it has looked often enough
        await until(lambda: len(calls) > 1)

    assert calls == [True, True]


async def test_own_commits_are_not_taken_for_anothers(path: Path, store: SqliteStore) -> None:
    calls: list[bool] = []
    options = SqliteOptions(poll_s=0.001)
    async with SqliteStore(path, migrations=MIGRATIONS, options=options, on_change=lambda: calls.append(True)) as own:
        for _ in range(100):
            await own.write(add("own"))
        await store.write(add("other"))
        await until(lambda: bool(calls))

    assert calls == [True]


# Migrations


async def test_directory_of_a_new_file_is_made(store: SqliteStore, path: Path) -> None:
    assert path.is_file()


async def test_new_file_has_every_migration(path: Path) -> None:
    async with SqliteStore(path, migrations=MANY_MIGRATIONS) as store:
        assert await store.read(lambda db: db.execute("PRAGMA user_version").fetchone()) == (len(MANY_MIGRATIONS),)


async def test_older_file_gets_the_migrations_it_lacks_and_keeps_its_data(path: Path) -> None:
    async with SqliteStore(path, migrations=MIGRATIONS) as store:
        await store.write(add("old"))
    async with SqliteStore(path, migrations=MANY_MIGRATIONS) as store:
        assert await texts(store) == ["old", *"012345678"]


async def test_file_of_a_newer_version_is_refused(path: Path) -> None:
    async with SqliteStore(path, migrations=MANY_MIGRATIONS):
        """Leaves a newer version behind."""

    with pytest.raises(StoreVersionError, match=r"store\.db has version 10, this undercroft knows up to 1\b"):
        await SqliteStore(path, migrations=MIGRATIONS).__aenter__()


async def test_file_of_a_newer_version_stays_as_it_is(path: Path) -> None:
    async with SqliteStore(path, migrations=MANY_MIGRATIONS):
        """Leaves a newer version behind."""
    with suppress(StoreVersionError):
        await SqliteStore(path, migrations=MIGRATIONS).__aenter__()
    async with SqliteStore(path, migrations=MANY_MIGRATIONS) as store:
        assert await store.read(count) == 9


async def test_migrations_are_applied_all_or_none(path: Path) -> None:
    broken = (*MIGRATIONS, "CREATE TABLE other (id INTEGER);\nINSERT INTO nowhere VALUES (1);\n")
    with pytest.raises(StoreUnavailableError, match="nowhere"):
        await SqliteStore(path, migrations=broken).__aenter__()
    async with SqliteStore(path, migrations=()) as store:
        tables = await store.read(lambda db: db.execute("SELECT name FROM sqlite_master").fetchall())

    assert tables == []


async def test_migration_may_hold_triggers_comments_and_semicolons_in_text(path: Path) -> None:
    script = """
    CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL);  -- a comment; with a semicolon
    CREATE TRIGGER twice AFTER INSERT ON notes WHEN new.text = 'a' BEGIN
        INSERT INTO notes (text) VALUES ('b;
');
        INSERT INTO notes (text) VALUES ('c');
    END;
    -- the end
    """
    async with SqliteStore(path, migrations=(script,)) as store:
        await store.write(add("a"))
        assert await texts(store) == ["a", "b;\n", "c"]


@pytest.mark.parametrize("attempt", range(AT_ONCE))
async def test_two_processes_open_and_migrate_a_new_file_at_once(attempt: int, pair: list[Any], path: Path) -> None:
    said = await asyncio.gather(*(anyio.to_thread.run_sync(go_on) for go_on in pair))

    assert said == ["written\n", "written\n"]
    async with SqliteStore(path, migrations=MANY_MIGRATIONS) as store:
        assert await store.read(count) == 9 + 2


@pytest.fixture
def pair(path: Path) -> Iterator[list[Callable[[], str]]]:
    path.parent.mkdir()
    processes = [start("migrate", path) for _ in range(2)]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield [lambda process=process: process.communicate(timeout=DEADLINE_S)[0] for process in processes]  # type: ignore[misc]
    finally:
        for process in processes:
            with process:
                process.kill()


async def test_many_stores_open_and_migrate_a_new_file_at_once(path: Path) -> None:
    stores = [SqliteStore(path, migrations=MANY_MIGRATIONS) for _ in range(8)]
    await asyncio.gather(*(store.__aenter__() for store in stores))
    numbers = await asyncio.gather(*(store.read(count) for store in stores))
    await asyncio.gather(*(store.__aexit__() for store in stores))

    assert numbers == [9] * 8


# Locks


async def test_lock_held_too_long_is_a_clear_error(path: Path) -> None:
    async with SqliteStore(path, migrations=MIGRATIONS, options=SqliteOptions(busy_timeout_s=0.2)) as store:
        with another_process("lock", path), pytest.raises(StoreUnavailableError, match="SQLITE_BUSY") as caught:
            await store.write(add("a"))

    assert caught.value.hint == "another process holds a long write; look for a script with an open transaction"


async def test_lock_is_waited_for_as_long_as_was_said(path: Path) -> None:
    async with SqliteStore(path, migrations=MIGRATIONS, options=SqliteOptions(busy_timeout_s=0.3)) as store:
        with another_process("lock", path):
            before = time.monotonic()
            with suppress(StoreUnavailableError):
                await store.write(add("a"))

    assert 0.3 <= time.monotonic() - before < DEADLINE_S


async def test_every_waiter_of_a_locked_batch_gets_an_error_of_its_own(path: Path) -> None:
    async with SqliteStore(path, migrations=MIGRATIONS, options=SqliteOptions(busy_timeout_s=0.1)) as store:
        with another_process("lock", path):
            errors = await ask(store, *(add(text) for text in "abc"))

    assert [type(error) for error in errors] == [StoreUnavailableError] * 3
    assert len({id(error) for error in errors}) == 3


async def test_store_goes_on_when_the_lock_is_released(path: Path) -> None:
    async with SqliteStore(path, migrations=MIGRATIONS, options=SqliteOptions(busy_timeout_s=0.1)) as store:
        with another_process("lock", path) as go_on:
            with suppress(StoreUnavailableError):
                await store.write(add("a"))
            await anyio.to_thread.run_sync(go_on)
        await store.write(add("b"))

        assert await texts(store) == ["b"]


async def test_write_waits_for_a_lock_that_is_released_in_time(store: SqliteStore, path: Path) -> None:
    with another_process("lock", path) as go_on:
        write = asyncio.create_task(store.write(add("a")))
        await anyio.to_thread.run_sync(go_on)
        await asyncio.wait_for(write, DEADLINE_S)

    assert await texts(store) == ["a"]


async def test_reading_is_possible_while_another_process_writes(store: SqliteStore, path: Path) -> None:
    await store.write(add("a"))
    with another_process("lock", path), anyio.fail_after(4):  # less than the busy timeout
        assert await texts(store) == ["a"]


async def test_opening_without_migrations_to_do_needs_no_lock(path: Path) -> None:
    async with SqliteStore(path, migrations=MIGRATIONS):
        """Makes the file."""
    with another_process("lock", path):
        async with SqliteStore(path, migrations=MIGRATIONS, options=SqliteOptions(busy_timeout_s=0)) as store:
            assert await store.read(count) == 0


async def test_lock_held_too_long_for_a_migration_is_a_clear_error(path: Path) -> None:
    async with SqliteStore(path, migrations=MIGRATIONS):
        """Makes the file."""
    store = SqliteStore(path, migrations=MANY_MIGRATIONS, options=SqliteOptions(busy_timeout_s=0.1))
    with another_process("lock", path), pytest.raises(StoreUnavailableError, match="SQLITE_BUSY"):
        await store.__aenter__()


# Disks, files and directories


def test_full_disk_is_an_error_for_all_and_writes_nothing_until_there_is_space(path: Path) -> None:
    assert run("full", path) == ["written", "StoreUnavailableError", "1", "written", "2", "ok"]


def test_new_file_on_a_full_disk_is_an_error_and_can_be_opened_when_there_is_space(path: Path) -> None:
    assert run("full_from_the_start", path) == ["StoreUnavailableError", "written"]


async def test_process_killed_inside_a_transaction_leaves_what_was_committed(path: Path) -> None:
    with start("die", path) as process:
        process.communicate(timeout=DEADLINE_S)
    async with SqliteStore(path, migrations=MIGRATIONS) as store:
        assert await texts(store) == ["committed"]
        assert await store.read(lambda db: db.execute("PRAGMA integrity_check").fetchone()) == ("ok",)


async def test_file_that_is_no_database_is_a_clear_error(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("this is not a database, and long enough to be sure of it\n" * 20)

    with pytest.raises(StoreUnavailableError, match="SQLITE_NOTADB") as caught:
        await SqliteStore(path, migrations=MIGRATIONS).__aenter__()

    assert caught.value.hint == "the file is not a SQLite database; point the URL at another one"


async def test_damaged_file_is_a_clear_error(path: Path) -> None:
    async with SqliteStore(path, migrations=MIGRATIONS) as store:
        await store.write(lambda db: [add("x" * 1000)(db) for _ in range(100)])
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)

    async with SqliteStore(path, migrations=MIGRATIONS) as store:
        with pytest.raises(StoreUnavailableError, match="SQLITE_CORRUPT") as caught:
            await texts(store)

    assert caught.value.hint == "the file is damaged; restore it from a backup"


async def test_store_survives_what_it_cannot_read(path: Path) -> None:
    async with SqliteStore(path, migrations=(*MIGRATIONS, "CREATE TABLE other (id INTEGER);")) as store:
        await store.write(lambda db: [add("x" * 1000)(db) for _ in range(100)])
    content = bytearray(path.read_bytes())
    content[3 * 4096 :] = b"\xa5" * (len(content) - 3 * 4096)
    path.write_bytes(content)

    async with SqliteStore(path, migrations=(*MIGRATIONS, "")) as store:
        with suppress(StoreUnavailableError):
            await texts(store)
        await store.write(lambda db: db.execute("INSERT INTO other VALUES (1)"))
        assert await store.read(lambda db: db.execute("SELECT * FROM other").fetchall()) == [(1,)]


async def test_error_of_the_file_is_one_that_a_retry_may_help() -> None:
    assert (StoreUnavailableError.kind, StoreUnavailableError.http_status) == (Kind.UNAVAILABLE, 503)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory whose parents every user may enter; pytest's own are closed to others."""
    directory = Path(tempfile.mkdtemp(prefix="undercroft-store-"))
    directory.chmod(0o755)
    yield directory / "store.db"
    for path in (directory, *directory.rglob("*")):
        path.chmod(stat.S_IRWXU)
    shutil.rmtree(directory)


def test_directory_that_is_read_only_is_a_clear_error(shared: Path) -> None:
    read_only = shared.with_name("read-only")
    read_only.mkdir(mode=0o555)

    assert run("unprivileged", read_only / "store.db") == [
        f"StoreNotWritableError {read_only} is not writable for this user"
    ]


def test_file_that_is_read_only_is_a_clear_error(shared: Path) -> None:
    shared.touch(mode=0o444)

    assert run("unprivileged", shared) == [f"StoreNotWritableError {shared} is not writable for this user"]


def test_directory_that_cannot_be_made_is_a_clear_error(shared: Path) -> None:
    path = shared.with_name("new") / "store.db"
    shared.parent.chmod(0o555)

    assert run("unprivileged", path) == [
        f"StoreNotWritableError the directory {path.parent} cannot be made: Permission denied"
    ]


async def test_directory_that_is_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "var").touch()

    with pytest.raises(StoreNotWritableError, match=r"var cannot be made: "):
        await SqliteStore(tmp_path / "var" / "store.db", migrations=MIGRATIONS).__aenter__()


async def test_file_that_is_a_directory_is_a_clear_error(path: Path) -> None:
    path.mkdir(parents=True)

    with pytest.raises(StoreUnavailableError, match="SQLITE_CANTOPEN"):
        await SqliteStore(path, migrations=MIGRATIONS).__aenter__()


async def test_name_that_sqlite_takes_for_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(Url.parse("sqlite:///:memory:").file_path())

    with pytest.raises(StoreNotWritableError, match="cannot use WAL"):
        await SqliteStore(path, migrations=MIGRATIONS).__aenter__()


def test_error_of_a_place_is_one_of_configuration() -> None:
    assert issubclass(StoreNotWritableError, ConfigError)


MOUNTS = """\
sysfs /sys sysfs rw,nosuid 0 0
/dev/vda1 / ext4 rw,relatime 0 0
server:/export /mnt/share nfs4 rw,vers=4.2 0 0
/dev/vdb1 /mnt/share/local xfs rw 0 0
//server/files /mnt/with\\040space cifs rw 0 0
user@host: /mnt/tab\\011here fuse.sshfs rw 0 0
tmpfs /run tmpfs rw 0 0
overlay /run overlay rw 0 0
broken
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/store.db", "ext4"),
        ("/mnt/share", "nfs4"),
        ("/mnt/share/a/b", "nfs4"),
        ("/mnt/shared", "ext4"),
        ("/mnt/share/local/a", "xfs"),
        ("/mnt/with space/a", "cifs"),
        ("/mnt/tab\there/a", "fuse.sshfs"),
        ("/run/a", "overlay"),
        ("/mnt/share/../other", "ext4"),
    ],
)
def test_file_system_is_that_of_the_nearest_and_latest_mount(path: str, kind: str) -> None:
    assert file_system_of(Path(path), MOUNTS) == kind


def test_file_system_is_unknown_where_nothing_is_mounted() -> None:
    assert file_system_of(Path("/srv"), "") is None


def test_file_system_is_unknown_where_the_platform_does_not_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_place, "_MOUNTS", tmp_path / "absent")

    assert file_system_of(tmp_path) is None


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p"])
async def test_network_file_system_is_refused_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/vda1 / ext4 rw 0 0\nserver:/export {tmp_path} {kind} rw 0 0\n")
    monkeypatch.setattr(sqlite_place, "_MOUNTS", mounts)

    with pytest.raises(StoreNotWritableError, match=rf"is on a network file system \({kind}\)") as caught:
        await SqliteStore(tmp_path / "store.db", migrations=MIGRATIONS).__aenter__()

    assert caught.value.hint == "use a local disk, or a server's URL such as redis://"


# Options


def test_options_are_read_from_a_url() -> None:
    url = Url.parse("sqlite:///a?synchronous=normal&poll_s=0.5&busy_timeout_s=0")

    assert url.options_as(SqliteOptions) == SqliteOptions(synchronous="normal", poll_s=0.5, busy_timeout_s=0)


@pytest.mark.parametrize(
    "query",
    ["poll_s=0", "poll_s=-1", "poll_s=inf", "poll_s=nan", "busy_timeout_s=-1", "busy_timeout_s=inf", "synchronous=off"],
)
def test_option_that_would_stop_the_store_is_refused(query: str) -> None:
    with pytest.raises(UrlError):
        Url.parse(f"sqlite:///a?{query}").options_as(SqliteOptions)


# Life


@pytest.mark.parametrize("way", ["read", "write"])
async def test_use_before_opening_is_refused(path: Path, way: str) -> None:
    with pytest.raises(NotOpenError, match=r"store\.db is not open"):
        await getattr(SqliteStore(path, migrations=MIGRATIONS), way)(count)


@pytest.mark.parametrize("way", ["read", "write"])
async def test_use_after_closing_is_refused(path: Path, way: str) -> None:
    async with SqliteStore(path, migrations=MIGRATIONS) as store:
        """Opened and closed."""

    with pytest.raises(NotOpenError, match=r"store\.db is not open"):
        await getattr(store, way)(count)


async def test_use_after_a_failed_opening_is_refused(path: Path) -> None:
    path.mkdir(parents=True)
    store = SqliteStore(path, migrations=MIGRATIONS)
    with suppress(StoreUnavailableError):
        await store.__aenter__()

    with pytest.raises(NotOpenError):
        await store.read(count)


async def test_nothing_is_touched_before_opening(path: Path) -> None:
    SqliteStore(path, migrations=MIGRATIONS)

    assert not path.parent.exists()


async def test_work_that_was_accepted_is_finished_when_it_closes(path: Path) -> None:
    store = SqliteStore(path, migrations=MIGRATIONS)
    await store.__aenter__()
    async with busy(store):
        waiting = [asyncio.create_task(store.write(add(str(n)))) for n in range(50)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(store.__aexit__())
        await asyncio.sleep(0)
    await asyncio.gather(closing, *waiting)

    async with SqliteStore(path, migrations=MIGRATIONS) as store:
        assert await store.read(count) == 50


async def test_closing_leaves_one_file_without_a_log_beside_it(path: Path) -> None:
    async with SqliteStore(path, migrations=MIGRATIONS) as store:
        await store.write(add("a"))

    assert [file.name for file in path.parent.iterdir()] == ["store.db"]


async def test_closing_again_does_nothing(store: SqliteStore) -> None:
    await store.__aexit__()
    await store.__aexit__()


@pytest.fixture
async def locked(path: Path) -> AsyncIterator[SqliteStore]:
    """A store that waits for a lock as soon as it is opened."""
    async with SqliteStore(path, migrations=MIGRATIONS):
        """Makes the file."""
    with another_process("lock", path):
        yield SqliteStore(path, migrations=MANY_MIGRATIONS, options=SqliteOptions(busy_timeout_s=0.3))


def store_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "sqlite store.db"]


async def test_opening_cancelled_natively_leaves_no_thread(locked: SqliteStore) -> None:
    opening = asyncio.create_task(locked.__aenter__())
    await until(lambda: bool(store_threads()))
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening

    assert store_threads() == []


async def test_opening_cancelled_by_a_scope_leaves_no_thread(locked: SqliteStore) -> None:
    with anyio.move_on_after(0.05) as scope:
        await locked.__aenter__()

    assert scope.cancelled_caught
    assert store_threads() == []


async def test_leaving_in_a_cancelled_scope_closes_all_the_same(path: Path) -> None:
    with anyio.CancelScope() as scope:
        async with SqliteStore(path, migrations=MIGRATIONS):
            scope.cancel()

    assert store_threads() == []


def test_use_in_a_forked_child_is_refused_and_the_parent_goes_on(path: Path) -> None:
    assert run("fork", path) == [
        "child: the store store.db was opened before this process was forked",
        "parent: written",
        "2",
    ]


def test_program_that_never_closes_its_store_ends(path: Path) -> None:
    assert run("forget", path) == ["forgotten"]


# --- Opened by the first call ---------------------------------------------------------------------------------------


async def test_lazy_store_opens_no_file_and_no_thread_before_the_first_call(path: Path) -> None:
    async with SqliteStore(path, migrations=MIGRATIONS, is_lazy=True) as store:
        assert not path.exists()
        assert not any(path.name in thread.name for thread in threading.enumerate())
        await store.write(add("a"))
        assert await store.read(count) == 1


async def test_calls_that_come_while_a_lazy_store_opens_are_all_done(path: Path) -> None:
    async with SqliteStore(path, migrations=MIGRATIONS, is_lazy=True) as store:
        await asyncio.gather(*(store.write(add(str(n))) for n in range(50)))
        assert await store.read(count) == 50


async def test_lazy_store_tells_everybody_who_waits_that_it_cannot_be_opened_and_tries_again(path: Path) -> None:
    path.parent.mkdir()
    path.mkdir()  # a directory is no database
    async with SqliteStore(path, migrations=MIGRATIONS, is_lazy=True) as store:
        results = await asyncio.gather(*(store.read(count) for _ in range(3)), return_exceptions=True)
        assert [isinstance(result, StoreUnavailableError | StoreNotWritableError) for result in results] == [True] * 3
        path.rmdir()
        assert await store.read(count) == 0


async def test_lazy_store_that_is_closed_is_not_opened_by_a_call(path: Path) -> None:
    store = SqliteStore(path, migrations=MIGRATIONS, is_lazy=True)
    async with store:
        pass
    with pytest.raises(NotOpenError):
        await store.read(count)
    assert not path.exists()


async def test_lazy_store_may_be_opened_again(path: Path) -> None:
    store = SqliteStore(path, migrations=MIGRATIONS, is_lazy=True)
    for expected in (1, 2):
        async with store:
            await store.write(add("a"))
            assert await store.read(count) == expected


async def test_store_without_a_listener_asks_for_no_news(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    real = sqlite_module._data_version
    monkeypatch.setattr(sqlite_module, "_data_version", lambda *a, **k: asked.append(a) or real(*a, **k))
    async with SqliteStore(path, migrations=MIGRATIONS, options=SqliteOptions(poll_s=0.001)) as store:
        for n in range(20):
            await store.write(add(str(n)))
            await asyncio.sleep(0.002)
    assert len(asked) == 1  # when it was opened
