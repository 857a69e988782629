"""The worker as a process: what signals do to it, and what it says when it cannot start."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.cli._process import Running, run, wait_for
from undercroft import Infra
from undercroft.queue import JobRecord, define_job


async def _sleep(seconds: float) -> None: ...


JOBS = [define_job(name=name, handler=_sleep) for name in ("slow", "block", "publish")]
STARTED = "worker started"
LISTENING = "subscriber started"


def _queue(project: Path) -> Infra:
    return Infra(jobs=JOBS, home=project / ".undercroft", log_level="error")


def _enqueue(project: Path, name: str, seconds: float) -> str:
    async def enqueue() -> str:
        async with _queue(project) as infra:
            return (await infra.queue.enqueue(name, {"seconds": seconds})).id

    return anyio.run(enqueue)


def _record(project: Path, job_id: str) -> JobRecord:
    async def look() -> Any:
        async with _queue(project) as infra:
            return await infra.queue.get_job(job_id)

    record: JobRecord = anyio.run(look)
    return record


@pytest.fixture
def worker(project: Path) -> Iterator[Running]:
    """A worker that has started."""
    with Running("worker", "app", "--concurrency", "2", "--grace", "10s", cwd=project) as running:
        running.wait_for_text(STARTED)
        yield running


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_idle_worker_ends_at_once_with_0(number: signal.Signals, worker: Running) -> None:
    worker.send(number)
    assert worker.ended(within=3) == 0
    assert "stopping: no more claims" in worker.err
    assert "worker stopped" in worker.err
    assert worker.out == ""


def test_running_job_may_finish_within_the_grace(worker: Running, project: Path) -> None:
    job_id = _enqueue(project, "slow", 0.5)
    wait_for((project / "started").exists, "the job to start")
    worker.send(signal.SIGTERM)
    assert worker.ended() == 0
    assert (project / "finished").exists()
    assert _record(project, job_id).state == "completed"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("name", ["slow", "block"])
def test_second_signal_gives_the_job_back_at_once(
    name: str, number: signal.Signals, code: int, worker: Running, project: Path
) -> None:
    job_id = _enqueue(project, name, 40)
    wait_for((project / "started").exists, "the job to start")
    worker.send(number)
    worker.wait_for_text("stopping: no more claims")
    worker.insist(number)
    assert worker.ended() == code
    record = _record(project, job_id)
    assert (record.state, record.failures) == ("waiting", 0)


def test_one_request_that_arrives_as_several_signals_is_one(worker: Running, project: Path) -> None:
    job_id = _enqueue(project, "slow", 1)
    wait_for((project / "started").exists, "the job to start")
    worker.send(signal.SIGTERM)
    worker.wait_for_text("stopping: no more claims")
    worker.send(signal.SIGINT)
    worker.send(signal.SIGTERM)
    assert worker.ended() == 0
    assert _record(project, job_id).state == "completed"


def test_grace_that_runs_out_gives_the_job_back_and_is_a_clean_end(project: Path) -> None:
    job_id = _enqueue(project, "slow", 40)
    with Running("worker", "app", "--grace", "200ms", cwd=project) as worker:
        wait_for((project / "started").exists, "the job to start")
        worker.send(signal.SIGTERM)
        assert worker.ended(within=5) == 0
    assert _record(project, job_id).state == "waiting"


def test_signal_during_a_slow_import_is_obeyed(project: Path) -> None:
    (project / "late.py").write_text("import time, pathlib\npathlib.Path('started').touch()\ntime.sleep(40)\n")
    with Running("worker", "late", cwd=project) as worker:
        wait_for((project / "started").exists, "the import to start")
        worker.send(signal.SIGTERM)
        assert worker.ended(within=3) == 143
        assert worker.err == ""


def test_only_the_named_queues_are_worked_on(project: Path) -> None:
    job_id = _enqueue(project, "slow", 0)
    with Running("worker", "app", "--queue", "mail", "--queue", "media", cwd=project) as worker:
        worker.wait_for_text(STARTED)
        assert '"queues":"mail,media"' in worker.err
        assert "no job uses this queue by default" in worker.err
    assert _record(project, job_id).state == "waiting"


def test_store_that_is_away_is_4(project: Path) -> None:
    (project / ".undercroft").mkdir()
    (project / ".undercroft" / "queue.db").write_bytes(b"this is no database" * 100)
    done = run("worker", "app", cwd=project, UNDERCROFT_START_TIMEOUT="200ms")
    assert done.returncode == 4
    assert "error: UC0401 the store .undercroft/queue.db did not take the work" in done.stderr
    assert "Traceback" not in done.stderr


def test_worker_is_fit_to_be_process_1(project: Path) -> None:
    # In a PID namespace of its own it is process 1, for which the kernel drops signals that have no handler.
    prefix = ("unshare", "--pid", "--fork")
    try:
        subprocess.run([*prefix, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this user may not make a PID namespace")
    with Running("worker", "app", cwd=project, prefix=prefix) as unshare:
        unshare.wait_for_text(STARTED)
        children = Path(f"/proc/{unshare.process.pid}/task/{unshare.process.pid}/children").read_text().split()
        started = time.monotonic()
        subprocess.run(["kill", "-TERM", children[0]], check=True)
        assert unshare.ended(within=5) == 0
        assert time.monotonic() - started < 3


@pytest.fixture
def listener(project: Path) -> Iterator[Running]:
    """A worker of an application with a subscription, which has started."""
    with Running("worker", "listener", "--grace", "10s", cwd=project) as running:
        running.wait_for_text(STARTED)
        running.wait_for_text(LISTENING)
        yield running


def test_message_that_is_being_handled_may_finish_within_the_grace(listener: Running, project: Path) -> None:
    _enqueue(project, "publish", 0.5)
    wait_for((project / "received").exists, "the message")
    listener.send(signal.SIGTERM)
    assert listener.ended() == 0
    assert (project / "handled").exists()
    assert "subscriber stopped" in listener.err
    assert "worker stopped" in listener.err


def test_second_signal_gives_the_message_back_at_once(listener: Running, project: Path) -> None:
    _enqueue(project, "publish", 40)
    wait_for((project / "received").exists, "the message")
    listener.send(signal.SIGTERM)
    listener.wait_for_text("stopping: no more claims")
    listener.insist(signal.SIGTERM)
    assert listener.ended() == 143
    assert not (project / "handled").exists()


def test_grace_is_shared_by_jobs_and_messages(project: Path) -> None:
    with Running("worker", "listener", "--grace", "200ms", cwd=project) as listener:
        _enqueue(project, "publish", 40)
        wait_for((project / "received").exists, "the message")
        listener.send(signal.SIGTERM)
        assert listener.ended(within=5) == 0
    assert not (project / "handled").exists()


def test_infra_that_runs_its_own_worker_gets_no_second_one(project: Path) -> None:
    with Running("worker", "listener", cwd=project, UNDERCROFT_PROCESS="all") as listener:
        listener.wait_for_text(LISTENING)
        _enqueue(project, "publish", 0)
        wait_for((project / "handled").exists, "the message")
        listener.send(signal.SIGTERM)
        assert listener.ended() == 0
        assert (listener.err.count(STARTED), listener.err.count(LISTENING)) == (1, 1)


def test_second_signal_cuts_the_closing_short(project: Path) -> None:
    with Running("worker", "slow_to_close", cwd=project) as worker:
        worker.wait_for_text(STARTED)
        worker.send(signal.SIGTERM)
        wait_for((project / "closing").exists, "the closing")
        worker.insist(signal.SIGTERM)
        assert worker.ended() == 143
        assert "email did not close within" in worker.err
        assert "Traceback" not in worker.err
