"""A story as a waterfall: when each span and line began, how long it took, and what it was."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from undercroft.cli._recent import level_word, line_text, painted, safe

if TYPE_CHECKING:
    from undercroft.monitoring import FinishedSpan, Story, StoryEntry

_BAR = 16
_LEFT = 8 + 1 + 9 + 1 + _BAR + 2 + 1
"""Offset, duration and bar, before a name."""
_MAX_INDENT = 12
_LEAST_TEXT = 20
_NS_PER_MS = 1_000_000


class _Row(NamedTuple):
    began_ns: int
    took_ns: int | None
    """`None` for what takes no time: a line."""
    texts: list[str]
    level: str
    """Which it is painted as."""


def story_lines(story: Story, *, width: int, attributes: bool = False) -> Iterator[str]:
    """Yield a story as lines of at most `width` columns; 82 are enough for the deepest.

    Args:
        attributes: Each attribute of a span on a line of its own.
    """
    yield from _heading(story)
    starts: list[int] = []
    for depth, entry in story.walk():
        row = _row_of(entry, within=starts[depth - 1] if depth else 0, attributes=attributes)
        starts[depth:] = [row.began_ns]
        yield from _row_lines(row, story, indent="  " * min(depth, _MAX_INDENT), width=width)
    if story.is_cut:
        yield "... there is more of it than is shown"


def _heading(story: Story) -> Iterator[str]:
    from datetime import UTC, datetime

    began = datetime.fromtimestamp(story.start_time_ns / 1e9, tz=UTC)
    counts = f"{_counted(story.span_count, 'span')}, {_counted(story.line_count, 'line')}"
    errors = f", {_counted(story.error_count, 'error')}" if story.error_count else ""
    yield f"{began:%Y-%m-%d %H:%M:%S}.{began.microsecond // 1000:03d}Z  {shown_ms(story.duration_ms)}  {counts}{errors}"
    for name, ids in (("trace", story.trace_ids), ("request", story.request_ids), ("job", story.job_ids)):
        for one in ids:
            yield f"{name:<8} {safe(one)}"
    yield ""


def _row_of(entry: StoryEntry, *, within: int, attributes: bool) -> _Row:
    from undercroft.monitoring import StoryLine

    if isinstance(entry, StoryLine):
        began = round(entry.written_at.timestamp() * 1000) * _NS_PER_MS
        if 0 < within - began < _NS_PER_MS:
            began = within  # its time is cut to the millisecond: it is not earlier than the span that wrote it
        return _Row(began, None, [f"{level_word(entry)} {line_text(entry)}"], entry.level)
    span = entry.span
    texts = [" ".join([safe(span.name), *_failure(span)])]
    if attributes:
        texts += [f"  {safe(key)}={safe(str(value))}" for key, value in span.attributes.items()]
    return _Row(span.start_time_ns, span.duration_ns, texts, "error" if span.status == "error" else "info")


def _failure(span: FinishedSpan) -> Iterator[str]:
    if span.status == "error":
        kind = span.attributes.get("error.type")
        parts = [part for part in (str(kind) if kind else "", span.status_message) if part]
        yield f"[{safe(': '.join(parts)) or 'error'}]"


def _row_lines(row: _Row, story: Story, *, indent: str, width: int) -> Iterator[str]:
    length = max(1, story.end_time_ns - story.start_time_ns)
    offset = row.began_ns - story.start_time_ns
    bar = _bar(offset / length, None if row.took_ns is None else row.took_ns / length)
    took = "" if row.took_ns is None else shown_ms(row.took_ns / _NS_PER_MS)
    left = f"{shown_offset(offset / _NS_PER_MS):>8} {took:>9} |{bar}| "
    room = max(_LEAST_TEXT, width - _LEFT - len(indent))
    for text in _wrapped(row.texts, room):
        yield painted(f"{left}{indent}{text}".rstrip(), row.level)
        left = f"{'':{_LEFT - _BAR - 3}}|{'':{_BAR}}| "


def _wrapped(texts: list[str], room: int) -> Iterator[str]:
    for text in texts:
        yield from textwrap.wrap(text, room, subsequent_indent="  ", break_on_hyphens=False) or [""]


def _bar(begin: float, length: float | None) -> str:
    at = min(_BAR - 1, max(0, int(begin * _BAR)))
    if length is None:
        return f"{'':{at}}.".ljust(_BAR)
    end = min(_BAR, max(at + 1, round((begin + length) * _BAR)))
    return f"{'':{at}}{'=' * (end - at)}".ljust(_BAR)


def shown_ms(milliseconds: float) -> str:
    """Write a duration in at most nine characters."""
    if milliseconds < 9_999.95:
        return f"{milliseconds:.1f} ms"
    seconds = milliseconds / 1000
    return f"{seconds:.1f} s" if seconds < 99_999.95 else f"{seconds / 86_400:.1f} d"


def shown_offset(milliseconds: float) -> str:
    """Write how long after the beginning something began, in at most eight characters."""
    if milliseconds < 99_999.95:
        return f"+{max(0.0, milliseconds):.1f}"
    seconds = milliseconds / 1000
    return f"+{seconds:.0f}s" if seconds < 999_999.5 else f"+{seconds / 86_400:.0f}d"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
