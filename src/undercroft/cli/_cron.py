"""`undercroft cron`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from undercroft.cli._on_queue import on_queue, shown_instant
from undercroft.cli._options import app_argument, debug_option, json_option
from undercroft.cli._output import print_json, print_table

if TYPE_CHECKING:
    from undercroft.queue import Queue

_name = click.argument("name", metavar="NAME")


@click.group()
def cron() -> None:
    """Look at what runs by the clock, pause it, run it now."""


@cron.command("list", short_help="List the crons of APP.")
@app_argument
@json_option
@debug_option
def list_(*, app: str, as_json: bool) -> None:
    """List the crons of APP with their next firing."""
    crons = on_queue(app, lambda opened: opened.crons.list(), as_json=as_json)
    if as_json:
        print_json([_document(info) for info in crons])
        return
    headers = ("name", "when", "zone", "next", "last", "runs", "")
    print_table(headers, [_row(info) for info in crons])


def _document(info: Any) -> dict[str, Any]:
    return {
        "name": info.name,
        "expression": info.expression,
        "description": info.description,
        "tz": info.tz,
        "is_enabled": info.is_enabled,
        "is_paused": info.is_paused,
        "next": list(info.next_at),
        "last_slot_at": info.last_slot_at,
        "runs": info.runs,
    }


def _row(info: Any) -> tuple[str, ...]:
    following = shown_instant(info.next_at[0]) if info.next_at else "-"
    note = "paused" if info.is_paused else "" if info.is_enabled else "disabled"
    return (info.name, info.expression, info.tz, following, shown_instant(info.last_slot_at), str(info.runs), note)


@cron.command("next", short_help="Print the next firings of NAME.")
@app_argument
@_name
@click.option("-n", "count", type=click.IntRange(1, 1000), default=10, show_default=True, help="How many.")
@json_option
@debug_option
def next_(*, app: str, name: str, count: int, as_json: bool) -> None:
    """Print when NAME fires next, in UTC."""

    async def find(opened: Queue) -> Any:
        return await opened.crons.next(name, count)

    instants = on_queue(app, find, as_json=as_json)
    if as_json:
        print_json(list(instants))
    else:
        click.echo("\n".join(shown_instant(at) for at in instants) or "never")


@cron.command(short_help="Print what became of the last slots of NAME.")
@app_argument
@_name
@json_option
@debug_option
def history(*, app: str, name: str, as_json: bool) -> None:
    """Print what became of the last slots of NAME, newest first."""
    entries = on_queue(app, lambda opened: opened.crons.history(name), as_json=as_json)
    if as_json:
        print_json(entries)
        return
    rows = [(shown_instant(e.slot_at), shown_instant(e.fired_at), str(e.outcome), e.job_id or "-") for e in entries]
    print_table(("slot", "fired", "outcome", "job"), rows)


@cron.command(short_help="Let NAME not fire until it is resumed.")
@app_argument
@_name
@debug_option
def pause(*, app: str, name: str) -> None:
    """Let NAME not fire, in any worker, until it is resumed."""
    on_queue(app, lambda opened: opened.crons.pause(name))
    click.echo(f"paused {name}")


@cron.command(short_help="Undo `pause`.")
@app_argument
@_name
@debug_option
def resume(*, app: str, name: str) -> None:
    """Let NAME fire again, from its next slot on."""
    on_queue(app, lambda opened: opened.crons.resume(name))
    click.echo(f"resumed {name}")


@cron.command(short_help="Run NAME now.")
@app_argument
@_name
@json_option
@debug_option
def run(*, app: str, name: str, as_json: bool) -> None:
    """Enqueue the job of NAME now, beside its slots; a worker runs it."""
    handle = on_queue(app, lambda opened: opened.crons.run_now(name), as_json=as_json)
    if as_json:
        print_json({"job_id": handle.id})
    else:
        click.echo(f"enqueued {handle.id}")
