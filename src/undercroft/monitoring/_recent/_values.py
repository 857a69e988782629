"""What the store of recent spans and lines gives back, and what it can be told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, TypeAlias, TypedDict, Union

import msgspec

from undercroft._core.durations import Duration
from undercroft.monitoring._tracing._protocol import FinishedSpan


class RecentOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How much is kept; also the options of its `sqlite:///` URL. What comes first reached, the oldest rows go."""

    max_spans: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 20_000
    max_lines: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 50_000
    max_age_s: Annotated[float, msgspec.Meta(ge=1)] = 86_400.0
    max_size_mb: Annotated[float, msgspec.Meta(ge=1)] = 256.0
    """Size of the rows on disk; the file may be larger by what its log holds, some 4 MB."""
    max_waiting: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 10_000
    """Spans and lines of one process that wait to be written; more are dropped and counted."""
    busy_timeout_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 5.0
    """How long a write waits for another process's, seconds; after that its rows are dropped and counted."""


class LineFilter(TypedDict, total=False):
    """Which lines are asked for; what is not given matches all."""

    level: str
    """The least one."""
    since: Duration | datetime
    """How long ago, or when."""
    contains: str
    """Text in the logger's name, the message, `key=value` of a field, or the error; case is ignored."""
    logger: str
    """A logger's name, or what it begins with up to a dot: `shop` for `shop.http`."""
    request_id: str
    trace_id: str
    job_id: str


class StoryLine(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="line"):
    """One log line."""

    written_at: datetime
    """To the millisecond."""
    level: str
    logger: str
    module: str | None = None
    """What the `Logger` was given, where it was."""
    message: str
    request_id: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    job_id: str | None = None
    error: Any = None
    """`{"type", "message", "stack", …}`, where an exception was logged."""
    fields: dict[str, Any] = {}

    @property
    def is_error(self) -> bool:
        """Whether its level is `error` or worse."""
        return self.level in {"error", "critical"}


class StorySpan(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="span"):
    """One span, with the lines that were written in it and the spans that it led to, in order of time."""

    span: FinishedSpan
    entries: tuple[StoryEntry, ...] = ()


StoryEntry: TypeAlias = Union[StorySpan, StoryLine]  # noqa: UP007 - recursive


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is kept of one request or job, and of what it led to."""

    id: str
    """The whole id that was found."""
    trace_ids: tuple[str, ...] = ()
    """In order of time, as the two below."""
    request_ids: tuple[str, ...] = ()
    job_ids: tuple[str, ...] = ()
    start_time_ns: int
    """Of its first span or line, nanoseconds since the Unix epoch."""
    end_time_ns: int
    span_count: int
    line_count: int
    error_count: int
    """Spans whose status is `error`, and lines of level `error` or worse."""
    is_cut: bool
    """There is more of it than is shown: 50 traces, 2,000 spans and 5,000 lines are."""
    entries: tuple[StoryEntry, ...] = ()

    @property
    def duration_ms(self) -> float:
        """From its first beginning to its last end."""
        return (self.end_time_ns - self.start_time_ns) / 1e6

    def walk(self) -> Iterator[tuple[int, StoryEntry]]:
        """Yield every span and line with its depth, which is 0 for those at the top, each before what is in it."""
        waiting: list[tuple[int, StoryEntry]] = [(0, entry) for entry in reversed(self.entries)]
        while waiting:
            depth, entry = waiting.pop()
            yield depth, entry
            if isinstance(entry, StorySpan):
                waiting += [(depth + 1, inner) for inner in reversed(entry.entries)]


class TraceSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One trace, for a list of them."""

    trace_id: str
    name: str
    """Of its first span."""
    started_at: datetime
    duration_ms: float
    """From the beginning of its first span to the end of its last."""
    span_count: int
    line_count: int
    error_count: int
    """Spans whose status is `error`."""
    request_id: str | None = None
    job_id: str | None = None
