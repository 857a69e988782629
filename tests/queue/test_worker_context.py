"""`current_job()`: what a handler knows of its run, and what it can report."""

from typing import Any

import anyio.from_thread
import pytest

from undercroft._core.context import Correlation, Trace, correlate, correlation
from undercroft.queue import JobState, Queue, current_job, define_job
from undercroft.queue.memory import MemoryQueue

pytestmark = pytest.mark.anyio


async def run(handler: Any, **options: Any) -> Any:
    """Run one job, and return its handle's queue and record."""
    job = define_job(name="x", handler=handler, options=options)  # type: ignore[arg-type]
    engine = MemoryQueue()
    async with Queue(engine, [job]) as queue:
        handle = await queue.enqueue(job)
        await queue.worker().drain()
        record = await handle.info()
        assert record is not None
        assert record.state is JobState.COMPLETED, record.error
        return record, await engine.logs(handle.id)


async def test_context_names_the_run() -> None:
    async def look() -> list[Any]:
        run = current_job()
        return [run.name, run.queue, run.attempt, run.attempts, run.is_last_attempt, list(run.tags), run.token > 0]

    record, _ = await run(look, attempts=1, queue="eyes", tags=["a"])
    assert record.result == b'["x","eyes",1,1,true,["a"],true]'


async def test_progress_and_log_are_stored() -> None:
    async def work() -> None:
        await current_job().log("began")
        await current_job().progress({"done": 3, "of": 4})

    record, logs = await run(work)
    assert (record.progress, logs) == (b'{"done":3,"of":4}', ["began"])


async def test_plain_handler_reports_from_its_thread() -> None:
    def work() -> None:
        anyio.from_thread.run(current_job().progress, 0.5)

    record, _ = await run(work)
    assert record.progress == b"0.5"


async def test_run_has_the_request_and_a_span_of_the_trace_of_its_enqueuer() -> None:
    seen: list[Correlation] = []

    async def look() -> None:
        seen.append(correlation())

    trace = Trace.new()
    with correlate(Correlation(request_id="r-1", trace=trace)):
        record, _ = await run(look)

    assert (seen[0].request_id, seen[0].job_id) == ("r-1", record.id)
    assert seen[0].trace is not None
    assert seen[0].trace.trace_id == trace.trace_id
    assert seen[0].trace.span_id != trace.span_id
    assert seen[0].fields()["span_id"] == seen[0].trace.span_id


async def test_run_without_a_trace_begins_one_and_keeps_it() -> None:
    seen: list[str] = []

    async def look() -> None:
        seen.extend(str(correlation().trace) for _ in range(2))

    await run(look)
    assert Trace.parse(seen[0]) is not None
    assert seen[0] == seen[1]


async def test_parent_sees_its_children_and_their_results() -> None:
    from undercroft.queue import Flow

    async def child(number: int) -> int:
        return number * number

    async def parent() -> list[Any]:
        children = await current_job().children()
        return [await current_job().children_results(), [c.state for c in children], [c.queue for c in children]]

    squares = define_job(name="square", handler=child)
    total = define_job(name="total", handler=parent)
    async with Queue(MemoryQueue(), [squares, total]) as queue:
        handle = await queue.enqueue_flow(Flow(total.step(), [squares.step(2), squares.step(3)]))
        await queue.worker().drain()
        result = await handle.result()

    assert result == [[4, 9], ["completed", "completed"], ["default", "default"]]


async def test_run_knows_its_tenant() -> None:
    async def look() -> str | None:
        return current_job().tenant

    job = define_job(name="x", handler=look)
    async with Queue(MemoryQueue(), [job]) as queue:
        handle = await job_of(queue, job, tenant="acme")
        assert await handle.result() == "acme"


async def job_of(queue: Queue, job: Any, **options: Any) -> Any:
    """Enqueue and run one job."""
    handle = await queue.enqueue(job.name, {}, **options)
    await queue.worker().drain()
    return handle
