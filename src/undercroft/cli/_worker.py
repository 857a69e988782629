"""`undercroft worker`."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import click

from undercroft.cli._options import app_argument, concurrency_option, debug_option, read_duration

if TYPE_CHECKING:
    from undercroft.app import Infra


@click.command(short_help="Run jobs, crons and subscriptions until SIGTERM or SIGINT.")
@app_argument
@concurrency_option
@click.option(
    "--queue",
    "queues",
    multiple=True,
    metavar="NAME[=WEIGHT]",
    help="A queue to work on; may be repeated. One of weight 5 is looked at five times as often. Default: all.",
)
@click.option(
    "--grace",
    callback=read_duration,
    default="10s",
    show_default=True,
    metavar="TIME",
    help="How long running jobs and handlers may finish.",
)
@click.option("--max-jobs", type=click.IntRange(1), metavar="N", help="Start anew after this many runs.")
@click.option("--max-rss", metavar="SIZE", help="Start anew when the process is larger than this, as in 512MB.")
@click.option("--health-port", type=click.IntRange(0, 65535), metavar="PORT", help="Answer probes and /metrics there.")
@click.option("--health-host", default="127.0.0.1", show_default=True, metavar="HOST", help="Of --health-port.")
@debug_option
def worker(*, app: str, grace: float, health_port: int | None, health_host: str, **options: Any) -> int:
    """Run the jobs and crons of APP, and handle its subscriptions, until SIGTERM or SIGINT.

    The first signal stops claiming and lets running jobs finish within the grace; what is left then goes back into the
    queue, and its run is not counted. Messages likewise. A second signal gives everything back at once, and the exit
    code is 128 plus the signal's number. Fit to be process 1 of a container.

    With --max-jobs or --max-rss the worker drains in the same way and the process then replaces itself by a new one.
    """
    from undercroft.cli._signals import end_on_signals

    end_on_signals()  # before the application is imported, which may take long
    import asyncio

    from undercroft.cli._address import listen
    from undercroft.cli._finding import load_infra

    listener = None if health_port is None else listen(health_host, health_port)
    code, starts_anew = asyncio.run(_work(load_infra(app), listener, grace, **options))
    if starts_anew:
        _start_anew()
    return code


def _start_anew() -> None:
    """Replace this process by a new one with the same arguments, and the same pid."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - what runs is what was run


async def _work(
    infra: Infra,
    listener: socket.socket | None,
    grace_s: float,
    *,
    concurrency: int,
    queues: tuple[str, ...],
    max_jobs: int | None,
    max_rss: str | None,
) -> tuple[int, bool]:
    """Work, and return the exit code and whether the process should start anew."""
    import anyio

    from undercroft.cli._probes import probed
    from undercroft.cli._signals import StopRequests
    from undercroft.cli._stopping import Runner, hurried_when_forced, stop_all, stop_when_asked

    # Made before anything is open: a signal that comes meanwhile has somebody to stop.
    worker = infra.queue.worker(
        queues=_weights(queues), concurrency=concurrency, grace=grace_s, max_jobs=max_jobs, max_rss=max_rss
    )
    runners: list[Runner] = [worker]
    if infra.pubsub.subscriptions:
        runners.append(infra.pubsub.subscriber(grace=grace_s))
    with StopRequests() as stop:
        async with hurried_when_forced(infra, stop), _without_its_own(infra), anyio.create_task_group() as tasks:
            tasks.start_soon(stop_when_asked, runners, stop, grace_s, name="stop requests")
            _warn_of_idleness(infra, worker.queues)
            async with (
                probed(infra, listener, is_stopping=stop.asked.is_set),
                anyio.create_task_group() as running,
            ):
                for runner in runners[1:]:
                    running.start_soon(runner.run)
                await worker.run()
                await stop_all(runners[1:])  # a worker that starts anew takes the others with it
            tasks.cancel_scope.cancel()
        starts_anew = not stop.asked.is_set()
    return stop.exit_code, starts_anew


def _weights(queues: tuple[str, ...]) -> dict[str, int] | None:
    """Return the queues and weights that `--queue` was given; `None` is all."""
    weights: dict[str, int] = {}
    for given in queues:
        name, has_weight, weight = given.partition("=")
        if has_weight and (not weight.isdecimal() or int(weight) < 1):
            raise click.BadParameter(f"{given!r}: a weight is a whole number from 1", param_hint="--queue")
        weights[name] = int(weight) if has_weight else 1
    return weights or None


@asynccontextmanager
async def _without_its_own(infra: Infra) -> AsyncIterator[None]:
    """Open and bind `infra`, without the worker that its process kind may ask for: ours has the queues and slots."""
    await infra.open(background=False, kind="worker")
    try:
        with infra.bind():
            yield
    finally:
        await infra.close()


def _warn_of_idleness(infra: Infra, queues: tuple[str, ...]) -> None:
    """Say what would otherwise be a worker that waits for ever without a word."""
    from undercroft._core.errors import near_names
    from undercroft.logging import Logger

    log = Logger(module="undercroft.cli")
    if not infra.queue.jobs and not infra.pubsub.subscriptions:
        log.warning("no jobs are registered, so there is nothing to do: list them in Infra(jobs=[…])")
    used = {"default", *(job.options.queue for job in infra.queue.jobs.values())}
    for name in sorted(set(queues) - used):
        log.warning("no job uses this queue by default", queue=name, near=near_names(name, used))
