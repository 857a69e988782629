"""The tree holds every span and line once, whatever their ids say: they may come from anybody's tracer."""

from __future__ import annotations

from collections import Counter

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.monitoring.recent._make import line, span
from undercroft.monitoring import FinishedSpan, SpanLink, StoryEntry, StoryLine, StorySpan
from undercroft.monitoring._recent._rows import line_of
from undercroft.monitoring._recent._tree import MAX_DEPTH, tree_of

_few = st.sampled_from("abcd")


@st.composite
def spans(draw: st.DrawFn) -> FinishedSpan:
    """Spans of few ids, so that doubles, circles, strangers and their own parents are common."""
    link = draw(st.none() | st.tuples(_few, _few))
    return span(
        draw(st.text(max_size=3)),
        trace_id=draw(_few) * 32,
        span_id=draw(_few) * 16,
        parent_span_id=draw(st.none() | _few.map(lambda digit: digit * 16)),
        links=[SpanLink(trace_id=link[0] * 32, span_id=link[1] * 16)] if link else [],
        at_ms=draw(st.integers(0, 5)),
        ms=draw(st.integers(0, 5)),
    )


@st.composite
def lines(draw: st.DrawFn) -> StoryLine:
    inside = draw(st.none() | spans())
    made = line(draw(st.text(max_size=3)), inside=inside, at_ms=draw(st.integers(0, 5)))
    return line_of(msgspec.json.encode(made).decode())


def flat(entries: tuple[StoryEntry, ...]) -> list[StoryEntry]:
    waiting, found = [*entries], []
    while waiting:
        entry = waiting.pop()
        found.append(entry)
        if isinstance(entry, StorySpan):
            waiting += entry.entries
    return found


def key(value: FinishedSpan | StoryLine) -> bytes:
    return msgspec.json.encode(value)


@given(st.lists(spans(), max_size=12), st.lists(lines(), max_size=8))
def test_every_span_and_line_is_there_exactly_once(some: list[FinishedSpan], said: list[StoryLine]) -> None:
    found = flat(tree_of(some, said))

    spans_found = Counter(key(entry.span) for entry in found if isinstance(entry, StorySpan))
    lines_found = Counter(key(entry) for entry in found if isinstance(entry, StoryLine))
    assert spans_found == Counter(map(key, some))
    assert lines_found == Counter(map(key, said))


@given(st.lists(spans(), max_size=12))
def test_spans_beside_each_other_are_in_order_of_time(some: list[FinishedSpan]) -> None:
    top = tree_of(some, [])
    rows = [top, *(entry.entries for entry in flat(top) if isinstance(entry, StorySpan))]
    for row in rows:
        starts = [entry.span.start_time_ns for entry in row if isinstance(entry, StorySpan)]
        assert starts == sorted(starts)


@given(st.lists(spans(), min_size=1, max_size=12))
def test_child_stands_under_its_parent_unless_that_leads_in_a_circle(some: list[FinishedSpan]) -> None:
    for entry in flat(tree_of(some, [])):
        for inner in entry.entries if isinstance(entry, StorySpan) else ():
            assert isinstance(inner, StorySpan)
            under = (entry.span.trace_id, entry.span.span_id)
            allowed = {(inner.span.trace_id, inner.span.parent_span_id)}
            allowed |= {(link.trace_id, link.span_id) for link in inner.span.links}
            assert under in allowed


def test_two_spans_that_are_each_others_parent_are_both_there() -> None:
    a = span("a", trace_id="1" * 32, span_id="a" * 16, parent_span_id="b" * 16)
    b = span("b", trace_id="1" * 32, span_id="b" * 16, parent_span_id="a" * 16, at_ms=1)

    (top,) = tree_of([b, a], [])

    assert isinstance(top, StorySpan)
    assert (top.span.name, [inner.span.name for inner in top.entries if isinstance(inner, StorySpan)]) == ("a", ["b"])


def test_parent_counts_before_a_link() -> None:
    root, other = span("root", ms=9), span("other", at_ms=1)
    link = SpanLink(trace_id=other.trace_id, span_id=other.span_id)
    child = span("child", parent=root, at_ms=2, links=[link])

    top = tree_of([root, other, child], [])

    assert [(e.span.name, len(e.entries)) for e in top if isinstance(e, StorySpan)] == [("root", 1), ("other", 0)]


def test_function_that_calls_itself_two_thousand_times_can_be_written_as_json() -> None:
    chain = [span("0", ms=2_000)]
    for n in range(1, 2_000):
        chain.append(span(str(n), parent=chain[-1], at_ms=n))

    top = tree_of(chain, [])

    assert len(flat(top)) == 2_000
    assert len(msgspec.json.encode(top)) > 2_000
    deepest, depth = top, 0
    while deepest:
        depth += 1
        deepest = tuple(entry for row in deepest if isinstance(row, StorySpan) for entry in row.entries)
    assert depth == MAX_DEPTH


def test_line_in_the_millisecond_of_a_span_comes_after_it_unless_its_time_says_otherwise() -> None:
    outer = span("outer", ms=1)
    inner = span("inner", parent=outer, at_ms=0.5, ms=0.1)
    exact = {**line("exact", inside=outer), "timestamp": "2025-06-15T15:06:40.000250Z"}
    said = [line_of(msgspec.json.encode(one).decode()) for one in (line("cut", inside=outer), exact)]

    (top,) = tree_of([inner, outer], said)

    assert isinstance(top, StorySpan)
    names = [entry.message if isinstance(entry, StoryLine) else entry.span.name for entry in top.entries]
    assert names == ["exact", "inner", "cut"]
