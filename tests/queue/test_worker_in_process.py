"""`run_in="process"`: a run in a process of its own, which may crash or be killed without the worker."""

import os
from pathlib import Path

import anyio
import pytest

from tests.queue.worker_process_jobs import JOBS, crashes, endless, later, pid, raises, works
from undercroft.queue import JobDefinitionError, JobState, Queue, define_job
from undercroft.queue.memory import MemoryQueue

pytestmark = pytest.mark.anyio


def opened() -> Queue:
    return Queue(MemoryQueue(), JOBS)


async def test_run_is_in_another_process_and_returns_its_result() -> None:
    async with opened() as queue:
        handle = await queue.enqueue(pid, 4)
        await queue.worker().drain()
        child, number, job_id = await handle.result()

    assert child != os.getpid()
    assert (number, job_id) == (5, handle.id)


async def test_exception_comes_back_with_its_name_and_place() -> None:
    async with opened() as queue:
        handle = await queue.enqueue(raises)
        await queue.worker().drain()
        record = await handle.info()

    assert record is not None
    assert (record.error_type, record.error) == ("ZeroDivisionError", "by nothing")
    assert "in raises" in (record.stack or "")


async def test_retry_later_is_understood() -> None:
    async with opened() as queue:
        handle = await queue.enqueue(later)
        await queue.worker().drain()
        record = await handle.info()

    assert record is not None
    assert (record.state, record.failures) == (JobState.DELAYED, 0)


async def test_process_that_is_killed_fails_its_run_and_the_worker_lives_on() -> None:
    async with opened() as queue:
        handle = await queue.enqueue(crashes)
        after = await queue.enqueue(works)
        await queue.worker(concurrency=1).drain()
        record = await handle.info()
        assert await after.result() == "done"

    assert record is not None
    assert (record.state, record.error_type) == (JobState.FAILED, "ProcessDied")


async def test_timeout_kills_the_process(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    async with opened() as queue:
        handle = await queue.enqueue(endless, path=str(path))
        with anyio.fail_after(20):
            await queue.worker().drain()
        record = await handle.info()

    assert record is not None
    assert record.error_type == "JobTimeoutError"
    with pytest.raises(ProcessLookupError):
        os.kill(int(path.read_text()), 0)


async def test_job_that_cannot_be_imported_is_refused_when_the_worker_is_made() -> None:
    hidden = define_job(name="hidden", handler=lambda: None, options={"run_in": "process"})
    async with Queue(MemoryQueue(), [hidden]) as queue:
        with pytest.raises(JobDefinitionError, match="'hidden' has run_in"):
            queue.worker()
