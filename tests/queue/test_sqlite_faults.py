"""The SQLite engine among trouble: full disks, lost files, eight processes at once, and processes that are killed."""

import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from undercroft._core import sqlite_place
from undercroft._core.clock import VirtualClock
from undercroft._core.sqlite import SqliteOptions, StoreNotWritableError
from undercroft.queue._errors import QueueUnavailableError
from undercroft.queue._values import Completed, Counts
from undercroft.queue.sqlite import SqliteQueue
from undercroft.testing.conformance.queue._base import NewJobs

pytestmark = pytest.mark.anyio
QUEUES = ["default"]
DEADLINE_S = 30

WORK = """
import asyncio, os, sys, uuid
from pathlib import Path
from undercroft.queue.sqlite import SqliteQueue
from undercroft.queue._values import Completed, Fetch

async def main(database, log, slots):
    me = uuid.uuid4().hex
    fetch = Fetch(names=frozenset(["job"]), worker_id=me, lease_s=30)
    runs = os.open(log, os.O_WRONLY | os.O_APPEND)
    print("up", flush=True)
    sys.stdin.readline()

    async def slot(engine, job):
        while job is not None:
            os.write(runs, f"{job.id}\\n".encode())
            done = await engine.finish(job, Completed(result=b"1"), fetch=fetch)
            if done.is_recorded:
                os.write(runs, f"{job.id} done\\n".encode())
            job = done.next

    async with SqliteQueue(Path(database)) as engine, engine.attend(me, queues=["default"]):
        while True:
            seen = engine.changes
            await engine.rescue(queues=["default"], max_crashes=1000, again_after_s=0)
            found = await engine.claim(queues=["default"], names=["job"], limit=slots, worker_id=me, lease_s=30)
            await asyncio.gather(*(slot(engine, job) for job in found.jobs))
            counts = await engine.counts()
            if not counts.waiting and not counts.delayed and not counts.active:
                return
            if not found.jobs:
                await engine.wait_for_work(["default"], since=seen, timeout=0.1)

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""

FULL = """
import asyncio, resource, signal, sys
from pathlib import Path
from undercroft.queue._errors import QueueUnavailableError
from undercroft.queue._values import Completed
from undercroft.queue.sqlite import SqliteQueue
from undercroft.testing.conformance.queue._base import NewJobs
from undercroft._core.clock import VirtualClock

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write past the limit then fails, as on a full disk

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

async def outcome(awaitable):
    try:
        await awaitable
    except QueueUnavailableError:
        return "unavailable"
    return "done"

async def main(path):
    jobs = NewJobs(VirtualClock())
    async with SqliteQueue(path) as engine, engine.attend("me", queues=["default"]):
        await engine.add([jobs(), jobs()])
        claim = await engine.claim(queues=["default"], names=["job"], limit=1, worker_id="me", lease_s=30)
        limit(path.with_name(path.name + "-wal").stat().st_size)
        big = [jobs(data=b'"' + b"x" * 100_000 + b'"') for _ in range(20)]
        print(await outcome(engine.add(big)))
        print(await outcome(engine.finish(claim.jobs[0], Completed(result=b'"' + b"y" * 100_000 + b'"'))))
        counts = await engine.counts()
        print(counts.waiting, counts.active, counts.completed)
        limit(resource.RLIM_INFINITY)
        print(await outcome(engine.add(big)))
        print(await outcome(engine.finish(claim.jobs[0], Completed(result=b"1"))))
        counts = await engine.counts()
        print(counts.waiting, counts.active, counts.completed)

asyncio.run(main(Path(sys.argv[1])))
"""


class Processes:
    """Worker processes on one file."""

    def __init__(self, folder: Path) -> None:
        self.database, self.log = folder / "queue.db", folder / "runs"
        self.log.touch()
        self.all: list[subprocess.Popen[str]] = []

    def start(self, *, slots: int) -> subprocess.Popen[str]:
        """Start one; it is up, and works after `go`."""
        process = subprocess.Popen(
            [sys.executable, "-c", WORK, self.database, self.log, str(slots)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.all.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        return process

    def go(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines()

    def runs(self) -> Counter[str]:
        return Counter(line for line in self.lines() if not line.endswith(" done"))

    def ends(self) -> Counter[str]:
        return Counter(line.removesuffix(" done") for line in self.lines() if line.endswith(" done"))

    def end(self) -> None:
        for process in self.all:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                assert stream is not None
                stream.close()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(tmp_path)
    yield processes
    processes.end()


@pytest.fixture
def jobs() -> NewJobs:
    return NewJobs(VirtualClock())


async def until_all_have_ended(processes: list[subprocess.Popen[str]]) -> None:
    with anyio.fail_after(DEADLINE_S):
        while any(process.poll() is None for process in processes):
            await anyio.sleep(0.02)


async def test_eight_processes_run_each_job_exactly_once(processes: Processes, jobs: NewJobs) -> None:
    new = [jobs() for _ in range(4000)]
    async with SqliteQueue(processes.database) as engine:
        await engine.add(new)
        eight = [processes.start(slots=7) for _ in range(8)]
        for process in eight:
            processes.go(process)

        await until_all_have_ended(eight)

        assert [process.returncode for process in eight] == [0] * 8
        assert processes.runs() == Counter(job.id for job in new)
        assert processes.ends() == processes.runs()
        assert await engine.counts() == Counts(completed=4000)


async def test_nothing_is_lost_when_processes_are_killed_at_any_moment(processes: Processes, jobs: NewJobs) -> None:
    new = [jobs() for _ in range(6000)]
    async with SqliteQueue(processes.database) as engine:
        await engine.add(new)
        for kill in range(8):
            process = processes.start(slots=5)
            processes.go(process)
            begun = len(processes.lines())
            await until_more_lines(processes, process, begun + 97 * (kill + 1))
            process.send_signal(signal.SIGKILL)
            process.wait()
        last = processes.start(slots=5)
        processes.go(last)
        await until_all_have_ended([last])

        assert await engine.counts() == Counts(completed=6000)
        assert set(processes.runs()) == {job.id for job in new}
        # Each kill costs the runs that were under way, and no other is repeated; none is recorded twice.
        assert sum(processes.runs().values()) <= 6000 + 8 * 5
        assert max(processes.ends().values()) == 1
        (check,) = await engine._store.read(lambda db: db.execute("PRAGMA integrity_check").fetchone())
        assert check == "ok"


async def until_more_lines(processes: Processes, process: subprocess.Popen[str], count: int) -> None:
    with anyio.fail_after(DEADLINE_S):
        while len(processes.lines()) < count and process.poll() is None:
            await anyio.sleep(0.001)


def test_full_disk_is_told_writes_nothing_and_heals(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path / "queue.db"], capture_output=True, text=True, timeout=DEADLINE_S
    )

    assert done.stderr == ""
    assert done.stdout.splitlines() == ["unavailable", "unavailable", "1 1 0", "done", "done", "21 0 1"]


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs"])
async def test_network_file_system_is_refused_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/vda1 / ext4 rw 0 0\nserver:/export {tmp_path} {kind} rw 0 0\n")
    monkeypatch.setattr(sqlite_place, "_MOUNTS", mounts)

    with pytest.raises(StoreNotWritableError, match=rf"network file system \({kind}\)"):
        await SqliteQueue(tmp_path / "queue.db").__aenter__()


async def test_file_that_cannot_be_written_any_more_is_told_and_heals(tmp_path: Path, jobs: NewJobs) -> None:
    async with SqliteQueue(tmp_path / "queue.db") as engine, engine.attend("me", queues=QUEUES):
        await engine.add([jobs()])
        await engine._store.read(lambda db: db.execute("PRAGMA query_only = ON").fetchall())

        with pytest.raises(QueueUnavailableError, match="readonly"):
            await engine.add([jobs()])
        assert await engine.counts() == Counts(waiting=1)  # reading goes on

        await engine._store.read(lambda db: db.execute("PRAGMA query_only = OFF").fetchall())
        await engine.add([jobs()])
        assert await engine.counts() == Counts(waiting=2)


async def test_file_that_was_deleted_is_told_and_nothing_is_taken_for_written(tmp_path: Path, jobs: NewJobs) -> None:
    path, aside = tmp_path / "queue.db", tmp_path / "aside.db"
    async with SqliteQueue(path) as engine:
        await engine.add([jobs()])
        path.rename(aside)

        with pytest.raises(QueueUnavailableError, match="deleted or replaced"):
            await engine.add([jobs()])

        aside.rename(path)
        await engine.add([jobs()])
        assert await engine.counts() == Counts(waiting=2)


async def test_file_locked_for_too_long_is_told_and_nothing_is_half_done(tmp_path: Path, jobs: NewJobs) -> None:
    path = tmp_path / "queue.db"
    async with SqliteQueue(path, options=SqliteOptions(busy_timeout_s=0.1)) as engine:
        db = sqlite3.connect(path, isolation_level=None)
        db.execute("BEGIN IMMEDIATE")
        with pytest.raises(QueueUnavailableError, match="locked"):
            await engine.add([jobs(), jobs()])
        db.close()

        assert await engine.counts() == Counts()
        await engine.add([jobs()])


async def test_every_caller_of_a_failed_batch_is_told(tmp_path: Path, jobs: NewJobs) -> None:
    async with SqliteQueue(tmp_path / "queue.db") as engine, engine.attend("me", queues=QUEUES):
        await engine.add([jobs() for _ in range(20)])
        found = await engine.claim(queues=QUEUES, names=["job"], limit=20, worker_id="me", lease_s=30)
        await engine._store.read(lambda db: db.execute("PRAGMA query_only = ON").fetchall())
        told: list[str] = []

        async def finish(n: int) -> None:
            try:
                await engine.finish(found.jobs[n], Completed(result=b"1"))
            except QueueUnavailableError as exc:
                told.append(exc.message)

        async with anyio.create_task_group() as tasks:
            for n in range(20):
                tasks.start_soon(finish, n)

        assert len(told) == 20
        assert (await engine.counts()).active == 20


async def test_lock_file_of_a_dead_worker_is_removed(tmp_path: Path, jobs: NewJobs) -> None:
    async with SqliteQueue(tmp_path / "queue.db") as engine:
        await engine.add([jobs()])
        dead = subprocess.run(
            [sys.executable, "-c", DIE, tmp_path / "queue.db"], timeout=DEADLINE_S, capture_output=True, text=True
        )
        assert (dead.returncode, dead.stderr) == (-signal.SIGKILL, "")
        locks = tmp_path / "queue.db-workers"
        assert [file.name for file in locks.iterdir()] == ["victim.lock"]

        began = time.monotonic()
        (rescued,) = await engine.rescue(queues=QUEUES, max_crashes=3, again_after_s=5)

        assert (rescued.worker_id, rescued.is_quarantined) == ("victim", False)
        assert time.monotonic() - began < 5  # at once, and not when the lease ends
        assert list(locks.iterdir()) == []


DIE = """
import asyncio, os, signal, sys
from pathlib import Path
from undercroft.queue.sqlite import SqliteQueue

async def main():
    async with SqliteQueue(Path(sys.argv[1])) as engine, engine.attend("victim", queues=["default"]):
        claim = await engine.claim(queues=["default"], names=["job"], limit=1, worker_id="victim", lease_s=3600)
        assert len(claim.jobs) == 1
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""
