"""Reading: one story, the last lines, the last traces."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from undercroft.monitoring._recent._finding import find
from undercroft.monitoring._recent._rows import line_of, span_of
from undercroft.monitoring._recent._tree import tree_of
from undercroft.monitoring._recent._values import Story, StoryLine, TraceSummary
from undercroft.monitoring._tracing._protocol import FinishedSpan

if TYPE_CHECKING:
    import sqlite3

MAX_SPANS = 2_000
MAX_LINES = 5_000
_LINES_AT_ONCE = 500
_WORD = re.compile(r"[^\W_]+")


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which lines are asked for."""

    least_level: int = 0
    since_ms: int = 0
    contains: str = ""
    """Case-folded."""
    logger: str | None = None
    request_id: str | None = None
    trace_id: str | None = None
    job_id: str | None = None

    def may_take(self, body: str) -> bool:
        """Tell whether a row's body can be that of a wanted line: reading each to look into it costs ten times more.

        Letters and digits stand in JSON as they are, whatever is escaped around them.
        """
        folded = body.casefold() if self.contains else ""
        return all(piece in folded for piece in _WORD.findall(self.contains))

    def takes(self, line: StoryLine) -> bool:
        """Tell whether a line is wanted, as far as its row's columns do not say that already."""
        if self.logger is not None and line.logger != self.logger and not line.logger.startswith(f"{self.logger}."):
            return False
        return not self.contains or self.contains in searched_text(line)


def read_story(db: sqlite3.Connection, text: str) -> Story:
    """Return the story of the id that `text` is or begins. Raises as `find` does."""
    whole_id, ids = find(db, text)
    traces, requests, jobs = (_list(part) for part in ids[:3])
    bodies = db.execute(_SPANS, (traces, MAX_SPANS + 1)).fetchall()
    spans = [span_of(body) for (body,) in bodies]
    lines = [line_of(body) for (body,) in db.execute(_LINES, (traces, requests, jobs, MAX_LINES + 1)).fetchall()]
    is_cut = ids.is_cut or len(spans) > MAX_SPANS or len(lines) > MAX_LINES
    return _story(whole_id, spans[:MAX_SPANS], lines[:MAX_LINES], is_cut=is_cut)


def read_lines(db: sqlite3.Connection, wanted: Wanted, *, limit: int) -> tuple[list[StoryLine], int]:
    """Return the last lines that are wanted, in order of time, and the number of the last row there is."""
    found: list[StoryLine] = []
    (last,) = db.execute("SELECT coalesce(max(seq), 0) FROM lines").fetchone()
    for line in filter(wanted.takes, _backwards(db, wanted, last)):
        if len(found) >= limit:
            break
        found.append(line)
    found.reverse()
    return sorted(found, key=lambda line: line.written_at), last


def read_new_lines(db: sqlite3.Connection, wanted: Wanted, after: int) -> tuple[list[StoryLine], int]:
    """Return some of the lines that came after row `after` and are wanted, and the number of the last one looked at."""
    rows = db.execute(_LINES_AFTER, {**_parameters(wanted), "after": after, "limit": _LINES_AT_ONCE}).fetchall()
    if len(rows) < _LINES_AT_ONCE:
        (last,) = db.execute("SELECT coalesce(max(seq), 0) FROM lines").fetchone()
        last = max(last, after)
    else:
        last = rows[-1][0]
    lines = [line for line in (line_of(body) for _, body in rows if wanted.may_take(body)) if wanted.takes(line)]
    return sorted(lines, key=lambda line: line.written_at), last


def read_traces(db: sqlite3.Connection, *, limit: int, min_duration_ms: float, only_errors: bool) -> list[TraceSummary]:
    """Return the traces that were written last, the newest first."""
    rows = db.execute(
        _TRACES, {"limit": limit, "duration": round(min_duration_ms * 1e6), "errors": int(only_errors)}
    ).fetchall()
    return [_summary(row) for row in rows]


def searched_text(line: StoryLine) -> str:
    """Return what `contains` looks into, case-folded: logger, message, `key=value` of the fields, and the error."""
    words = [line.logger, line.message, *(f"{key}={_plain(value)}" for key, value in line.fields.items())]
    if line.error is not None:
        words.append(_plain(line.error))
    return " ".join(words).casefold()


def _story(whole_id: str, spans: list[FinishedSpan], lines: list[StoryLine], *, is_cut: bool) -> Story:
    lines.sort(key=lambda line: line.written_at)
    stamps = [round(line.written_at.timestamp() * 1000) * 1_000_000 for line in lines]
    starts = [span.start_time_ns for span in spans]
    whose: list[FinishedSpan | StoryLine] = [*spans, *lines]
    everything = sorted(zip(starts + stamps, whose, strict=True), key=lambda pair: pair[0])
    return Story(
        id=whole_id,
        trace_ids=_distinct(what.trace_id for _, what in everything),
        request_ids=_distinct(what.request_id for _, what in everything),
        job_ids=_distinct(what.job_id for _, what in everything),
        start_time_ns=_start_of(starts, stamps),
        end_time_ns=max([*(span.end_time_ns for span in spans), *stamps]),
        span_count=len(spans),
        line_count=len(lines),
        error_count=sum(span.status == "error" for span in spans) + sum(line.is_error for line in lines),
        is_cut=is_cut,
        entries=tree_of(spans, lines),
    )


def _start_of(spans: list[int], stamps: list[int]) -> int:
    start = min(spans + stamps)
    # A line's stamp is cut to the millisecond: the first one is not earlier than the span that wrote it.
    return min(spans) if spans and min(spans) - start < 1_000_000 else start


def _distinct(values: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value is not None))


def _backwards(db: sqlite3.Connection, wanted: Wanted, last: int) -> Iterator[StoryLine]:
    before = last + 1
    while True:
        rows = db.execute(_LINES_BEFORE, {**_parameters(wanted), "before": before, "limit": _LINES_AT_ONCE}).fetchall()
        yield from (line_of(body) for _, body in rows if wanted.may_take(body))
        if len(rows) < _LINES_AT_ONCE:
            return
        before = rows[-1][0]


def _parameters(wanted: Wanted) -> dict[str, str | int | None]:
    return {
        "level": wanted.least_level,
        "since": wanted.since_ms,
        "request": wanted.request_id,
        "trace": wanted.trace_id,
        "job": wanted.job_id,
    }


def _summary(row: tuple[str, int, int, int, int, int, str]) -> TraceSummary:
    trace_id, start_ns, end_ns, spans, errors, lines, first = row
    span = span_of(first)
    return TraceSummary(
        trace_id=trace_id,
        name=span.name,
        started_at=datetime.fromtimestamp(start_ns / 1e9, tz=UTC),
        duration_ms=(end_ns - start_ns) / 1e6,
        span_count=spans,
        line_count=lines,
        error_count=errors,
        request_id=span.request_id,
        job_id=span.job_id,
    )


def _plain(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _list(values: Iterable[str]) -> str:
    return msgspec.json.encode(sorted(values)).decode()


_SPANS = """
SELECT body FROM spans WHERE trace_id IN (SELECT value FROM json_each(?)) ORDER BY start_ns, seq LIMIT ?"""
_LINES = """
SELECT body FROM (
    SELECT seq, at_ms, body FROM lines WHERE trace_id IN (SELECT value FROM json_each(?1))
    UNION SELECT seq, at_ms, body FROM lines
    WHERE request_id IN (SELECT value FROM json_each(?2)) AND trace_id IS NULL
    UNION SELECT seq, at_ms, body FROM lines
    WHERE job_id IN (SELECT value FROM json_each(?3)) AND trace_id IS NULL)
ORDER BY at_ms, seq LIMIT ?4"""

_LINES_BEFORE = """
SELECT seq, body FROM lines WHERE seq < :before AND level >= :level AND at_ms >= :since
    AND (:request IS NULL OR request_id = :request) AND (:trace IS NULL OR trace_id = :trace)
    AND (:job IS NULL OR job_id = :job)
ORDER BY seq DESC LIMIT :limit"""
_LINES_AFTER = """
SELECT seq, body FROM lines WHERE seq > :after AND level >= :level AND at_ms >= :since
    AND (:request IS NULL OR request_id = :request) AND (:trace IS NULL OR trace_id = :trace)
    AND (:job IS NULL OR job_id = :job)
ORDER BY seq LIMIT :limit"""

# The last to be written of those that began first: a parent ends after its children.
_TRACES = """
SELECT trace_id, start_ns, end_ns, spans, errors,
       (SELECT count(*) FROM lines WHERE lines.trace_id = recent.trace_id),
       (SELECT body FROM spans WHERE spans.trace_id = recent.trace_id ORDER BY start_ns, seq DESC LIMIT 1)
FROM (
    SELECT trace_id, min(start_ns) AS start_ns, max(end_ns) AS end_ns, count(*) AS spans, sum(is_error) AS errors,
           max(seq) AS newest
    FROM spans GROUP BY trace_id
    HAVING sum(is_error) >= :errors AND max(end_ns) - min(start_ns) >= :duration
    ORDER BY newest DESC LIMIT :limit) AS recent
ORDER BY newest DESC"""
