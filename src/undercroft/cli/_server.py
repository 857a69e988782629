"""uvicorn, as a guest in a process whose signals and logging belong to somebody else."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from undercroft.asgi import ASGIApp
from undercroft.cli._errors import ServerFailedError


class Server(uvicorn.Server):
    """Serves one application on sockets that are given to it. One life; `should_exit` ends it.

    Args:
        app: The application.
        grace_s: How long running requests may finish, whole seconds.
        on_started: Called when requests are answered.
    """

    def __init__(self, app: ASGIApp, *, grace_s: int, on_started: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,  # what `Infra` set up stays; below, what uvicorn says of itself is left out
                log_level="warning",
                access_log=False,  # InfraMiddleware writes one line for each request
                timeout_graceful_shutdown=grace_s,
            )
        )
        self._on_started = on_started

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: whoever runs this decides."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets=sockets)
        self._on_started()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to stop.

        Raises:
            ServerFailedError: The application's startup failed.
        """
        try:
            await super().serve(sockets=sockets)
        except SystemExit as exc:  # how uvicorn ends the process; it has logged why
            raise ServerFailedError(
                "the application did not start", hint="the log lines before this one say why"
            ) from exc
