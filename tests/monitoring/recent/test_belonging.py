"""What belongs to a story is what is connected: by a trace, a request, or a link, over any number of steps."""

from __future__ import annotations

import itertools
from pathlib import Path

import anyio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.monitoring.recent._make import line, span
from undercroft._core.clock import VirtualClock
from undercroft.monitoring import FinishedSpan, RecentStore, SpanLink, StoryLine

TRACES = [f"{n:032x}" for n in range(1, 8)]
REQUESTS = ["req-00001", "req-00002", "req-00003"]
_numbers = itertools.count()


@st.composite
def kept_spans(draw: st.DrawFn) -> FinishedSpan:
    linked = draw(st.lists(st.sampled_from(TRACES), max_size=2))
    return span(
        trace_id=draw(st.sampled_from(TRACES)),
        request_id=draw(st.none() | st.sampled_from(REQUESTS)),
        links=[SpanLink(trace_id=trace, span_id="f" * 16) for trace in linked],
        at_ms=draw(st.integers(0, 9)),
    )


def connected(start: str, spans: list[FinishedSpan], lines: list[tuple[str | None, str | None]]) -> set[str]:
    """Return every trace, request and linked trace that leads to `start`, by following edges until none is new."""
    edges = [{one.trace_id, link.trace_id} for one in spans for link in one.links]
    edges += [{one.trace_id, one.request_id} for one in spans if one.request_id]
    edges += [{trace, request} for trace, request in lines if trace and request]
    found = {start}
    while more := {name for edge in edges if edge & found for name in edge} - found:
        found |= more
    return found


@given(
    spans=st.lists(kept_spans(), min_size=1, max_size=8),
    lines=st.lists(st.tuples(st.none() | st.sampled_from(TRACES), st.none() | st.sampled_from(REQUESTS)), max_size=5),
    of=st.integers(0, 7),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_story_has_all_that_is_connected_and_nothing_else(
    tmp_path: Path, spans: list[FinishedSpan], lines: list[tuple[str | None, str | None]], of: int
) -> None:
    start = spans[of % len(spans)].trace_id

    async def found() -> tuple[set[str], set[str]]:
        async with RecentStore(tmp_path / f"{next(_numbers)}.db", clock=VirtualClock()) as store:
            for one in spans:
                store.on_end(one)
            for n, (trace, request) in enumerate(lines):
                names = {"trace_id": trace, "request_id": request}
                store.on_line(line(f"{n}", **{key: value for key, value in names.items() if value}))
            await store.flush()
            story = await store.story(start)
            entries = [entry for _, entry in story.walk()]
            said = {entry.message for entry in entries if isinstance(entry, StoryLine)}
            return said, {entry.span.span_id for entry in entries if not isinstance(entry, StoryLine)}

    belongs = connected(start, spans, lines)
    said, ids = anyio.run(found)
    assert ids == {one.span_id for one in spans if one.trace_id in belongs}
    assert said == {str(n) for n, (trace, request) in enumerate(lines) if {trace, request} & belongs}
