"""The worker as a process that others look after: its probes, and starting anew."""

from __future__ import annotations

import json
import signal
import socket
import urllib.error
import urllib.request
from pathlib import Path

import anyio
import pytest

from tests.cli._process import Running, run, wait_for
from undercroft import Infra
from undercroft.queue import define_job


async def _sleep(seconds: float) -> None: ...


async def _note(text: str) -> None: ...


JOBS = [define_job(name="slow", handler=_sleep), define_job(name="note", handler=_note)]


def enqueue(project: Path, name: str, *datas: dict[str, object]) -> None:
    async def add() -> None:
        async with Infra(jobs=JOBS, home=project / ".undercroft", log_level="error") as infra:
            for data in datas:
                await infra.queue.enqueue(name, data)

    anyio.run(add)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def get(port: int, path: str) -> tuple[int, dict[str, object]]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.loads(refused.read())


def test_worker_answers_probes_on_a_port_of_its_own(project: Path) -> None:
    port = free_port()
    with Running("worker", "app", "--health-port", str(port), cwd=project) as worker:
        worker.wait_for_text("worker started")

        assert get(port, "/livez") == (200, {"status": "healthy"})
        status, report = get(port, "/readyz?verbose")
        assert (status, report["status"]) == (200, "healthy")
        assert get(port, "/other")[0] == 404

        enqueue(project, "slow", {"seconds": 3})
        wait_for((project / "started").exists, "the job to start")
        worker.send(signal.SIGTERM)
        worker.wait_for_text("stopping")
        assert get(port, "/livez")[0] == 200
        assert get(port, "/readyz")[0] == 503
        assert worker.ended() == 0


def test_port_that_is_taken_is_4(project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = run("worker", "app", "--health-port", str(listener.getsockname()[1]), cwd=project)
    assert done.returncode == 4
    assert done.stderr.startswith("error: UC3101")


@pytest.mark.parametrize("limit", [("--max-jobs", "1"), ("--max-rss", "1MB")])
def test_worker_that_did_enough_starts_anew_with_the_same_pid(limit: tuple[str, str], project: Path) -> None:
    enqueue(project, "note", {"text": "first"})
    with Running("worker", "app", *limit, cwd=project) as worker:
        worker.wait_for_text("worker started", count=2)
        assert (project / "noted").read_text() == f"first {worker.process.pid}"
        enqueue(project, "note", {"text": "second"})
        wait_for(lambda: (project / "noted").read_text() == f"second {worker.process.pid}", "the second job")


def test_weight_that_is_no_number_is_2(project: Path) -> None:
    done = run("worker", "app", "--queue", "mail=much", cwd=project)
    assert done.returncode == 2
    assert "mail=much" in done.stderr
