"""`@start_span(...)`: a span around each call."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.monitoring.tracing._taken import Taken
from undercroft.monitoring import SpanUsageError, get_active_span, start_span

pytestmark = pytest.mark.anyio


def test_each_call_has_a_span_of_its_own(taken: Taken) -> None:
    @start_span("add", kind="client", attributes={"unit": "euro"})
    def add(a: int, b: int = 2) -> int:
        assert get_active_span() is not None
        return a + b

    assert (add(1), add(1, b=5)) == (3, 6)
    first, second = taken.spans
    assert first.span_id != second.span_id
    assert [(span.name, span.kind, span.attributes) for span in taken.spans] == [
        ("add", "client", {"unit": "euro"})
    ] * 2


async def test_async_function_is_measured_to_its_end(taken: Taken) -> None:
    @start_span("fetch")
    async def fetch(value: int) -> int:
        assert taken.spans == []
        return value

    assert inspect.iscoroutinefunction(fetch)
    assert await fetch(7) == 7
    assert taken.names == ["fetch"]


async def test_calls_are_children_of_their_callers_span(taken: Taken) -> None:
    @start_span("inner")
    async def inner() -> None: ...

    with start_span("outer") as outer:
        await inner()
    await inner()

    with_parent, without = [span for span in taken.spans if span.name == "inner"]
    assert (with_parent.parent_span_id, without.parent_span_id) == (outer.span_id, None)


def test_given_parent_holds_for_every_call(taken: Taken) -> None:
    parent = start_span("parent")

    @start_span("child", parent=parent)
    def child() -> None: ...

    with start_span("elsewhere"):
        child()

    assert taken.named("child").parent_span_id == parent.span_id


def test_decorating_alone_gives_nothing_on(taken: Taken) -> None:
    @start_span("never called")
    def never() -> None: ...

    assert taken.spans == []


def test_what_the_function_is_called_stays() -> None:
    @start_span("work")
    def documented(a: int) -> int:
        """What it does."""
        return a

    assert (documented.__name__, documented.__doc__) == ("documented", "What it does.")
    assert list(inspect.signature(documented).parameters) == ["a"]


def test_exception_of_the_function_is_recorded_and_goes_on(taken: Taken) -> None:
    @start_span("work")
    def work() -> None:
        raise LookupError("gone")

    with pytest.raises(LookupError):
        work()
    assert taken.only.status_message == "gone"


async def test_object_whose_call_is_async_is_waited_for(taken: Taken) -> None:
    class Fetch:
        async def __call__(self, value: int) -> int:
            assert taken.spans == []
            return value

    assert await start_span("fetch")(Fetch())(7) == 7
    assert taken.names == ["fetch"]


async def test_partial_of_an_async_function_is_waited_for(taken: Taken) -> None:
    async def fetch(value: int) -> int:
        assert taken.spans == []
        return value

    assert await start_span("fetch")(functools.partial(fetch, 7))() == 7


def test_recursion_nests(taken: Taken) -> None:
    @start_span("down")
    def down(depth: int) -> None:
        if depth:
            down(depth - 1)

    down(2)

    leaf, middle, top = taken.spans
    assert (leaf.parent_span_id, middle.parent_span_id, top.parent_span_id) == (middle.span_id, top.span_id, None)


def test_generators_are_refused_with_the_remedy() -> None:
    def numbers() -> Iterator[int]:
        yield 1

    async def rows() -> AsyncIterator[int]:
        yield 1

    for generator in (numbers, rows):
        with pytest.raises(SpanUsageError, match="with start_span"):
            start_span("read")(generator)


def test_span_that_was_used_cannot_decorate() -> None:
    with start_span("work") as span, pytest.raises(SpanUsageError):
        span(lambda: None)
