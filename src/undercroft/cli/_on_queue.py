"""What the commands on a queue share: how it is opened, and how things are written."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from undercroft.cli._output import kept_for_json

if TYPE_CHECKING:
    from undercroft.queue import JobRecord, Queue

T = TypeVar("T")


def on_queue(app: str, action: Callable[[Queue], Awaitable[T]], *, as_json: bool = False) -> T:
    """Open the queue of `app` for one action and return what that returns."""
    import asyncio

    from undercroft.cli._finding import load_infra

    async def run() -> T:
        async with infra.queue as opened:
            return await action(opened)

    with kept_for_json(as_json):
        infra = load_infra(app)
        return asyncio.run(run())


def queue_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Take `--queue` as `queue_name`."""
    return click.option("--queue", "queue_name", metavar="NAME", help="Only this queue.")(command)


def summary(job: JobRecord) -> dict[str, Any]:
    """Return a job for JSON, without its data and result, which may be anybody's secrets."""
    return {
        "id": job.id,
        "name": job.name,
        "queue": job.queue,
        "state": str(job.state),
        "priority": job.priority,
        "failures": job.failures,
        "crashes": job.crashes,
        "attempts": job.attempts,
        "tags": list(job.tags),
        "error_type": job.error_type,
        "error": job.error,
        "request_id": job.request_id,
        "worker_id": job.worker_id,
        "parent_id": job.parent_id,
        "created_at": job.created_at,
        "due_at": job.due_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
    }


def shown_age(seconds: float | None) -> str:
    """Write a duration for a table."""
    from undercroft._core.durations import format_seconds

    return "-" if seconds is None else format_seconds(round(seconds, 3))


def shown_instant(at: datetime | None) -> str:
    """Write an instant for a table, in UTC."""
    return "-" if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
