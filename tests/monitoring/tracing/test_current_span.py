"""Which span is current where, and what log lines and carriers say there."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest

from tests.monitoring.tracing._taken import Taken
from undercroft._core.context import Correlation, LateCorrelation, Trace, correlate, correlation
from undercroft.monitoring import Span, end_span, get_active_span, start_span

pytestmark = pytest.mark.anyio


def test_starting_alone_makes_nothing_current() -> None:
    span = start_span("work")

    assert get_active_span() is None
    assert correlation().trace is None
    assert get_active_span(span.span_id) is span


def test_entered_span_is_current_and_names_the_work_inside() -> None:
    with start_span("outer") as outer:
        assert get_active_span() is outer
        assert correlation().fields() == {"trace_id": outer.trace_id, "span_id": outer.span_id}
        with start_span("inner") as inner:
            assert get_active_span() is inner
            assert correlation().fields()["span_id"] == inner.span_id
        assert get_active_span() is outer
    assert get_active_span() is None
    assert correlation() == Correlation()


def test_child_keeps_its_parents_trace_id(taken: Taken) -> None:
    with start_span("a") as a, start_span("b") as b, start_span("c") as c:
        pass

    assert a.trace_id == b.trace_id == c.trace_id
    assert (a.parent_span_id, b.parent_span_id, c.parent_span_id) == (None, a.span_id, b.span_id)
    assert taken.names == ["c", "b", "a"]


def test_request_id_job_id_and_baggage_stay(taken: Taken) -> None:
    names = Correlation(request_id="r1", job_id="j1", baggage="user=1")
    with correlate(names), start_span("outer"), start_span("inner") as inner:
        here = correlation()

    assert (here.request_id, here.job_id, here.baggage) == ("r1", "j1", "user=1")
    assert here.trace is not None
    assert here.trace.span_id == inner.span_id
    assert [(span.request_id, span.job_id) for span in taken.spans] == [("r1", "j1"), ("r1", "j1")]


def test_names_are_those_of_where_it_was_entered(taken: Taken) -> None:
    span = start_span("work")
    with correlate(Correlation(request_id="r1")), span:
        pass

    assert taken.only.request_id == "r1"


def test_late_names_are_not_made_by_entering() -> None:
    made = []

    def make() -> Correlation:
        made.append(1)
        return Correlation(job_id="j1")

    with start_span("before") as parent, correlate(LateCorrelation(make)), start_span("work", parent=parent):
        assert made == []
        assert correlation().job_id == "j1"


def test_parent_may_be_the_position_that_a_carrier_brought(taken: Taken) -> None:
    remote = Trace(trace_id="4bf92f3577b34da6a3ce929d0e0e4736", span_id="00f067aa0ba902b7", state="vendor=1")
    with correlate(Correlation(trace=remote)), start_span("outer"), start_span("inner"):
        assert correlation().trace is not None
        assert correlation().trace.state == "vendor=1"  # type: ignore[union-attr] # asserted above

    outer, inner = taken.named("outer"), taken.named("inner")
    assert (outer.trace_id, outer.parent_span_id, outer.is_parent_remote) == (remote.trace_id, remote.span_id, True)
    assert (inner.trace_id, inner.is_parent_remote, inner.trace_state) == (remote.trace_id, False, "vendor=1")


def test_names_set_inside_a_span_keep_it_current() -> None:
    with start_span("work") as span, correlate(Correlation(trace=correlation().trace, baggage="user=1")):
        assert get_active_span() is span
        assert start_span("child").parent_span_id == span.span_id


def test_ended_span_is_not_active_but_still_a_parent() -> None:
    with start_span("work") as span:
        end_span(span)
        assert get_active_span() is None
        assert start_span("child").trace_id == span.trace_id


async def test_tasks_and_threads_started_inside_are_inside() -> None:
    async def in_task() -> Span | None:
        return get_active_span()

    with start_span("work") as span:
        task = asyncio.create_task(in_task())
        assert await anyio.to_thread.run_sync(get_active_span) is span
        assert await task is span


async def test_child_started_in_a_task_has_the_spawning_span_as_parent() -> None:
    async def in_task() -> str | None:
        with start_span("child") as child:
            await asyncio.sleep(0)
            return child.parent_span_id

    with start_span("work") as span:
        assert await asyncio.gather(in_task(), in_task()) == [span.span_id, span.span_id]


async def test_span_of_one_task_is_not_current_in_its_neighbour() -> None:
    both_inside = asyncio.Barrier(2)

    async def work(name: str) -> str:
        with start_span(name):
            await asyncio.wait_for(both_inside.wait(), 5)
            current = get_active_span()
            assert current is not None
            return current.name

    assert await asyncio.gather(work("a"), work("b")) == ["a", "b"]


def test_bare_thread_is_outside() -> None:
    with start_span("work"), ThreadPoolExecutor(1) as pool:
        assert pool.submit(get_active_span).result() is None


def test_leaving_in_another_context_raises_nothing_and_restores_both(taken: Taken) -> None:
    span = start_span("work")
    other = contextvars.copy_context()
    other.run(span.__enter__)

    span.__exit__(None, None, None)  # here, where it was never entered

    assert get_active_span() is None
    assert taken.names == ["work"]


async def test_async_generator_that_the_loop_closes_ends_its_span(taken: Taken) -> None:
    async def rows() -> AsyncIterator[int]:
        with start_span("rows"):
            for number in range(10):
                yield number

    async def read_one() -> None:
        async for _ in rows():
            break

    await asyncio.create_task(read_one())
    await asyncio.get_running_loop().shutdown_asyncgens()
    for _ in range(5):
        await asyncio.sleep(0)

    assert taken.names == ["rows"]
    assert get_active_span() is None


def test_leaving_out_of_order_leaves_no_ended_span_current() -> None:
    first, second = start_span("first").__enter__(), start_span("second").__enter__()
    first.__exit__(None, None, None)
    assert get_active_span() is second
    second.__exit__(None, None, None)

    assert get_active_span() is None
    assert correlation() == Correlation()


def test_generator_between_its_yields_shows_its_span_to_its_reader_only() -> None:
    def numbers() -> Iterator[int]:
        with start_span("numbers"):
            yield 1

    with start_span("reader") as reader:
        for _ in numbers():
            pass
        assert get_active_span() is reader


def test_tasks_that_start_each_other_do_not_keep_all_their_spans() -> None:
    import gc
    import weakref

    def step(depth: int) -> weakref.ref[Span]:
        with start_span(f"step {depth}") as span:
            contexts.append(contextvars.copy_context())
        return weakref.ref(span)

    contexts = [contextvars.copy_context()]
    seen = [contexts[-1].run(step, depth) for depth in range(50)]
    del contexts[:-1]
    gc.collect()

    assert sum(ref() is not None for ref in seen) <= 2


def test_deep_nesting_needs_no_deep_recursion() -> None:
    spans = [start_span(f"{depth}").__enter__() for depth in range(3_000)]
    with correlate(Correlation(trace=correlation().trace)):
        assert correlation().trace is not None
    for span in reversed(spans):
        span.__exit__(None, None, None)
    assert get_active_span() is None


async def test_cancelled_work_is_no_error(taken: Taken) -> None:
    entered = asyncio.Event()

    async def work() -> None:
        async with start_span("work"):
            entered.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert (taken.only.status, taken.only.events) == ("unset", [])


def test_many_threads_end_each_span_once(taken: Taken) -> None:
    def work() -> None:
        for _ in range(200):
            with start_span("outer"), start_span("inner"):
                pass

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(taken.spans) == 8 * 200 * 2
    parents = {span.span_id: span.trace_id for span in taken.spans if span.name == "outer"}
    inner = [span for span in taken.spans if span.name == "inner"]
    assert all(parents[span.parent_span_id or ""] == span.trace_id for span in inner)
