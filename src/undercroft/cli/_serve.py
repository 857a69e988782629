"""Application, worker and subscriber in one process."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from typing import TYPE_CHECKING

import anyio

from undercroft.cli._dev_block import block_of
from undercroft.cli._dev_options import GRACE_S, DevOptions
from undercroft.cli._finding import Application, load_application
from undercroft.cli._server import Server
from undercroft.cli._signals import StopRequests
from undercroft.cli._stopping import Runner, hurried_when_forced, stop_all, stop_when_asked

if TYPE_CHECKING:
    from undercroft.app import Infra

_PARENT_INTERVAL_S = 1.0


def serve(options: DevOptions, listener: socket.socket, stop: StopRequests, *, parent_pid: int | None = None) -> int:
    """Load the application and serve it until `stop` is asked for; return the exit code.

    Args:
        options: What to serve.
        listener: Where; closed at the end.
        stop: What the process is told.
        parent_pid: The supervisor; when it is gone, nobody would ever stop this process, so it stops by itself.
    """
    started = time.monotonic()
    application = load_application(options.app)

    def say_ready() -> None:
        seconds = time.monotonic() - started
        print(block_of(application, options, seconds=seconds), flush=True)

    server = Server(application.app, grace_s=int(GRACE_S), on_started=say_ready)
    return asyncio.run(_serve(application, server, options, listener, stop, parent_pid))


async def _serve(
    application: Application,
    server: Server,
    options: DevOptions,
    listener: socket.socket,
    stop: StopRequests,
    parent_pid: int | None,
) -> int:
    infra = application.infra
    runners = _runners(infra, options.concurrency)
    with stop:
        async with hurried_when_forced(infra, stop), infra, anyio.create_task_group() as tasks:
            for runner in runners:
                tasks.start_soon(runner.run)
            if runners:
                tasks.start_soon(stop_when_asked, runners, stop, GRACE_S, name="stop requests")
            tasks.start_soon(_stop_server, server, stop, name="stop server")
            if parent_pid is not None:
                tasks.start_soon(_stop_without, parent_pid, stop, name="watch parent")
            await server.serve(sockets=[listener])
            await stop_all(runners)
            tasks.cancel_scope.cancel()
    return stop.exit_code


def _runners(infra: Infra, concurrency: int) -> list[Runner]:
    if infra.settings.runs_background:  # it starts its own when it is opened
        return []
    runners: list[Runner] = [infra.queue.worker(concurrency=concurrency, grace=GRACE_S)]
    if infra.pubsub.subscriptions:
        runners.append(infra.pubsub.subscriber(grace=GRACE_S))
    return runners


async def _stop_server(server: Server, stop: StopRequests) -> None:
    await stop.asked.wait()
    server.should_exit = True
    await stop.forced.wait()
    server.force_exit = True


async def _stop_without(parent_pid: int, stop: StopRequests) -> None:
    while os.getppid() == parent_pid:  # noqa: ASYNC110 - the kernel has no event for it that works everywhere
        await anyio.sleep(_PARENT_INTERVAL_S)
    stop.stop()
