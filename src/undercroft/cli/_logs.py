"""`undercroft logs`: the last log lines of all processes of the application, and those that come."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from undercroft.cli._options import debug_option, json_option, read_duration
from undercroft.cli._output import print_json
from undercroft.cli._recent import home_option, level_word, line_text, on_recent, painted, safe, while_read

if TYPE_CHECKING:
    from undercroft.monitoring import RecentStore, StoryLine

_LEVELS = ("trace", "debug", "info", "warning", "error", "critical")


def _read_since(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    return None if value is None else read_duration(context, parameter, value)


@click.command(short_help="Print the last log lines of all processes.")
@click.option("-f", "--follow", is_flag=True, help="Go on with the lines that come, until Ctrl-C.")
@click.option("--level", type=click.Choice(_LEVELS, case_sensitive=False), help="The least level.")
@click.option("--grep", "contains", metavar="TEXT", default="", help="Only lines with this text; case is ignored.")
@click.option("--request", "request_id", metavar="ID", help="Only lines of this request.")
@click.option("--logger", metavar="NAME", help="Only lines of this logger and those below it.")
@click.option("--since", metavar="DURATION", callback=_read_since, help="Only lines of the last 10m, 2h, ...")
@click.option("--limit", metavar="N", type=click.IntRange(0, 50_000), default=100, show_default=True, help="How many.")
@home_option
@json_option
@debug_option
def logs(*, follow: bool, limit: int, home: str | None, as_json: bool, **options: Any) -> None:
    """Print the last log lines of all processes of the application, in order of time (UTC).

    Reads what the application keeps under UNDERCROFT_HOME, and does not load the application. With --follow, --json
    prints a JSON object for each line.
    """
    wanted = {name: value for name, value in options.items() if value not in (None, "")}
    with while_read():
        if follow:
            with suppress(KeyboardInterrupt):
                on_recent(home, lambda store: _follow(store, wanted, limit=limit, as_json=as_json))
            return
        lines = on_recent(home, lambda store: store.recent_lines(limit=limit, **wanted))
        if as_json:
            print_json(lines)
            return
        for line in lines:
            click.echo(_text(line))


async def _follow(store: RecentStore, wanted: dict[str, Any], *, limit: int, as_json: bool) -> None:
    from undercroft._core.codec import to_json

    async for line in store.follow_lines(last=limit, **wanted):
        click.echo(to_json(line).decode() if as_json else _text(line))


def _text(line: StoryLine) -> str:
    moment = f"{line.written_at:%H:%M:%S}.{line.written_at.microsecond // 1000:03d}Z"
    tag = line.request_id or line.job_id
    words = [moment, level_word(line), safe(line.logger), line_text(line), f"[{safe(tag)}]" if tag else ""]
    return painted(" ".join(filter(None, words)).rstrip(), line.level)
