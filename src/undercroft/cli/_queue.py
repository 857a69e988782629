"""`undercroft queue`: look at the queues. What changes them is in `_queue_jobs` and `_queue_admin`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from undercroft.cli import _queue_admin as admin
from undercroft.cli import _queue_jobs as single
from undercroft.cli._on_queue import on_queue, queue_option, shown_age, shown_instant, summary
from undercroft.cli._options import app_argument, debug_option, json_option
from undercroft.cli._output import print_json, print_table

if TYPE_CHECKING:
    from undercroft.queue import JobRecord, Queue

_STATES = ("waiting", "delayed", "blocked", "active", "completed", "failed", "parked")


@click.command(short_help="Count the jobs of every queue.")
@app_argument
@json_option
@debug_option
def show(*, app: str, as_json: bool) -> None:
    """Print how many jobs each queue has in each state, how long the oldest has waited, and what limits it."""
    rows = on_queue(app, _overview, as_json=as_json)
    if as_json:
        print_json(rows)
        return
    headers = ("queue", *_STATES, "oldest", "limits")
    print_table(headers, [_overview_row(row) for row in rows])


async def _overview(opened: Queue) -> list[dict[str, Any]]:
    rows = []
    for name in await opened.queues():
        counts, settings = await opened.counts(queue=name), await opened.settings(name)
        metrics = await opened.metrics(name)
        rows.append(
            {
                "queue": name,
                "counts": {state: getattr(counts, state) for state in _STATES},
                "oldest_waiting_s": metrics.oldest_waiting_s,
                "is_paused": settings.is_paused,
                "max_active": settings.max_active,
                "rate": None if settings.rate is None else {"max": settings.rate.max, "per_s": settings.rate.per_s},
            }
        )
    return rows


def _overview_row(row: dict[str, Any]) -> tuple[str, ...]:
    limits = [
        "paused" if row["is_paused"] else "",
        f"{row['max_active']} at once" if row["max_active"] is not None else "",
        f"{row['rate']['max']} in {row['rate']['per_s']:g}s" if row["rate"] else "",
    ]
    counts = (str(row["counts"][state]) for state in _STATES)
    return (row["queue"], *counts, shown_age(row["oldest_waiting_s"]), ", ".join(filter(None, limits)) or "-")


@click.command(short_help="List jobs, newest first.")
@app_argument
@queue_option
@click.option("--state", type=click.Choice(_STATES), help="Only jobs in this state.")
@click.option("--name", metavar="NAME", help="Only jobs of this name.")
@click.option("--tag", metavar="TAG", help="Only jobs with this tag.")
@click.option("--tenant", metavar="TENANT", help="Only jobs of this tenant.")
@click.option("--error", "error_type", metavar="TYPE", help="Only jobs whose last error has this type.")
@click.option("--text", metavar="TEXT", help="Only jobs with this text in their data or error.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many at most.")
@click.option("--cursor", metavar="CURSOR", help="Go on where the last page ended.")
@json_option
@debug_option
def jobs(*, app: str, queue_name: str | None, limit: int, cursor: str | None, as_json: bool, **wanted: Any) -> None:
    """List the jobs that match every option."""

    async def find(opened: Queue) -> Any:
        return await opened.list_jobs(queue=queue_name, limit=limit, cursor=cursor, **wanted)

    page = on_queue(app, find, as_json=as_json)
    if as_json:
        print_json({"jobs": [summary(record) for record in page.jobs], "cursor": page.cursor})
        return
    print_table(("id", "name", "queue", "state", "runs", "created", "error"), [_job_row(job) for job in page.jobs])
    if page.cursor is not None:
        print(f"more: --cursor {page.cursor}")


def _job_row(job: JobRecord) -> tuple[str, ...]:
    begun = job.failures + job.crashes + (job.state in ("active", "completed"))
    runs = f"{begun}/{job.attempts}"
    return (job.id, job.name, job.queue, str(job.state), runs, shown_instant(job.created_at), job.error_type or "-")


@click.command(short_help="Follow what happens, until interrupted.")
@app_argument
@queue_option
@json_option
@debug_option
def events(*, app: str, queue_name: str | None, as_json: bool) -> None:
    """Print what happens to jobs from now on, a line each; with `--json` a JSON object each."""
    from contextlib import suppress

    from undercroft._core.codec import to_json

    async def follow(opened: Queue) -> None:
        async for event in opened.events([queue_name] if queue_name else None):
            if as_json:
                names = ("type", "queue", "job_id", "at", "fields", "cursor")
                click.echo(to_json({name: getattr(event, name) for name in names}).decode())
            else:
                click.echo(f"{shown_instant(event.at)}  {event.queue}  {event.type:12}  {event.job_id or ''}".rstrip())

    with suppress(KeyboardInterrupt):
        on_queue(app, follow)


@click.command(short_help="Print waits, runs and throughput.")
@app_argument
@click.argument("queue_name", metavar="QUEUE")
@json_option
@debug_option
def stats(*, app: str, queue_name: str, as_json: bool) -> None:
    """Print how long the jobs of QUEUE waited and ran, and how many were finished."""
    metrics = on_queue(app, lambda opened: opened.metrics(queue_name), as_json=as_json)
    if as_json:
        print_json(metrics)
        return
    rows = [(name, *_percentiles(value)) for name, value in (("wait", metrics.wait_s), ("run", metrics.run_s))]
    print_table(("", "p50", "p95", "p99"), rows)


def _percentiles(value: Any) -> tuple[str, str, str]:
    return (shown_age(value.p50), shown_age(value.p95), shown_age(value.p99)) if value else ("-", "-", "-")


@click.group(short_help="Look at the queues and change them.")
def queue() -> None:
    """Look at the queues and change them.

    Opens the queue of APP and nothing else.
    """


for _command in (show, jobs, events, stats, *single.COMMANDS, *admin.COMMANDS):
    queue.add_command(_command)
