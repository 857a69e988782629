"""Several processes: exact counts under contention, and no write of a holder that slept past its lease."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from tests.locks.process import put
from undercroft.resilience import create_locks

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
PROCESSES, TIMES, ROUNDS = 8, 25, 5
SCRIPT = Path(__file__).with_name("process.py")


@pytest.fixture(params=["sqlite", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/locks.db"
    made: str = request.getfixturevalue("redis_url")
    return made


@contextmanager
def process(*words: object) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        [sys.executable, str(SCRIPT), *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield child
    finally:
        child.send_signal(signal.SIGCONT)
        child.kill()
        child.communicate()


async def test_every_increment_of_every_process_counts(url: str, tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    children = [
        subprocess.Popen([sys.executable, str(SCRIPT), "count", url, str(counter), str(TIMES)])
        for _ in range(PROCESSES)
    ]
    try:
        codes = [await anyio.to_thread.run_sync(child.wait) for child in children]
    finally:
        for child in children:
            child.kill()
    assert codes == [0] * PROCESSES
    assert counter.read_text() == str(PROCESSES * TIMES)


async def test_holder_that_slept_past_its_lease_writes_nothing(url: str, tmp_path: Path) -> None:
    resource = tmp_path / "resource.db"
    with closing(sqlite3.connect(resource)) as db, db:
        db.execute("CREATE TABLE resource (value TEXT, fence INTEGER)")
        db.execute("INSERT INTO resource VALUES ('', 0)")
    outcomes, tokens = list[str](), list[int]()
    with process("write", url, resource, ROUNDS) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        async with create_locks(url) as locks:
            for number in range(ROUNDS):
                word, _, token = (await anyio.to_thread.run_sync(child.stdout.readline)).partition(" ")
                assert word == "held"
                child.send_signal(signal.SIGSTOP)
                async with locks.lock("resource", wait="10s") as lease:  # once the sleeper's lease has ended
                    tokens += [int(token), lease.token]
                    assert put(resource, f"new {number}", lease.token) == 1
                    child.stdin.write("go\n")
                    child.stdin.flush()
                    child.send_signal(signal.SIGCONT)
                    outcomes.append((await anyio.to_thread.run_sync(child.stdout.readline)).strip())
        assert await anyio.to_thread.run_sync(child.wait) == 0
    assert outcomes == ["refused told"] * ROUNDS  # stale writes accepted: 0
    assert tokens == sorted(set(tokens))
    with closing(sqlite3.connect(resource)) as db:
        assert db.execute("SELECT value FROM resource").fetchone() == (f"new {ROUNDS - 1}",)
