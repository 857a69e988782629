"""Several processes at one cold key: it is computed once, and once more when who computed it was killed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from tests.cache.stores.conftest import need_redis
from tests.connections.redis._servers import RedisServer
from undercroft.cache._leased import LEASE_S

pytestmark = pytest.mark.slow
WORKER = Path(__file__).with_name("worker.py")
PROCESSES, TASKS = 8, 125
DEADLINE_S = 40


class Process:
    """A worker of this test."""

    def __init__(self, url: str, what: str, *, log: Path, namespace: str, count: int = TASKS) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(WORKER), url, namespace, what, str(count), str(log)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def says(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate(timeout=DEADLINE_S)

    def end(self) -> int:
        self._process.communicate(timeout=DEADLINE_S)
        return self._process.returncode


@contextmanager
def processes(url: str, what: str, count: int, *, log: Path, namespace: str) -> Iterator[list[Process]]:
    started = [Process(url, what, log=log, namespace=namespace) for _ in range(count)]
    try:
        assert [process.says() for process in started] == ["up"] * count
        yield started
    finally:
        for process in started:
            process.kill()


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/cache.db"
        return
    need_redis()
    with RedisServer(tmp_path) as server:
        yield server.url


def test_a_cold_key_is_computed_once_by_eight_processes(url: str, tmp_path: Path) -> None:
    log, namespace = tmp_path / "log", uuid4().hex
    with processes(url, "compute", PROCESSES, log=log, namespace=namespace) as workers:
        for worker in workers:
            worker.tell("go")
        assert [worker.says() for worker in workers] == ["done"] * PROCESSES
        assert [worker.end() for worker in workers] == [0] * PROCESSES
    assert log.read_text().splitlines() == ["computed"]


def test_when_who_computes_is_killed_one_other_does(url: str, tmp_path: Path) -> None:
    log, namespace = tmp_path / "log", uuid4().hex
    with (
        processes(url, "compute", 3, log=log, namespace=namespace) as workers,
        processes(url, "hold", 1, log=log, namespace=namespace) as (holder,),
    ):
        for worker in workers:
            worker.tell("go")
        time.sleep(0.3)  # all of them wait for the holder's lease by now; if not, they find it all the same
        holder.kill()
        killed_at = time.monotonic()
        assert [worker.says() for worker in workers] == ["done"] * 3
        assert time.monotonic() - killed_at < LEASE_S + 3
    assert log.read_text().splitlines() == ["computed"] * 2
