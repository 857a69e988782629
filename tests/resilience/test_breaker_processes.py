"""One breaker of many processes: they probe with so many calls at once, all of them together."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from tests.connections.redis._servers import RedisServer
from undercroft.resilience import create_breakers

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
PROCESSES, CALLS, PROBES = 8, 12, 3
SCRIPT = Path(__file__).with_name("breaker_process.py")


@contextmanager
def processes(url: str, name: str, count: int = PROCESSES) -> Iterator[list[subprocess.Popen[str]]]:
    command = [sys.executable, str(SCRIPT), url, name, str(CALLS)]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(count)
    ]
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield started
    finally:
        for process in started:
            if process.returncode is None:
                process.kill()
                process.communicate()


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def let_in(process: subprocess.Popen[str]) -> int:
    """Return how many calls were let in, once all have been let in or refused."""
    assert process.stdout is not None
    lines = list(iter(process.stdout.readline, "waiting\n"))
    assert set(lines) <= {"in\n"}
    return len(lines)


@pytest.fixture(params=["sqlite", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/breakers.db"
    server: RedisServer = request.getfixturevalue("redis_server")
    return server.url


async def trip(url: str, name: str) -> None:
    async def down() -> None:
        raise ConnectionError

    async with create_breakers(url, timeout="5s") as breakers:
        breaker = breakers.breaker(name, failure_threshold=1, reset_timeout="500ms")
        with pytest.raises(ConnectionError):
            await breaker.call(down)
        assert breaker.state == "open"


async def test_exactly_so_many_probes_are_let_in_over_all_processes(url: str) -> None:
    name = f"processes {uuid.uuid4().hex}"
    with processes(url, name) as started:
        await trip(url, name)
        time.sleep(0.6)
        for process in started:
            go_on(process)
        counts = [await anyio.to_thread.run_sync(let_in, process) for process in started]
        assert sum(counts) == PROBES
        async with create_breakers(url, timeout="5s") as breakers:
            (info,) = [one for one in await breakers.list() if one.name == name]
        assert (info.state, info.probes, info.is_here) == ("half_open", PROBES, False)
        for process in started:
            go_on(process)
        ends = [process.communicate(timeout=20)[0].split()[-2:] for process in started]
        assert sum(int(ok) for ok, _ in ends) == PROBES
        assert sum(int(refused) for _, refused in ends) == PROCESSES * CALLS - PROBES


async def test_what_one_process_opens_is_open_in_all_within_a_second(url: str) -> None:
    name = f"processes {uuid.uuid4().hex}"
    with processes(url, name, 3) as started:
        async with create_breakers(url, timeout="5s") as breakers:
            await breakers.force_open(name)
        time.sleep(0.2)
        for process in started:
            go_on(process)
        for process in started:
            assert let_in(process) == 0
            go_on(process)
        ends = [process.communicate(timeout=20)[0] for process in started]
        assert [end.splitlines()[-1] for end in ends] == [f"done 0 {CALLS}"] * 3
