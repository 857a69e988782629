"""What a process writes down of itself, and what others read."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft._core.clock import VirtualClock
from undercroft._core.durations import DurationError
from undercroft.cli._health_quick import answer_quickly
from undercroft.health import HealthBeacon, HealthCheckError, HealthChecks, Heartbeat, read_heartbeats
from undercroft.health._beacon_files import KEPT, sweep, write_file
from undercroft.health._heartbeats import process_started, this_host

pytestmark = pytest.mark.anyio
DEADLINE_S = 10


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "health"


async def until(condition: Callable[[], bool]) -> None:
    """Let everybody run until it is so: a file is written in a thread, which virtual time does not wait for."""
    with anyio.fail_after(DEADLINE_S):
        while not condition():
            await anyio.sleep(0.005)


def the_beat(directory: Path, **more: Any) -> Heartbeat:
    (beat,) = read_heartbeats(directory, **more)
    return beat


def written(directory: Path) -> Mapping[str, Any]:
    return the_beat(directory, max_age_s=float("inf")).document


def beacon(directory: Path, health: HealthChecks, clock: VirtualClock, **more: Any) -> HealthBeacon:
    return HealthBeacon(directory, health, **{"kind": "worker", "clock": clock, **more})


async def test_a_process_is_starting_then_says_what_its_checks_found(
    directory: Path, health: HealthChecks, clock: VirtualClock
) -> None:
    gate = anyio.Event()

    async def slow() -> str:
        await gate.wait()
        return "degraded"

    health.register("it", slow)
    async with beacon(directory, health, clock) as it:
        beat = the_beat(directory, max_age_s=float("inf"))
        assert (beat.status, beat.is_live, beat.is_healthy) == ("starting", True, False)
        gate.set()
        await until(lambda: written(directory)["status"] == "degraded")
        beat = the_beat(directory, monotonic_s=clock.monotonic())
        assert (beat.kind, beat.pid, beat.is_healthy, beat.is_here) == ("worker", os.getpid(), True, True)
        assert beat.problem == "it: degraded"
        assert beat.document["report"]["checks"]["it"]["status"] == "degraded"
        assert it.path.is_file()
    assert read_heartbeats(directory) == []


async def next_beat(directory: Path, clock: VirtualClock) -> Mapping[str, Any]:
    """Move the time until there is a younger beat; its writer may not have gone back to sleep yet."""
    before = written(directory)["beat_s"]
    with anyio.fail_after(DEADLINE_S):
        while written(directory)["beat_s"] == before:
            await clock.advance("1s")
            await anyio.sleep(0.005)
    return written(directory)


async def test_every_beat_says_what_the_process_works_at(
    directory: Path, health: HealthChecks, clock: VirtualClock
) -> None:
    active = 0
    async with beacon(directory, health, clock, extra=lambda: {"active_jobs": active}):
        first = written(directory)
        assert first["work"] == {"active_jobs": 0}
        active = 3
        later = await next_beat(directory, clock)
    assert later["work"] == {"active_jobs": 3}
    assert later["started_at"] == first["started_at"]
    assert later["loop_lag_ms"] >= 0


async def test_a_hung_check_holds_no_beat(directory: Path, health: HealthChecks, clock: VirtualClock) -> None:
    health.register("hung", anyio.sleep_forever, timeout="1h")
    async with beacon(directory, health, clock):
        for _ in range(3):
            await next_beat(directory, clock)
        beat = the_beat(directory, monotonic_s=clock.monotonic())
        assert (beat.is_live, beat.status) == (True, "starting")


async def test_beats_are_an_interval_apart(directory: Path, health: HealthChecks, clock: VirtualClock) -> None:
    async with beacon(directory, health, clock, interval="7s"):
        start = written(directory)["beat_s"]
        await clock.advance("6s")
        assert written(directory)["beat_s"] == start
        await clock.advance("1s")
        await until(lambda: written(directory)["beat_s"] == start + 7)


async def test_a_blocked_event_loop_shows_as_a_beat_that_grows_old(directory: Path, health: HealthChecks) -> None:
    async with HealthBeacon(directory, health, kind="worker", interval="20ms"):
        await until(lambda: the_beat(directory, max_age_s=60).is_healthy)
        time.sleep(0.5)
        beat = the_beat(directory, max_age_s=0.3)
        assert beat.age_s >= 0.4
        assert (beat.is_live, beat.is_healthy) == (False, False)
        assert "event loop is blocked" in str(beat.problem)
        await until(lambda: the_beat(directory, max_age_s=60).age_s < 0.3)
        await until(lambda: written(directory)["loop_lag_ms"] >= 100)


async def test_what_cannot_be_told_of_the_work_stops_no_beat(
    directory: Path, health: HealthChecks, clock: VirtualClock
) -> None:
    def broken() -> Mapping[str, object]:
        raise RuntimeError("closed")

    for extra, said in ((broken, "RuntimeError"), (lambda: {"it": object()}, "")):
        async with beacon(directory, health, clock, extra=extra):
            assert said in written(directory)["work"]["error"]


async def test_a_directory_that_cannot_be_made_is_logged_once_and_tried_again(
    tmp_path: Path, health: HealthChecks, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "health"
    place.write_text("a file is in the way")
    async with beacon(place, health, clock):
        await clock.advance("10s")
        assert read_heartbeats(place) == []
        place.unlink()
        with anyio.fail_after(DEADLINE_S):
            while not read_heartbeats(place):
                await clock.advance("1s")
                await anyio.sleep(0.005)
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert [record.getMessage() for record in warnings] == ["the state of this process cannot be written down"]


async def test_a_beacon_can_be_entered_again(directory: Path, health: HealthChecks, clock: VirtualClock) -> None:
    it = beacon(directory, health, clock)
    for _ in range(2):
        async with it:
            assert len(read_heartbeats(directory)) == 1
        assert read_heartbeats(directory) == []


async def test_a_block_that_raises_takes_the_file_away_too(
    directory: Path, health: HealthChecks, clock: VirtualClock
) -> None:
    with pytest.raises(RuntimeError, match="mine"):
        async with beacon(directory, health, clock):
            raise RuntimeError("mine")
    assert list(directory.iterdir()) == []


async def test_files_are_for_their_owner_only(directory: Path, health: HealthChecks, clock: VirtualClock) -> None:
    async with beacon(directory, health, clock) as it:
        assert it.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kind", ["", "../x", "Worker", "a/b", "a" * 40])
def test_a_kind_that_names_no_file_is_refused(kind: str, directory: Path, health: HealthChecks) -> None:
    with pytest.raises(HealthCheckError, match="UC1001"):
        HealthBeacon(directory, health, kind=kind)


def test_intervals_of_nothing_are_refused(directory: Path, health: HealthChecks) -> None:
    with pytest.raises(HealthCheckError, match="interval"):
        HealthBeacon(directory, health, kind="api", interval=0)
    with pytest.raises(DurationError):
        HealthBeacon(directory, health, kind="api", checks_every="often")


# read from outside


PROCESS = """\
import anyio, sys
from undercroft.health import HealthBeacon, HealthChecks

async def main():
    async with HealthBeacon(sys.argv[1], HealthChecks(), kind="worker"):
        print("ready", flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""


@pytest.fixture
def other(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process with a beacon."""
    with subprocess.Popen([sys.executable, "-c", PROCESS, directory], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def test_a_process_that_was_killed_is_gone_however_young_its_beat_is(
    directory: Path, other: subprocess.Popen[str]
) -> None:
    assert the_beat(directory).is_live
    other.kill()
    other.wait()
    beat = the_beat(directory)
    assert (beat.is_live, beat.problem) == (False, f"process {other.pid} is gone")


def test_a_zombie_is_gone(directory: Path, other: subprocess.Popen[str]) -> None:
    os.kill(other.pid, signal.SIGKILL)
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # it ended, and nobody has asked how
    assert not the_beat(directory).is_live


def test_another_process_with_the_same_pid_is_not_taken_for_it(directory: Path) -> None:
    put(directory, process_started=(process_started(os.getpid()) or 0) + 1)
    assert the_beat(directory).problem == f"process {os.getpid()} is gone"


async def test_the_next_of_its_kind_removes_what_a_killed_process_left(
    directory: Path, other: subprocess.Popen[str], health: HealthChecks, clock: VirtualClock
) -> None:
    other.kill()
    other.wait()
    async with beacon(directory, health, clock, kind="api"):
        assert [beat.kind for beat in read_heartbeats(directory)] == ["api", "worker"]
    async with beacon(directory, health, clock):
        assert the_beat(directory, max_age_s=float("inf")).pid == os.getpid()


def put(directory: Path, name: str = "worker-1-2.json", **more: object) -> Path:
    """Write a file as a process would."""
    document: dict[str, object] = {
        "v": 1,
        "kind": "worker",
        "pid": os.getpid(),
        "process_started": process_started(os.getpid()),
        "host": this_host(),
        "beat_s": time.monotonic(),
        "beat_epoch_s": time.time(),
        "status": "healthy",
        "report": None,
        "work": {},
    }
    write_file(directory / name, json.dumps(document | more).encode())
    return directory / name


def test_a_clock_that_was_set_changes_no_age(directory: Path) -> None:
    put(directory, beat_epoch_s=time.time() - 86_400, beat_s=time.monotonic() - 3)
    beat = the_beat(directory)
    assert 3 <= beat.age_s < 10
    assert beat.is_healthy


def test_a_beat_that_is_too_old_is_not_live(directory: Path) -> None:
    put(directory, beat_s=100.0)
    assert the_beat(directory, monotonic_s=115.0).is_live
    late = the_beat(directory, monotonic_s=116.0)
    assert (late.is_live, late.problem) == (False, "no beat for 16 s: its event loop is blocked, or it is stopped")
    assert the_beat(directory, monotonic_s=116.0, max_age_s=20).is_live


def test_of_another_machine_only_the_age_can_be_seen(directory: Path) -> None:
    put(directory, host="elsewhere/1", pid=999_999_999, process_started=5)
    beat = the_beat(directory, time_s=time.time() + 5)
    assert (beat.is_here, beat.is_live) == (False, True)
    assert not the_beat(directory, time_s=time.time() + 60).is_live


def test_a_kind_can_be_asked_for(directory: Path) -> None:
    put(directory, "a.json", kind="api")
    put(directory, "b.json")
    assert [beat.kind for beat in read_heartbeats(directory)] == ["api", "worker"]
    assert the_beat(directory, kind="api").kind == "api"
    assert read_heartbeats(directory, kind="all") == []


def test_where_nobody_wrote_there_is_nothing(directory: Path) -> None:
    assert read_heartbeats(directory) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "JSONDecodeError"),
        (b'"\xff"', "UnicodeDecodeError"),
        (b"[" * 100_000, "RecursionError"),
        (b"[]", "another version"),
        (b'{"v": 2}', "another version"),
        (b'{"v": 1, "kind": "worker"}', "incomplete"),
        (b'{"v": 1, "kind": "worker", "pid": true}', "incomplete"),
    ],
)
def test_a_file_that_cannot_be_read_is_unhealthy_and_named(directory: Path, content: bytes, said: str) -> None:
    write_file(directory / "worker-7-8.json", content)
    beat = the_beat(directory, kind="worker")
    assert (beat.is_live, beat.is_healthy) == (False, False)
    assert "worker-7-8.json cannot be read" in str(beat.problem)
    assert said in str(beat.problem)


WORDS = st.text("a-/0é", max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)


@given(
    st.dictionaries(st.sampled_from(["v", "kind", "pid", "host", "status", "report", "work", "loop_lag_ms"]), JSON),
    st.sampled_from([(), ("--json",), ("--live",)]),
)
def test_no_file_makes_the_reader_fail(more: dict[str, object], options: tuple[str, ...]) -> None:
    with tempfile.TemporaryDirectory() as home:
        put(Path(home) / "health", **more)
        (beat,) = read_heartbeats(Path(home) / "health")
        assert answer_quickly(["--home", home, *options], {}) in ({0, 1} if beat.is_here else {None})


async def test_a_disk_that_hangs_holds_neither_the_start_nor_the_loop_nor_the_end(
    directory: Path, health: HealthChecks
) -> None:
    directory.mkdir()
    it = HealthBeacon(directory, health, kind="worker", interval="50ms")
    fifo = directory / f".{it.path.name}.new"
    os.mkfifo(fifo)  # opening it waits for a reader, for ever
    turns = 0
    with anyio.fail_after(DEADLINE_S):
        async with it:
            for _ in range(20):
                await anyio.sleep(0.01)
                turns += 1
        assert turns == 20
        assert read_heartbeats(directory) == []
        os.close(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK))  # lets the thread go


def test_a_half_written_file_is_not_read(directory: Path) -> None:
    put(directory)
    (directory / ".worker-9-9.json.new").write_bytes(b'{"v"')
    assert len(read_heartbeats(directory)) == 1


def test_there_are_never_many_files(directory: Path) -> None:
    for number in range(KEPT + 20):
        path = put(directory, f"worker-{number}-1.json", host="elsewhere/1")
        os.utime(path, (time.time() + number, time.time() + number))
    sweep(directory, "api")
    left = {path.name for path in directory.iterdir()}
    assert len(left) == KEPT - 1
    assert f"worker-{KEPT + 19}-1.json" in left


def test_what_nobody_has_touched_for_a_day_is_removed(directory: Path) -> None:
    old = [put(directory, "worker-1-1.json", host="elsewhere/1"), directory / ".worker-2-1.json.new"]
    old[1].write_bytes(b"{")
    for path in old:
        os.utime(path, (time.time() - 90_000, time.time() - 90_000))
    young = put(directory, "worker-3-1.json", host="elsewhere/1")
    sweep(directory, "worker")
    assert list(directory.iterdir()) == [young]


def test_a_disk_that_is_full_leaves_the_last_beat_as_it_was(directory: Path) -> None:
    path = put(directory)
    before = path.read_bytes()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, limit[1]))  # as if no more would fit
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(OSError, match="too large"):
            write_file(path, b"x" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, ignored)
    assert path.read_bytes() == before
    assert [entry.name for entry in directory.iterdir()] == [path.name]
