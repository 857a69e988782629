"""The application goes on, and what was lost is counted: full disks, lost and damaged files, locks, kills, forks."""

from __future__ import annotations

import asyncio
import logging
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import anyio
import pytest

from tests.monitoring.recent._make import line, span
from tests.monitoring.recent.process import EACH
from undercroft._core.clock import VirtualClock
from undercroft._core.lifecycle import Lifecycle
from undercroft._core.sqlite import StoreNotWritableError, StoreVersionError
from undercroft.monitoring import RecentOptions, RecentStore, RecentUnavailableError

pytestmark = pytest.mark.anyio
PROGRAM = "tests.monitoring.recent.process"
ROOT = Path(__file__).parents[3]
DEADLINE_S = 40


def start(command: str, path: Path) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-m", PROGRAM, command, str(path)]
    return subprocess.Popen(arguments, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def run(command: str, path: Path) -> list[str]:
    """Run another process to its end; return what it said."""
    arguments = [sys.executable, "-m", PROGRAM, command, str(path)]
    done = subprocess.run(
        arguments, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert "Traceback" not in done.stderr
    return done.stdout.splitlines()


async def test_four_processes_write_to_one_file_and_nothing_is_lost(path: Path) -> None:
    processes = [start("write", path) for _ in range(4)]
    said = []
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        said = [process.communicate(timeout=DEADLINE_S)[0].split() for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()

    assert [dropped for _, dropped in said] == ["0"] * 4
    options = RecentOptions(max_lines=4 * EACH)
    async with RecentStore(path, options=options, clock=VirtualClock()) as store:
        found = await store.recent_lines(limit=50_000, request_id="req-together")
        assert Counter(one.message for one in found) == Counter(f"{pid} {n}" for pid, _ in said for n in range(EACH))
        for pid, _ in said:
            own = [one.message for one in found if one.message.startswith(f"{pid} ")]
            assert own == [f"{pid} {n}" for n in range(EACH)]  # in the order it wrote them


async def test_killed_process_leaves_a_sound_file_and_others_go_on(path: Path) -> None:
    async with RecentStore(path, clock=VirtualClock()) as store:
        for kill in range(4):
            process = start("die", path)
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
                enough = await last_row(store) + 1_300 * (kill + 1)
                while await last_row(store) < enough:
                    store.on_line(line("alive"))
                    await store.flush()
            finally:
                process.send_signal(signal.SIGKILL)
                process.communicate()
        store.on_line(line("last", at_ms=10**9))
        await store.flush()

        assert [found.message for found in await store.recent_lines(limit=1)] == ["last"]
        (check,) = await store._opened.read(lambda db: db.execute("PRAGMA integrity_check").fetchone())
        assert check == "ok"
        assert store.dropped_count == 0


async def last_row(store: RecentStore) -> int:
    return await store._opened.read(lambda db: db.execute("SELECT coalesce(max(seq), 0) FROM spans").fetchone()[0])


def test_full_disk_costs_what_came_meanwhile_and_nothing_else(path: Path) -> None:
    assert run("full", path) == ["60 1 True", "before", "60 2 None", "before after"]


def test_application_starts_on_a_full_disk_and_the_file_is_tried_again(path: Path) -> None:
    assert run("full_from_the_start", path) == ["1 0 True", "2 1 None", "kept"]


def test_forked_child_counts_what_it_cannot_write_and_leaves_the_parent_alone(path: Path) -> None:
    assert run("fork", path) == ["child 400", "parent before after"]


async def test_trouble_is_told_once_and_its_end_too(
    path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with RecentStore(path, clock=clock) as store:
        await store._opened.read(lambda db: db.execute("PRAGMA query_only = ON").fetchall())
        for _ in range(5):
            store.on_line(line("lost"))
            await store.flush()
        assert "readonly" in (store.problem or "")
        await store._opened.read(lambda db: db.execute("PRAGMA query_only = OFF").fetchall())
        store.on_line(line("kept"))
        await store.flush()

        assert (store.problem, store.dropped_count) == (None, 5)
    told = [record for record in caplog.records if record.name == "undercroft.monitoring"]
    assert [record.levelno for record in told] == [logging.WARNING] * 2
    assert "not kept" in told[0].getMessage()
    assert told[1].getMessage() == "recent spans and lines are kept again; 5 were dropped"


async def test_deleted_file_is_made_anew_after_five_seconds(path: Path, clock: VirtualClock) -> None:
    async with RecentStore(path, clock=clock) as store:
        store.on_line(line("gone"))
        await store.flush()
        for file in path.parent.iterdir():
            file.unlink()
        store.on_line(line("lost"))
        await store.flush()
        assert (store.dropped_count, "deleted" in (store.problem or "")) == (1, True)

        await clock.advance("5s")
        store.on_line(line("kept"))
        await store.flush()

        assert [found.message for found in await store.recent_lines()] == ["kept"]
        assert (store.problem, store.dropped_count) == (None, 1)


async def test_lock_that_is_held_too_long_costs_what_came_meanwhile(path: Path, clock: VirtualClock) -> None:
    async with RecentStore(path, options=RecentOptions(busy_timeout_s=0.05), clock=clock) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        store.on_line(line("lost"))
        await store.flush()
        assert (store.dropped_count, "locked" in (store.problem or "")) == (1, True)
        other.close()

        store.on_line(line("kept"))
        await store.flush()
        assert [found.message for found in await store.recent_lines()] == ["kept"]


async def test_damaged_file_keeps_nobody_from_starting_and_reading_says_so(path: Path, clock: VirtualClock) -> None:
    path.write_bytes(b"this is no database" * 1_000)

    async with RecentStore(path, clock=clock) as store:
        store.on_line(line("lost"))
        store.on_end(span("lost"))
        await store.flush()

        assert store.dropped_count == 2
        with pytest.raises(RecentUnavailableError, match="not a database"):
            await store.story("abcdef")
        path.unlink()
        await clock.advance("5s")
        store.on_line(line("kept"))
        await store.flush()
        assert [found.message for found in await store.recent_lines()] == ["kept"]


async def test_file_of_a_newer_version_is_an_error_at_opening(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()

    with pytest.raises(StoreVersionError, match="version 99"):
        await RecentStore(path).__aenter__()


async def test_path_where_no_file_can_be_is_an_error_at_opening(home: Path) -> None:
    (home / "file").touch()

    with pytest.raises(StoreNotWritableError):
        await RecentStore(home / "file" / "recent.db").__aenter__()


async def test_error_of_the_block_comes_out_as_it_is_and_what_was_taken_is_written(
    path: Path, clock: VirtualClock
) -> None:
    async def fail() -> None:
        async with RecentStore(path, clock=clock) as store:
            store.on_line(line("last words"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()

    async with RecentStore(path, clock=clock) as store:
        assert [found.message for found in await store.recent_lines()] == ["last words"]


async def test_block_that_is_cancelled_still_writes_its_last_lines(path: Path, clock: VirtualClock) -> None:
    async def live() -> None:
        async with RecentStore(path, clock=clock) as store:
            store.on_line(line("last words"))
            is_open.set()
            await anyio.sleep_forever()

    for cancel in ("anyio", "asyncio"):
        is_open = anyio.Event()
        with anyio.fail_after(DEADLINE_S):
            if cancel == "anyio":
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(live)
                    await is_open.wait()
                    tasks.cancel_scope.cancel()
            else:
                task = asyncio.create_task(live())
                await is_open.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

    async with RecentStore(path, clock=clock) as store:
        assert [found.message for found in await store.recent_lines()] == ["last words"] * 2


async def test_parts_of_an_infra_may_be_closed_by_another_task_than_opened_them(
    path: Path, clock: VirtualClock
) -> None:
    store = RecentStore(path, clock=clock)
    lifecycle = Lifecycle([("recent", store)], close_timeout=5)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lifecycle.open)
    store.on_line(line("said"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lifecycle.close)

    async with store:
        assert [found.message for found in await store.recent_lines()] == ["said"]
