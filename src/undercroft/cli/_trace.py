"""`undercroft trace`: one request's story as a waterfall, or the last traces."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from undercroft.cli._options import debug_option, json_option, read_duration
from undercroft.cli._output import print_json, print_table
from undercroft.cli._recent import (
    home_option,
    level_word,
    line_text,
    on_recent,
    painted,
    safe,
    terminal_width,
    while_read,
)

if TYPE_CHECKING:
    from undercroft.monitoring import Story, StoryEntry, TraceSummary

_BAR = 16
_LEFT = 8 + 1 + 9 + 1 + _BAR + 2 + 1
"""Offset, duration and bar, before a name."""
_MAX_INDENT = 12
_LEAST_TEXT = 20
_SHOWN_ID = 12


@click.command(short_help="Print one request's whole story.")
@click.argument("story_id", metavar="[ID]", required=False)
@click.option("--attributes", is_flag=True, help="Print the attributes of every span.")
@click.option("--errors", is_flag=True, help="Without ID: only traces with a span that failed.")
@click.option(
    "--slow", metavar="DURATION", default="0", callback=read_duration, help="Without ID: only traces that took longer."
)
@click.option("--limit", metavar="N", type=click.IntRange(1, 1000), default=20, help="Without ID: how many.")
@home_option
@json_option
@debug_option
def trace(
    *,
    story_id: str | None,
    attributes: bool,
    errors: bool,
    slow: float,
    limit: int,
    home: str | None,
    as_json: bool,
) -> None:
    """Print what a request or job did, in order of time: its spans, log lines and jobs.

    ID is a trace, request, job or span id, or the first six characters or more of one. Without ID the last traces are
    printed. Reads what the application keeps under UNDERCROFT_HOME, and does not load the application.
    """
    with while_read():
        if story_id is None:
            least_ms = slow * 1000
            found = on_recent(
                home, lambda store: store.recent_traces(limit=limit, min_duration_ms=least_ms, only_errors=errors)
            )
            print_json(found) if as_json else _print_list(found)
        else:
            story = on_recent(home, lambda store: store.story(story_id))
            print_json(story) if as_json else _print_story(story, attributes=attributes)


def _print_story(story: Story, *, attributes: bool) -> None:
    for row in story_lines(story, width=terminal_width(), attributes=attributes):
        click.echo(row)


def _print_list(traces: list[TraceSummary]) -> None:
    rows = [
        (
            f"{found.started_at:%m-%d %H:%M:%S}Z",
            shown_ms(found.duration_ms),
            str(found.span_count),
            str(found.line_count),
            str(found.error_count),
            found.trace_id[:_SHOWN_ID],
            safe(found.name),
        )
        for found in traces
    ]
    print_table(("began", "took", "spans", "lines", "errors", "id", "name"), rows)


def story_lines(story: Story, *, width: int, attributes: bool = False) -> Iterator[str]:
    """Yield a story as lines of at most `width` columns, 60 at least."""
    yield from _heading(story)
    start, length = story.start_time_ns, max(1, story.end_time_ns - story.start_time_ns)
    for depth, entry in story.walk():
        began, took, text, level = _parts(entry, attributes=attributes)
        bar = _bar((began - start) / length, None if took is None else took / length)
        duration = "" if took is None else shown_ms(took / 1e6)
        left = f"{shown_offset((began - start) / 1e6):>8} {duration:>9} |{bar}| "
        indent = "  " * min(depth, _MAX_INDENT)
        room = max(_LEAST_TEXT, width - _LEFT - len(indent))
        first, *more = textwrap.wrap(text, room, subsequent_indent="  ", break_on_hyphens=False) or [""]
        yield painted(f"{left}{indent}{first}".rstrip(), level)
        for rest in more:
            yield painted(f"{'':{_LEFT - _BAR - 3}}|{'':{_BAR}}| {indent}{rest}", level)
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


def _parts(entry: StoryEntry, *, attributes: bool) -> tuple[int, int | None, str, str]:
    """Return when an entry began, how long it took, its text, and the level that it is painted as."""
    from undercroft.monitoring import StoryLine

    if isinstance(entry, StoryLine):
        began = round(entry.written_at.timestamp() * 1000) * 1_000_000
        return began, None, f"{level_word(entry)} {line_text(entry)}", entry.level
    span = entry.span
    words = [safe(span.name)]
    if span.status == "error":
        words.append(f"[{safe(span.status_message) or 'error'}]")
    if attributes:
        words += [f"{safe(key)}={safe(str(value))}" for key, value in span.attributes.items()]
    return span.start_time_ns, span.duration_ns, " ".join(words), "error" if span.status == "error" else "info"


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
