"""However much comes, the file and the memory stay as small as they were promised."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import anyio
import msgspec
import pytest

from tests.monitoring.recent._make import BEGAN_S, line, new_trace_id, span
from undercroft._core.clock import VirtualClock
from undercroft._core.errors import NotOpenError
from undercroft._core.url import Url, UrlError
from undercroft.monitoring import RecentOptions, RecentStore, SpanEvent, SpanLink, StoryLine
from undercroft.monitoring._recent._rows import MAX_BODY_BYTES

pytestmark = pytest.mark.anyio


async def counts(store: RecentStore) -> dict[str, int]:
    def read(db: object) -> dict[str, int]:
        tables = ("spans", "lines", "links")
        return {table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}  # type: ignore[attr-defined]

    return await store._opened.read(read)


@pytest.mark.parametrize("batch", [1, 7, 300])
async def test_number_of_spans_and_lines_never_passes_its_limit(path: Path, clock: VirtualClock, batch: int) -> None:
    options = RecentOptions(max_spans=50, max_lines=80)
    async with RecentStore(path, options=options, clock=clock) as store:
        for n in range(400):
            store.on_end(span(f"{n}", links=[SpanLink(trace_id=new_trace_id(), span_id="a" * 16)]))
            store.on_line(line(f"{n}"))
            if n % batch == 0 or n == 399:
                await store.flush()
                now = await counts(store)
                assert now["spans"] <= 50
                assert now["lines"] <= 80
                assert now["links"] == now["spans"]

        assert (await store.recent_traces())[0].name == "399"
        assert [found.message for found in await store.recent_lines(limit=70)][-1] == "399"
        assert now["spans"] >= 47  # what goes at once is a twentieth
        assert store.dropped_count == 0


async def test_what_is_too_old_goes_also_when_nothing_new_comes(path: Path, clock: VirtualClock) -> None:
    async with RecentStore(path, options=RecentOptions(max_age_s=600), clock=clock) as store:
        store.on_end(span("old"))
        store.on_line(line("old"))
        store.on_line(line("young", at_ms=500_000))
        await store.flush()
        await pass_minutes(clock, store, 9)
        assert (await counts(store))["lines"] == 2

        await pass_minutes(clock, store, 3)

        assert await counts(store) == {"spans": 0, "lines": 1, "links": 0}


async def pass_minutes(clock: VirtualClock, store: RecentStore, minutes: int) -> None:
    """Let time pass, and what it starts in the background be done: that happens in a thread, which has its own time."""
    for _ in range(minutes):
        await clock.advance("61s")
        await store.flush()
        await store.ping()


async def test_reader_removes_nothing_whatever_its_limits(path: Path, clock: VirtualClock) -> None:
    async with RecentStore(path, clock=clock) as store:
        store.on_line(line("old"))
        await store.flush()
    await clock.advance("2d")

    async with RecentStore(path, options=RecentOptions(max_age_s=1), clock=clock) as reader:
        await pass_minutes(clock, reader, 5)
        assert [found.message for found in await reader.recent_lines()] == ["old"]


async def test_file_stays_as_small_as_promised_when_lines_are_huge(path: Path, clock: VirtualClock) -> None:
    options = RecentOptions(max_size_mb=4)
    async with RecentStore(path, options=options, clock=clock) as store:
        for n in range(400):
            store.on_line(line(f"{n} {'x' * 40_000}"))
            store.on_end(span(f"{n}", attributes={"text": "y" * 4_000}))
            if n % 20 == 0:
                await store.flush()
        await store.flush()

        sizes = [file.stat().st_size for file in path.parent.iterdir()]
        newest = await store.recent_lines(limit=1)

    assert sum(sizes) < 4e6 + 2 * 4.2e6  # the rows, one batch more, and SQLite's log
    assert newest[0].message.startswith("399 ")


async def test_numbers_of_rows_are_not_used_again_after_all_were_removed(path: Path, clock: VirtualClock) -> None:
    async with RecentStore(path, options=RecentOptions(max_age_s=60), clock=clock) as store:
        store.on_line(line("first"))
        await store.flush()
        await pass_minutes(clock, store, 3)
        assert (await counts(store))["lines"] == 0

        # A follower that has seen row 1 would not be shown another row 1.
        store.on_line(line("second", at_ms=180_000))
        await store.flush()
        assert await store._opened.read(lambda db: db.execute("SELECT seq FROM lines").fetchall()) == [(2,)]


async def test_huge_span_is_kept_without_what_makes_it_so(store: RecentStore) -> None:
    attributes = {f"key{n}": "x" * 4_000 for n in range(100)}
    event = SpanEvent(name="e", time_ns=1)
    store.on_end(span("huge", attributes=attributes, events=[event], request_id="req-1", status="error"))
    await store.flush()

    (entry,) = (await store.story("req-1")).entries

    assert not isinstance(entry, StoryLine)
    assert (entry.span.name, entry.span.status, entry.span.attributes) == ("huge", "error", {})
    assert (entry.span.dropped_attributes, entry.span.dropped_events) == (100, 1)


async def test_huge_line_is_kept_short_and_says_so(store: RecentStore) -> None:
    error = {"type": "KeyError", "message": "'x'", "stack": "s" * MAX_BODY_BYTES}
    store.on_line(line("huge", level="error", error=error, **{f"f{n}": "y" * 1_000 for n in range(50)}))
    await store.flush()

    (found,) = await store.recent_lines(level="error")

    assert (found.message, found.fields) == ("huge", {"…": "more"})
    assert found.error == {"type": "KeyError", "message": "'x'"}


async def test_what_has_no_room_is_dropped_and_counted_and_what_was_there_stays(path: Path) -> None:
    clock = VirtualClock()
    async with RecentStore(path, options=RecentOptions(max_waiting=10), clock=clock) as store:
        for n in range(25):  # no await: nothing can be written in between
            store.on_line(line(f"{n}", at_ms=n))
        assert store.dropped_count == 15
        await store.flush()

        assert [found.message for found in await store.recent_lines()] == [str(n) for n in range(10)]
        assert store.written_count == 10


async def test_what_was_taken_is_written_a_quarter_of_a_second_later(store: RecentStore, clock: VirtualClock) -> None:
    store.on_line(line("said"))
    await clock.advance("200ms")
    assert store.written_count == 0

    await clock.advance("100ms")
    with anyio.fail_after(10):
        while store.written_count == 0:
            await anyio.sleep(0.005)


async def test_five_hundred_are_written_at_once(store: RecentStore) -> None:
    for _ in range(500):
        store.on_line(line())

    with anyio.fail_after(10):  # the clock stands still
        while store.written_count < 500:
            await anyio.sleep(0.005)


async def test_what_came_before_the_opening_is_kept_and_what_comes_after_the_closing_is_counted(
    path: Path, clock: VirtualClock
) -> None:
    store = RecentStore(path, clock=clock)
    store.on_line(line("before"))
    async with store:
        store.on_line(line("last"))
    store.on_line(line("after"))
    store.on_end(span("after"))
    assert store.dropped_count == 2

    async with store:
        assert [found.message for found in await store.recent_lines()] == ["before", "last"]


async def test_closing_by_the_tracer_writes_what_is_left_and_lines_go_on(store: RecentStore) -> None:
    store.on_end(span("last", request_id="req-1"))
    await store.aclose()
    store.on_line(line("closed", request_id="req-1"))
    await store.aclose()

    assert (await store.story("req-1")).line_count == 1


async def test_reading_before_it_is_open_is_an_error(path: Path) -> None:
    with pytest.raises(NotOpenError):
        await RecentStore(path).recent_lines()


async def test_threads_lose_nothing_and_the_count_is_exact(path: Path) -> None:
    options = RecentOptions(max_waiting=2_000)
    async with RecentStore(path, options=options, clock=VirtualClock()) as store:

        def say(number: int) -> None:
            for n in range(1_000):
                store.on_line(line(f"{number} {n}"))
                store.on_end(span("s"))

        threads = [threading.Thread(target=say, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        with anyio.fail_after(20):
            while any(thread.is_alive() for thread in threads):
                await anyio.sleep(0.001)
        await store.flush()

        assert store.written_count + store.dropped_count == 16_000
        now = await counts(store)
        assert now["lines"] + now["spans"] == store.written_count


async def test_taking_costs_its_caller_microseconds(store: RecentStore) -> None:
    kept, best = span("s"), 1.0
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(400):
            store.on_end(kept)
        best = min(best, (time.perf_counter() - began) / 400)
        await store.flush()

    assert best < 20e-6


async def test_value_that_is_no_json_costs_its_own_line_only(store: RecentStore) -> None:
    class Odd:
        pass

    for value in (Odd(), "\ud800", {1: {2: Odd()}}, 10**5_000):
        store.on_line(line("odd", value=value))
    store.on_line(line("fine"))
    store.on_end(span("odd \udfff"))
    await store.flush()

    assert [found.message for found in await store.recent_lines()] == ["fine"]
    assert store.dropped_count == 5
    assert store.problem is None


async def test_moments_that_are_far_off_are_taken(store: RecentStore) -> None:
    far = msgspec.structs.replace(span(request_id="req-1"), start_time_ns=-5, end_time_ns=10**30)
    store.on_end(far)
    store.on_line({"message": "no time, no level", "timestamp": "yesterday"})
    store.on_line({})
    await store.flush()

    assert store.dropped_count == 0
    story = await store.story("req-1")
    assert (story.span_count, story.start_time_ns, story.end_time_ns) == (1, 0, 2**63 - 1)
    assert len(await store.recent_traces()) == 1
    assert [found.written_at.timestamp() for found in await store.recent_lines()] == [BEGAN_S, BEGAN_S]


def test_url_gives_path_and_limits() -> None:
    url = "sqlite:///var/recent.db?max_lines=100&max_age_s=60&max_size_mb=1"

    store = RecentStore.from_url(url)

    assert RecentStore.from_url(Url.parse(url)).options == store.options
    assert store.path == Path("var/recent.db")
    assert store.options == RecentOptions(max_lines=100, max_age_s=60, max_size_mb=1)


@pytest.mark.parametrize(
    "url",
    ["sqlite:///recent.db?max_line=1", "sqlite:///recent.db?max_lines=0", "sqlite://recent.db", "redis:///recent.db"],
)
def test_url_that_cannot_be_meant_is_an_error(url: str) -> None:
    with pytest.raises(UrlError, match="recent"):
        RecentStore.from_url(url)
