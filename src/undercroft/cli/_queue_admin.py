"""`undercroft queue`: what holds for, or happens to, a whole queue."""

from __future__ import annotations

from typing import Any

import click

from undercroft.cli._on_queue import on_queue, queue_option, shown_instant
from undercroft.cli._options import app_argument, debug_option, json_option, read_duration
from undercroft.cli._output import print_json, print_table

_yes = click.option("--yes", is_flag=True, help="Do not ask.")
_name = click.argument("name", metavar="QUEUE")


@click.command(short_help="Let no worker take jobs of QUEUE.")
@app_argument
@_name
@debug_option
def pause(*, app: str, name: str) -> None:
    """Let no worker take jobs of QUEUE until it is resumed. Running jobs go on, and enqueueing does."""
    on_queue(app, lambda opened: opened.pause(name))
    click.echo(f"paused {name}")


@click.command(short_help="Undo `pause`.")
@app_argument
@_name
@debug_option
def resume(*, app: str, name: str) -> None:
    """Let workers take jobs of QUEUE again."""
    on_queue(app, lambda opened: opened.resume(name))
    click.echo(f"resumed {name}")


@click.command(short_help="Limit QUEUE in all workers together.")
@app_argument
@_name
@click.option("--max-active", metavar="N|none", help="How many of its jobs may run at once.")
@click.option("--rate", metavar="N/TIME|none", help="How many may begin within a time, as in 100/1m.")
@debug_option
def limit(*, app: str, name: str, max_active: str | None, rate: str | None) -> None:
    """Limit QUEUE in all its workers together; what is not given stays as it is."""
    changes: dict[str, Any] = {}
    if max_active is not None:
        changes["max_active"] = None if max_active == "none" else _number(max_active, "--max-active")
    if rate is not None:
        count, _, per = rate.partition("/")
        changes["rate"] = None if rate == "none" else (_number(count, "--rate"), per or "1s")
    on_queue(app, lambda opened: opened.limit(name, **changes))
    click.echo(f"limited {name}")


def _number(text: str, option: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise click.BadParameter(f"{text!r} is neither a whole number from 1 nor 'none'", param_hint=option)
    return int(text)


@click.command(short_help="Delete the waiting jobs of QUEUE.")
@app_argument
@_name
@click.option("--delayed", is_flag=True, help="Also those that are due later.")
@_yes
@debug_option
def drain(*, app: str, name: str, delayed: bool, yes: bool) -> None:
    """Delete the jobs of QUEUE that wait."""
    _confirm(yes, f"Delete every waiting job of {name!r}?")
    click.echo(f"deleted {on_queue(app, lambda opened: opened.drain(name, delayed=delayed))}")


@click.command(short_help="Delete old jobs of QUEUE.")
@app_argument
@_name
@click.argument("state", type=click.Choice(["completed", "failed", "waiting", "delayed", "parked"]))
@click.option("--older", callback=read_duration, default="0s", metavar="TIME", help="Only those that are older.")
@click.option("--limit", "at_most", type=click.IntRange(1), default=1000, show_default=True, help="How many at most.")
@_yes
@debug_option
def clean(*, app: str, name: str, state: str, older: float, at_most: int, yes: bool) -> None:
    """Delete jobs of QUEUE that came into STATE some time ago."""
    _confirm(yes, f"Delete {state} jobs of {name!r}?")
    deleted = on_queue(app, lambda opened: opened.clean(name, state, older_than=older, limit=at_most))
    click.echo(f"deleted {len(deleted)}")


@click.command(short_help="Delete QUEUE with all that it holds.")
@app_argument
@_name
@click.option("--force", is_flag=True, help="Even while jobs of it run.")
@_yes
@debug_option
def obliterate(*, app: str, name: str, force: bool, yes: bool) -> None:
    """Delete QUEUE with every job in it, finished ones included."""
    _confirm(yes, f"Delete {name!r} and everything in it?")
    on_queue(app, lambda opened: opened.obliterate(name, force=force))
    click.echo(f"deleted {name}")


@click.command(short_help="Group the jobs that failed for good by their reason.")
@app_argument
@queue_option
@click.option("--name", metavar="NAME", help="Only jobs of this name.")
@click.option("--error", "error_type", metavar="TYPE", help="Only errors of this type.")
@click.option("--retry", "do", flag_value="retry", help="Run all of them again.")
@click.option("--purge", "do", flag_value="purge", help="Delete all of them.")
@_yes
@json_option
@debug_option
def dead(*, app: str, queue_name: str | None, do: str | None, yes: bool, as_json: bool, **wanted: Any) -> None:
    """Group the jobs that failed for good by name, type of error and message, most frequent first."""
    matching = {"queue": queue_name, **wanted}
    if do is None:
        reasons = on_queue(app, lambda opened: opened.dead_letters.reasons(**matching), as_json=as_json)
        _print_reasons(reasons, as_json=as_json)
        return
    _confirm(yes or as_json, f"{do.title()} all that match?")
    count = on_queue(app, lambda opened: getattr(opened.dead_letters, do)(**matching), as_json=as_json)
    if as_json:
        print_json({"done": do, "count": count})
    else:
        click.echo(f"{count} jobs: {do}")


def _print_reasons(reasons: Any, *, as_json: bool) -> None:
    if as_json:
        print_json(reasons)
        return
    headers = ("count", "job", "error", "message", "last seen")
    rows = [(str(r.count), r.name, r.error_type, r.message, shown_instant(r.last_at)) for r in reasons]
    print_table(headers, rows)


def _confirm(yes: bool, question: str) -> None:
    if not yes:
        click.confirm(question, abort=True)


COMMANDS = (pause, resume, limit, drain, clean, obliterate, dead)
