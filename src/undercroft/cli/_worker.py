"""`undercroft worker`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import click

from undercroft.cli._options import app_argument, concurrency_option, debug_option, read_duration

if TYPE_CHECKING:
    from undercroft.app import Infra


@click.command(short_help="Run jobs and subscriptions until SIGTERM or SIGINT.")
@app_argument
@concurrency_option
@click.option(
    "--queue", "queues", multiple=True, metavar="NAME", help="A queue to work on; may be repeated. Default: all."
)
@click.option(
    "--grace",
    callback=read_duration,
    default="10s",
    show_default=True,
    metavar="TIME",
    help="How long running jobs and handlers may finish.",
)
@debug_option
def worker(*, app: str, concurrency: int, queues: tuple[str, ...], grace: float) -> int:
    """Run the jobs of APP, and handle its subscriptions, until SIGTERM or SIGINT.

    The first signal stops claiming and lets running jobs finish within the grace; what is left then goes back into the
    queue, and its run is not counted. Messages likewise. A second signal gives everything back at once, and the exit
    code is 128 plus the signal's number. Fit to be process 1 of a container.
    """
    from undercroft.cli._signals import end_on_signals

    end_on_signals()  # before the application is imported, which may take long
    import asyncio

    from undercroft.cli._finding import load_infra

    return asyncio.run(_work(load_infra(app), concurrency, queues, grace))


async def _work(infra: Infra, concurrency: int, queues: tuple[str, ...], grace_s: float) -> int:
    import anyio

    from undercroft.cli._signals import StopRequests
    from undercroft.cli._stopping import Runner, hurried_when_forced, stop_when_asked

    # Made before anything is open: a signal that comes meanwhile has somebody to stop.
    worker = infra.queue.worker(queues=queues or None, concurrency=concurrency, grace=grace_s)
    runners: list[Runner] = [worker]
    if infra.pubsub.subscriptions:
        runners.append(infra.pubsub.subscriber(grace=grace_s))
    with StopRequests() as stop:
        async with hurried_when_forced(infra, stop), _without_its_own(infra), anyio.create_task_group() as tasks:
            tasks.start_soon(stop_when_asked, runners, stop, grace_s, name="stop requests")
            _warn_of_idleness(infra, worker.queues)
            async with anyio.create_task_group() as running:
                for runner in runners:
                    running.start_soon(runner.run)
            tasks.cancel_scope.cancel()
    return stop.exit_code


@asynccontextmanager
async def _without_its_own(infra: Infra) -> AsyncIterator[None]:
    """Open and bind `infra`, without the worker that its process kind may ask for: ours has the queues and slots."""
    await infra.open(background=False)
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
