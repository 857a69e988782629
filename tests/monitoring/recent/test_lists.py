"""The last lines and traces, by what is asked for, and lines as they come."""

from __future__ import annotations

import itertools
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import anyio
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.monitoring.recent._make import BEGAN_S, line, span
from undercroft._core.clock import VirtualClock
from undercroft._core.durations import DurationError
from undercroft.monitoring import RecentLevelError, RecentStore
from undercroft.monitoring._recent._reading import Wanted, searched_text
from undercroft.monitoring._recent._rows import line_of

pytestmark = pytest.mark.anyio
DEADLINE_S = 10
numbers = itertools.count()
LEVELS = ["debug", "info", "warning", "error", "critical"]


async def keep_lines(store: RecentStore, *lines: dict[str, Any]) -> None:
    for one in lines:
        store.on_line(one)
    await store.flush()
    assert store.dropped_count == 0


async def messages(store: RecentStore, **wanted: Any) -> list[str]:
    return [found.message for found in await store.recent_lines(**wanted)]


async def test_last_lines_are_in_order_of_time_and_no_more_than_asked_for(store: RecentStore) -> None:
    await keep_lines(store, *(line(f"{n}", at_ms=n) for n in (3, 1, 2, 4, 5)))

    assert await messages(store) == ["1", "2", "3", "4", "5"]
    assert await messages(store, limit=2) == ["4", "5"]
    assert await messages(store, limit=0) == []


async def test_level_is_the_least_one(store: RecentStore) -> None:
    await keep_lines(store, *(line(level, level=level, at_ms=n) for n, level in enumerate(LEVELS)))

    assert await messages(store, level="WARN") == ["warning", "error", "critical"]
    assert await messages(store, level="debug") == LEVELS
    assert await messages(store, level="level 35") == ["error", "critical"]


async def test_unknown_level_lists_those_there_are(store: RecentStore) -> None:
    with pytest.raises(RecentLevelError, match="debug, info, warning") as caught:
        await store.recent_lines(level="warnin")
    assert "warning" in caught.value.near


async def test_level_of_somebodys_own_is_kept_by_its_number(store: RecentStore) -> None:
    await keep_lines(store, line("mine", level="level 35"), line("unknown", level="loud"))

    assert await messages(store, level="warning") == ["mine"]
    assert [found.level for found in await store.recent_lines()] == ["level 35", "loud"]


async def test_since_is_how_long_ago_or_when(store: RecentStore, clock: VirtualClock) -> None:
    await keep_lines(store, *(line(f"{n}", at_ms=n * 60_000) for n in range(5)))
    await clock.advance("4m")

    assert await messages(store, since="90s") == ["3", "4"]
    assert await messages(store, since=timedelta(minutes=2)) == ["2", "3", "4"]
    assert await messages(store, since=datetime.fromtimestamp(BEGAN_S + 180, tz=UTC)) == ["3", "4"]
    with pytest.raises(DurationError, match="since"):
        await store.recent_lines(since="soon")


@pytest.mark.parametrize(
    "text",
    ["PAID", "paid in full", "shop.pay", "order_id=7", "user.id=u-1", 'tags=["a","b"]', "KeyError", "GRÖSSE", "%"],
)
async def test_text_is_looked_for_in_all_that_a_line_shows(store: RecentStore, text: str) -> None:
    fields: dict[str, Any] = {"order_id": 7, "user.id": "u-1", "tags": ["a", "b"], "size": "größe 5%"}
    error = {"type": "KeyError", "message": "'x'"}
    await keep_lines(store, line("paid in full", logger="shop.pay", error=error, **fields), line("another"))

    assert await messages(store, contains=text) == ["paid in full"]


async def test_logger_is_itself_and_those_below_it(store: RecentStore) -> None:
    await keep_lines(store, *(line(name, logger=name, at_ms=n) for n, name in enumerate(["a", "a.b", "ab", "b.a"])))

    assert await messages(store, logger="a") == ["a", "a.b"]


async def test_lines_of_a_request_trace_or_job(store: RecentStore) -> None:
    ours = span(request_id="req-1", job_id="job-1")
    await keep_lines(store, line("ours", inside=ours), line("other", inside=span(request_id="req-2", job_id="job-2")))

    assert await messages(store, request_id="req-1") == ["ours"]
    assert await messages(store, trace_id=ours.trace_id) == ["ours"]
    assert await messages(store, job_id="job-1") == ["ours"]
    assert await messages(store, request_id="req-1", job_id="job-2") == []


async def test_rare_line_is_found_behind_thousands_of_others(store: RecentStore) -> None:
    await keep_lines(store, line("needle"), *(line("hay", at_ms=n) for n in range(3_000)))

    assert await messages(store, contains="needle", limit=1) == ["needle"]


@given(
    kept=st.lists(st.tuples(st.sampled_from(LEVELS), st.sampled_from(["a", "b", "c"]), st.integers(0, 9)), max_size=20),
    level=st.sampled_from(LEVELS),
    word=st.sampled_from(["a", "b", ""]),
    limit=st.integers(0, 8),
)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_lines_are_those_that_a_plain_search_finds(
    kept: list[tuple[str, str, int]], level: str, word: str, limit: int, tmp_path: Path
) -> None:
    async def found() -> list[str]:
        path = tmp_path / f"{next(numbers)}.db"
        async with RecentStore(path, clock=VirtualClock()) as store:
            await keep_lines(store, *(line(f"{n} {of}", level=at, at_ms=ms) for n, (at, of, ms) in enumerate(kept)))
            return await messages(store, level=level, contains=word, limit=limit)

    rows = [(ms, n, of) for n, (at, of, ms) in enumerate(kept) if LEVELS.index(at) >= LEVELS.index(level)]
    wanted = [row for row in rows if word in f"shop {row[1]} {row[2]}"]
    last = wanted[len(wanted) - limit :] if limit < len(wanted) else wanted
    assert anyio.run(found) == [f"{n} {of}" for _, n, of in sorted(last, key=lambda row: row[0])]


@given(
    text=st.text(max_size=30),
    value=st.text(max_size=20) | st.integers() | st.lists(st.text(max_size=5), max_size=3),
    cut=st.tuples(st.integers(0, 60), st.integers(0, 60)),
)
def test_line_that_shows_a_text_is_never_passed_over(text: str, value: Any, cut: tuple[int, int]) -> None:
    body = msgspec.json.encode(line(text, key=value)).decode()
    shown = searched_text(line_of(body))
    part = shown[min(cut) : max(cut)]

    assert Wanted(contains=part).may_take(body)
    assert Wanted(contains=part).takes(line_of(body))


# --- Following --------------------------------------------------------------------------------------------------------


async def test_lines_that_come_are_followed_each_once(store: RecentStore) -> None:
    await keep_lines(store, *(line(f"{n}", at_ms=n) for n in range(3)))
    got: list[str] = []

    with anyio.fail_after(DEADLINE_S):
        async with following(store, last=2) as lines:
            got += [(await anext(lines)).message for _ in range(2)]
            for start in (3, 700):
                await keep_lines(store, *(line(f"{n}", at_ms=n) for n in range(start, start + 600)))
                got += [(await anext(lines)).message for _ in range(600)]

    assert got == [str(n) for n in [1, 2, *range(3, 603), *range(700, 1_300)]]


async def test_follower_gets_only_what_it_asks_for(store: RecentStore) -> None:
    with anyio.fail_after(DEADLINE_S):
        async with following(store, last=0, level="error", contains="pay") as lines:
            waiting = anyio.Event()

            async def write() -> None:
                await waiting.wait()
                await keep_lines(store, line("pay", level="info"), line("ship", level="error"))
                await keep_lines(store, line("cannot pay", level="error"))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(write)
                waiting.set()
                assert (await anext(lines)).message == "cannot pay"


def following(store: RecentStore, **wanted: Any) -> aclosing[Any]:
    return aclosing(cast("Any", store.follow_lines(**wanted)))


async def test_follower_of_another_process_sees_the_lines(store: RecentStore, path: Path, clock: VirtualClock) -> None:
    async with RecentStore(path, clock=clock) as reader:
        with anyio.fail_after(DEADLINE_S):
            async with following(reader, last=1) as lines:
                await keep_lines(store, line("before"))
                assert (await anext(lines)).message == "before"
                await keep_lines(store, line("from elsewhere"))
                assert (await anext(lines)).message == "from elsewhere"


# --- Traces -----------------------------------------------------------------------------------------------------------


async def test_last_traces_are_summed_up(store: RecentStore) -> None:
    request = span("GET /", ms=50, request_id="req-1")
    late = span("after", parent=request, at_ms=60, ms=5.25, status="error")
    for kept in (span("inner", parent=request), request, late, span("other", ms=3, job_id="job-1")):
        store.on_end(kept)
    await keep_lines(store, line("a", inside=request), line("b", inside=late))

    other, first = await store.recent_traces()

    assert (first.trace_id, first.name, first.request_id, first.job_id) == (request.trace_id, "GET /", "req-1", None)
    assert (first.span_count, first.line_count, first.error_count) == (3, 2, 1)
    assert (first.duration_ms, first.started_at) == (65.25, datetime.fromtimestamp(BEGAN_S, tz=UTC))
    assert (other.name, other.job_id, other.duration_ms) == ("other", "job-1", 3)


async def test_traces_by_duration_and_errors(store: RecentStore) -> None:
    for n, status in enumerate(["ok", "error", "unset", "error"]):
        store.on_end(span(f"{n}", ms=n + 0.5, status=status))
    await store.flush()

    async def names(**wanted: Any) -> list[str]:
        return [found.name for found in await store.recent_traces(**wanted)]

    assert await names() == ["3", "2", "1", "0"]
    assert await names(limit=2) == ["3", "2"]
    assert await names(min_duration_ms=2.5) == ["3", "2"]
    assert await names(only_errors=True) == ["3", "1"]
    assert await names(only_errors=True, min_duration_ms=3) == ["3"]


async def test_name_of_a_trace_is_its_first_spans_also_when_its_child_began_at_the_same_moment(
    store: RecentStore,
) -> None:
    root = span("root", ms=5)
    for kept in (span("child", parent=root, ms=2), root):
        store.on_end(kept)
    await store.flush()

    assert [found.name for found in await store.recent_traces()] == ["root"]
