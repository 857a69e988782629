"""The spans of jobs: where they are enqueued, and each of their runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests._spans import TakenSpans, taken_spans
from undercroft._core.clock import VirtualClock
from undercroft._core.context import Correlation, Trace, correlate, correlation
from undercroft.monitoring import baggage, get_baggage, start_span
from undercroft.queue import Discard, Job, JobState, Queue, RetryLater, chain, define_job, group
from undercroft.queue.memory import MemoryQueue

pytestmark = pytest.mark.anyio


@pytest.fixture
def taken() -> Iterator[TakenSpans]:
    with taken_spans() as spans:
        yield spans


def job_of(handler: Any, **options: Any) -> Job[..., Any]:
    return define_job(name="shop.work", handler=handler, options=options)  # type: ignore[arg-type]


async def nothing() -> None: ...


async def drained(job: Job[..., Any]) -> str:
    """Run `job` once and return its id."""
    async with Queue(MemoryQueue(), [job]) as queue:
        handle = await queue.enqueue(job)
        await queue.worker().drain()
        return handle.id


async def test_a_run_is_a_child_of_where_its_job_was_enqueued(taken: TakenSpans) -> None:
    with start_span("checkout"):
        job_id = await drained(job_of(nothing, queue="mail"))
    enqueued, run, checkout = taken
    assert [span.name for span in taken] == ["enqueue shop.work", "process shop.work", "checkout"]
    assert (enqueued.kind, run.kind) == ("producer", "consumer")
    assert (enqueued.parent_span_id, run.parent_span_id) == (checkout.span_id, enqueued.span_id)
    assert {span.trace_id for span in taken} == {checkout.trace_id}
    assert (run.job_id, run.attributes["messaging.message.id"]) == (job_id, job_id)
    assert run.attributes["messaging.destination.name"] == enqueued.attributes["messaging.destination.name"] == "mail"
    assert (run.attributes["undercroft.job.attempt"], run.attributes["undercroft.job.outcome"]) == (1, "completed")


async def test_spans_of_a_handler_are_children_of_its_run(taken: TakenSpans) -> None:
    async def work() -> None:
        with start_span("inside"):
            assert correlation().job_id is not None

    await drained(job_of(work))
    _, inside, run = taken
    assert (inside.parent_span_id, inside.trace_id) == (run.span_id, run.trace_id)


async def test_a_failed_run_is_an_error_with_its_exception(taken: TakenSpans) -> None:
    async def work() -> None:
        raise KeyError("price")

    await drained(job_of(work, attempts=1))
    run = taken[-1]
    assert (run.status, run.attributes["error.type"], run.attributes["undercroft.job.outcome"]) == (
        "error",
        "KeyError",
        "failed",
    )
    (event,) = run.events
    assert (event.name, event.attributes["exception.type"]) == ("exception", "KeyError")
    assert "raise KeyError" in str(event.attributes["exception.stacktrace"])


async def test_each_attempt_is_a_span_of_the_same_trace(taken: TakenSpans) -> None:
    async def work() -> None:
        raise KeyError

    job, clock = job_of(work, attempts=2, backoff="fixed"), VirtualClock()
    async with Queue(MemoryQueue(clock), [job], clock=clock) as queue:
        handle = await queue.enqueue(job)
        await queue.worker().drain()
        await clock.advance("1h")
        await queue.worker().drain()
        assert (await handle.state()) is JobState.FAILED
    enqueued, first, second = taken
    assert [span.attributes["undercroft.job.outcome"] for span in (first, second)] == ["retried", "failed"]
    assert {first.parent_span_id, second.parent_span_id} == {enqueued.span_id}


@pytest.mark.parametrize(("error", "outcome"), [(RetryLater("1h"), "postponed"), (Discard("not wanted"), "completed")])
async def test_what_a_handler_asks_for_is_no_error(taken: TakenSpans, error: Exception, outcome: str) -> None:
    async def work() -> None:
        raise error

    await drained(job_of(work))
    assert (taken[-1].status, taken[-1].attributes["undercroft.job.outcome"]) == ("unset", outcome)


async def test_a_trace_that_is_not_sampled_runs_without_spans(taken: TakenSpans) -> None:
    seen: list[Trace | None] = []

    async def work() -> None:
        seen.append(correlation().trace)

    trace = Trace(trace_id="a" * 32, span_id="b" * 16, is_sampled=False, state="one=1")
    with correlate(Correlation(trace=trace)):
        await drained(job_of(work))
    assert taken == []
    assert seen[0] is not None
    assert (seen[0].trace_id, seen[0].is_sampled, seen[0].state) == ("a" * 32, False, "one=1")


async def test_baggage_goes_with_the_job() -> None:
    seen: list[dict[str, str]] = []

    async def work() -> None:
        seen.append(dict(get_baggage()))

    with baggage(user="ann b"):
        await drained(job_of(work))
    assert seen == [{"user": "ann b"}]


async def test_jobs_that_are_stored_together_share_one_span(taken: TakenSpans) -> None:
    job = job_of(nothing)
    async with Queue(MemoryQueue(), [job]) as queue:
        await queue.enqueue_many(job, [{}] * 3)
        await queue.enqueue_flow(chain(job.step(), job.step()))
        await queue.enqueue_group(group(job.step(), job.step()))
    assert [span.attributes["messaging.batch.message_count"] for span in taken] == [3, 2, 2]
