"""Application, worker and scheduler in one process."""

from __future__ import annotations

import asyncio
import os
import socket
import time

import anyio

from undercroft.cli._dev_block import block_of
from undercroft.cli._dev_options import GRACE_S, DevOptions
from undercroft.cli._finding import Application, load_application
from undercroft.cli._server import Server
from undercroft.cli._signals import StopRequests
from undercroft.cli._stopping import stop_worker_when_asked

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
    worker = infra.queue.worker(concurrency=options.concurrency, grace=GRACE_S)
    with stop:
        async with infra, anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run, name="worker")
            tasks.start_soon(stop_worker_when_asked, worker, stop, GRACE_S, name="stop worker")
            tasks.start_soon(_stop_server, server, stop, name="stop server")
            if parent_pid is not None:
                tasks.start_soon(_stop_without, parent_pid, stop, name="watch parent")
            await server.serve(sockets=[listener])
            await worker.stop()
            tasks.cancel_scope.cancel()
    return stop.exit_code


async def _stop_server(server: Server, stop: StopRequests) -> None:
    await stop.asked.wait()
    server.should_exit = True
    await stop.forced.wait()
    server.force_exit = True


async def _stop_without(parent_pid: int, stop: StopRequests) -> None:
    while os.getppid() == parent_pid:  # noqa: ASYNC110 - the kernel has no event for it that works everywhere
        await anyio.sleep(_PARENT_INTERVAL_S)
    stop.stop()
