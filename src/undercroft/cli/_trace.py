"""`undercroft trace`: one request's story as a waterfall, or the last traces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from undercroft.cli._options import debug_option, json_option, read_duration
from undercroft.cli._output import print_json, print_table
from undercroft.cli._recent import home_option, on_recent, safe, terminal_width, while_read
from undercroft.cli._waterfall import shown_ms, story_lines

if TYPE_CHECKING:
    from undercroft.monitoring import Story, TraceSummary

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
