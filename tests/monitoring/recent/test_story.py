"""From an id, or the beginning of one, to everything that belongs to it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.monitoring.recent._make import line, new_trace_id, span
from undercroft.monitoring import (
    FinishedSpan,
    RecentStore,
    SpanEvent,
    SpanLink,
    Story,
    StoryAmbiguousError,
    StoryLine,
    StoryNotFoundError,
)

pytestmark = pytest.mark.anyio


async def keep(store: RecentStore, *items: FinishedSpan | dict[str, Any]) -> None:
    for item in items:
        store.on_end(item) if isinstance(item, FinishedSpan) else store.on_line(item)
    await store.flush()
    assert store.dropped_count == 0


def shape(story: Story) -> list[str]:
    """Return the names and messages of a story, indented by their depth."""
    return [
        "  " * depth + (entry.message if isinstance(entry, StoryLine) else entry.span.name)
        for depth, entry in story.walk()
    ]


async def test_story_has_spans_and_lines_in_one_tree_in_order_of_time(store: RecentStore) -> None:
    request = span("request", ms=50, request_id="req-00001")
    query = span("query", parent=request, at_ms=10, ms=5)
    send = span("send", parent=request, at_ms=30, ms=5)
    said = [line("begun", inside=request, at_ms=2), line("slow", inside=query, at_ms=12)]
    await keep(store, line("done", inside=request, at_ms=48), send, query, *said, request)

    story = await store.story("req-00001")

    assert shape(story) == ["request", "  begun", "  query", "    slow", "  send", "  done"]
    assert (story.id, story.trace_ids, story.request_ids) == ("req-00001", (request.trace_id,), ("req-00001",))
    assert (story.span_count, story.line_count, story.error_count, story.is_cut) == (3, 3, 0, False)
    assert (story.start_time_ns, story.duration_ms) == (request.start_time_ns, 50)


@pytest.mark.parametrize("which", ["trace", "request", "job", "span", "header"])
async def test_every_id_of_a_story_leads_to_it(store: RecentStore, which: str) -> None:
    request = span("request", ms=50, request_id="req-00001")
    job = span("job", parent=request, at_ms=20, job_id="job-00001")
    await keep(store, request, job, line("hello", inside=job, at_ms=21), span("another"))
    ids = {
        "trace": request.trace_id,
        "request": "req-00001",
        "job": "job-00001",
        "span": job.span_id,
        "header": f"00-{request.trace_id}-{job.span_id}-01",
    }

    story = await store.story(ids[which])

    assert shape(story) == ["request", "  job", "    hello"]
    assert story.job_ids == ("job-00001",)


async def test_job_with_a_trace_of_its_own_stands_under_the_span_that_it_links_to(store: RecentStore) -> None:
    request = span("request", ms=50)
    enqueue = span("enqueue", parent=request, at_ms=5)
    link = SpanLink(trace_id=enqueue.trace_id, span_id=enqueue.span_id)
    job = span("job", at_ms=5_000, job_id="job-00001", links=[link])
    await keep(store, request, enqueue, job, line("sent", inside=job, at_ms=5_001))

    for text in (request.trace_id, job.trace_id, "job-00001"):
        assert shape(await store.story(text)) == ["request", "  enqueue", "    job", "      sent"]


async def test_traces_of_one_request_are_one_story(store: RecentStore) -> None:
    first, second = (span(name, at_ms=at, request_id="req-00001") for name, at in (("first", 0), ("second", 9)))
    await keep(store, second, first)

    story = await store.story(second.trace_id)

    assert shape(story) == ["first", "second"]
    assert story.trace_ids == (first.trace_id, second.trace_id)


async def test_lines_without_any_span_are_a_story_too(store: RecentStore) -> None:
    named = {"request_id": "req-00001"}
    await keep(store, line("b", at_ms=5, **named), line("a", at_ms=1, **named), line("not of it"))

    assert shape(await store.story("req-00001")) == ["a", "b"]


async def test_line_of_a_span_that_has_not_ended_is_found_by_that_span(store: RecentStore) -> None:
    running = span("running")
    await keep(store, line("working", inside=running))

    assert shape(await store.story(running.span_id)) == ["working"]


async def test_span_comes_back_as_it_was(store: RecentStore) -> None:
    sent = span(
        "all of it",
        kind="client",
        attributes={"text": "a\u2028b 'c' 💥", "yes": True, "n": 2**53, "ratio": 0.5, "list": ["a", "b"]},
        events=[SpanEvent(name="exception", time_ns=5, attributes={"exception.type": "KeyError"})],
        links=[SpanLink(trace_id=new_trace_id(), span_id="ab" * 8, attributes={"k": [1, 2]})],
        status="error",
        status_message="KeyError: 'x'",
        trace_state="vendor=1",
        request_id="req-00001",
    )
    await keep(store, sent)

    (entry,) = (await store.story("req-00001")).entries

    assert not isinstance(entry, StoryLine)
    assert entry.span == sent


async def test_line_comes_back_with_its_fields_and_those_whose_names_were_taken(store: RecentStore) -> None:
    error = {"type": "KeyError", "message": "'x'", "stack": "…"}
    await keep(store, line("bad", level="error", at_ms=1, order_id=7, error=error, fields={"level": "mine"}))

    (got,) = await store.recent_lines()

    assert (got.message, got.level, got.logger) == ("bad", "error", "shop")
    assert got.fields == {"order_id": 7, "level": "mine"}
    assert got.error == error
    assert got.written_at.isoformat() == "2025-06-15T15:06:40.001000+00:00"


async def test_errors_of_spans_and_lines_are_counted(store: RecentStore) -> None:
    failed = span("failed", status="error")
    await keep(store, failed, *(line("x", inside=failed, level=level) for level in ("warning", "error", "critical")))

    assert (await store.story(failed.trace_id)).error_count == 3


async def test_story_is_json(store: RecentStore) -> None:
    outer = span("outer")
    await keep(store, outer, span("inner", parent=outer), line("said", inside=outer))

    document = msgspec.json.decode(msgspec.json.encode(await store.story(outer.trace_id)))

    (top,) = document["entries"]
    assert (top["type"], top["span"]["name"]) == ("span", "outer")
    assert [entry["type"] for entry in top["entries"]] == ["span", "line"]


# --- Beginnings of ids ------------------------------------------------------------------------------------------------


async def test_six_characters_are_enough_when_they_are_unique(store: RecentStore) -> None:
    one, other = span("one", trace_id="abcdef1" + "0" * 25), span("other", trace_id="abcdee1" + "0" * 25)
    await keep(store, one, other)

    assert (await store.story("abcdef")).id == one.trace_id
    assert (await store.story("ABCDEE")).id == other.trace_id
    with pytest.raises(StoryNotFoundError, match="'abcde'"):
        await store.story("abcde")


async def test_ambiguous_beginning_names_the_candidates(store: RecentStore) -> None:
    both = [span(name, trace_id=f"abcdef{name}".ljust(32, "0")) for name in ("1", "2")]
    await keep(store, *both)

    with pytest.raises(StoryAmbiguousError, match="2 ids of different stories begin with 'abcdef'") as caught:
        await store.story("abcdef")

    assert caught.value.candidates == tuple(found.trace_id for found in both)
    assert caught.value.http_status == 409


async def test_many_candidates_are_not_all_named(store: RecentStore) -> None:
    await keep(store, *(span("x", trace_id=f"abcdef{n:02}".ljust(32, "0")) for n in range(30)))

    with pytest.raises(StoryAmbiguousError, match="at least 9 ids") as caught:
        await store.story("abcdef")
    assert len(caught.value.candidates) == 8


async def test_ids_of_one_story_that_begin_alike_are_not_ambiguous(store: RecentStore) -> None:
    request = span("request", request_id="01JDAAAAAAB")
    await keep(store, request, *(span("job", parent=request, job_id=f"01JDAAAAAA{n}") for n in range(3)))

    assert (await store.story("01JDAAAAAA")).span_count == 4


async def test_like_wildcards_in_a_beginning_mean_nothing(store: RecentStore) -> None:
    await keep(store, span("x", request_id="abcdefgh"))

    for text in ("abc%efgh", "abc_efgh", "%%%%%%", "", "      ", "' OR 1=1"):
        with pytest.raises(StoryNotFoundError):
            await store.story(text)


async def test_unknown_id_tells_what_to_give(store: RecentStore) -> None:
    with pytest.raises(StoryNotFoundError, match="first 6 characters") as caught:
        await store.story("f" * 500)

    assert caught.value.http_status == 404
    assert len(caught.value.message) < 120  # what was asked for is not repeated at any length


# --- Much of it -------------------------------------------------------------------------------------------------------


async def test_request_id_that_a_client_uses_for_everything_gives_the_newest_traces(store: RecentStore) -> None:
    spans = [span(f"{n}", at_ms=n, request_id="always-the-same") for n in range(80)]
    await keep(store, *spans)

    story = await store.story("always-the-same")

    assert story.is_cut
    assert len(story.trace_ids) == 50
    assert story.trace_ids[-1] == spans[-1].trace_id


async def test_own_trace_is_there_when_its_request_has_too_many(store: RecentStore) -> None:
    spans = [span(f"{n}", at_ms=n, request_id="always-the-same") for n in range(80)]
    await keep(store, *spans)

    story = await store.story(spans[0].trace_id)

    assert story.is_cut
    assert spans[0].trace_id in story.trace_ids
    assert len(story.trace_ids) == 50


async def test_batch_that_links_to_many_traces_is_cut(store: RecentStore) -> None:
    senders = [span("send", at_ms=n) for n in range(120)]
    links = [SpanLink(trace_id=sender.trace_id, span_id=sender.span_id) for sender in senders]
    await keep(store, *senders, span("batch", at_ms=500, links=links, job_id="job-00001"))

    story = await store.story("job-00001")

    assert (len(story.trace_ids), story.is_cut) == (50, True)


async def test_huge_story_is_cut_and_says_so(store: RecentStore) -> None:
    outer = span("outer", ms=9_000)
    for n in range(2_100):
        store.on_end(span("inner", parent=outer, at_ms=n))
        if n % 1_000 == 0:
            await store.flush()
    await keep(store, outer)

    story = await store.story(outer.trace_id)

    assert (story.span_count, story.is_cut) == (2_000, True)
