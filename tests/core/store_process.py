"""Another process for the tests of the SQLite store: `python store_process.py <command> <file> [argument]`.

It says "ready" where the test has to act, goes on when its standard input ends, and prints what happened.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import anyio

from undercroft._core.errors import NotOpenError, UndercroftError
from undercroft._core.sqlite import SqliteOptions, SqliteStore

MIGRATIONS = ("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL);\n",)
MANY_MIGRATIONS = (
    *MIGRATIONS,
    *(f"ALTER TABLE notes ADD COLUMN c{n} TEXT;\nINSERT INTO notes (text) VALUES ('{n}');\n" for n in range(9)),
)
NOBODY = 65534


def add(text: str) -> Callable[[sqlite3.Connection], object]:
    return lambda db: db.execute("INSERT INTO notes (text) VALUES (?)", (text,))


def count(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM notes").fetchone()[0])


def say(*words: object) -> None:
    print(*words, flush=True)


def wait() -> None:
    say("ready")
    sys.stdin.read()


async def outcome(store: SqliteStore, text: str) -> str:
    try:
        await store.write(add(text))
    except UndercroftError as exc:
        return type(exc).__name__
    return "written"


def lock(path: Path) -> None:
    """Hold the write lock until told otherwise."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    wait()
    connection.execute("COMMIT")


async def migrate(path: Path) -> None:
    """Open, and thus migrate, at the given moment; write one note."""
    wait()
    async with SqliteStore(path, migrations=MANY_MIGRATIONS) as store:
        await store.write(add("mine"))
    say("written")


async def die(path: Path) -> None:
    """Be killed inside a transaction, after one that was committed."""
    async with SqliteStore(path, migrations=MIGRATIONS) as store:
        await store.write(add("committed"))

        def run(db: sqlite3.Connection) -> None:
            for n in range(1000):
                db.execute("INSERT INTO notes (text) VALUES (?)", (f"{n}" * 100,))
            os.kill(os.getpid(), signal.SIGKILL)

        await store.write(run)


async def full(path: Path) -> None:
    """Write on a disk that fills up and is freed again."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write past the limit then fails, as on a full disk
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with SqliteStore(path, migrations=MIGRATIONS) as store:
        say(await outcome(store, "before"))
        largest = max(file.stat().st_size for file in path.parent.iterdir())
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 4096, hard))
        outcomes = await asyncio.gather(*(outcome(store, "x" * 100_000) for _ in range(5)))
        say(*sorted(set(outcomes)))
        say(await store.read(count))
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        say(await outcome(store, "x" * 100_000))
        say(await store.read(count))
        say((await store.read(lambda db: db.execute("PRAGMA integrity_check").fetchone()))[0])


async def full_from_the_start(path: Path) -> None:
    """Open a new store where nothing can be written."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        async with SqliteStore(path, migrations=MIGRATIONS):
            say("opened")
    except UndercroftError as exc:
        say(type(exc).__name__)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    async with SqliteStore(path, migrations=MIGRATIONS) as store:
        say(await outcome(store, "after"))


async def unprivileged(path: Path) -> None:
    """Open as a user without rights, who may only read."""
    with tempfile.TemporaryDirectory() as elsewhere:
        async with SqliteStore(Path(elsewhere) / "store.db", migrations=MIGRATIONS):
            """Everything is imported now: the new user may not be able to read the interpreter's files."""
    if os.getuid() == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    try:
        async with SqliteStore(path, migrations=MIGRATIONS):
            say("opened")
    except UndercroftError as exc:
        say(type(exc).__name__, exc.message)


async def fork(path: Path) -> None:
    """Use the store in a forked child, and afterwards in the parent."""
    async with SqliteStore(path, migrations=MIGRATIONS) as store:
        await store.write(add("before"))
        child = os.fork()
        if child == 0:
            try:
                store.write(add("child")).send(None)
            except NotOpenError as exc:
                say("child:", exc.message)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        say("parent:", await outcome(store, "after"))
        say(await store.read(count))


async def forget(path: Path) -> None:
    """Open without ever closing."""
    await SqliteStore(path, migrations=MIGRATIONS).__aenter__()
    say("forgotten")


async def news(path: Path) -> None:
    """Write when told to."""
    async with SqliteStore(path, migrations=MIGRATIONS, options=SqliteOptions()) as store:
        wait()
        say(await outcome(store, "news"))


if __name__ == "__main__":
    command = globals()[sys.argv[1]]
    if asyncio.iscoroutinefunction(command):
        anyio.run(command, Path(sys.argv[2]))
    else:
        command(Path(sys.argv[2]))
