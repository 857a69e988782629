from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, assert_type

from undercroft.logging import setup_logging
from undercroft.monitoring import (
    LineFilter,
    RecentOptions,
    RecentStore,
    SpanProcessor,
    Story,
    StoryLine,
    StorySpan,
    TraceSummary,
    setup_tracing,
)

# making
store = RecentStore(Path("recent.db"), options=RecentOptions(max_spans=10, max_age_s=60))
RecentStore("recent.db")  # E: arg-type
RecentOptions(max_rows=5)  # E: call-arg
store.options.max_spans = 5  # E: misc

# taking
processor: SpanProcessor = store
setup_tracing(processors=[store])
setup_logging(also=store.on_line)
line: Mapping[str, Any] = {"message": "said"}
store.on_line(line)
store.on_end(line)  # E: arg-type


# reading
async def reading() -> None:
    async with RecentStore(Path("recent.db")) as opened:
        assert_type(opened, RecentStore)
        assert_type(await opened.story("4bf92f"), Story)
        assert_type(await opened.recent_lines(limit=5, level="error", since="10m", contains="x"), list[StoryLine])
        assert_type(await opened.recent_traces(min_duration_ms=5, only_errors=True), list[TraceSummary])
        await opened.recent_lines(since=timedelta(hours=1))
        await opened.recent_lines(since=datetime.now())
        wanted: LineFilter = {"logger": "shop", "request_id": "01J"}
        await opened.recent_lines(**wanted)
        await opened.recent_lines(5)  # E: call-arg
        await opened.recent_lines(user="ann")  # E: call-arg
        await opened.recent_lines(level=40)  # E: arg-type
        async for followed in opened.follow_lines(last=0, level="warning"):
            assert_type(followed, StoryLine)
        assert_type(opened.dropped_count, int)
        assert_type(opened.problem, str | None)
        await opened.flush()


# showing
def shown(story: Story) -> None:
    for depth, entry in story.walk():
        assert_type(depth, int)
        assert_type(entry, StorySpan | StoryLine)
        if isinstance(entry, StorySpan):
            assert_type(entry.span.duration_ns, int)
            assert_type(entry.entries, tuple[StorySpan | StoryLine, ...])
        else:
            assert_type(entry.written_at, datetime)
    story.span_count = 5  # E: misc
