"""A real uvicorn on a real socket, in a thread of this process."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx2
import uvicorn

from undercroft.asgi import ASGIApp

T = TypeVar("T")
_PATIENCE_S = 10.0


class Server:
    """A server that answers, and the loop it runs in."""

    def __init__(self, app: ASGIApp, **options: Any) -> None:
        self._server = uvicorn.Server(
            uvicorn.Config(app, log_config=None, access_log=False, lifespan="auto", **options)
        )
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = "{}:{}".format(*self._socket.getsockname()[:2])
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="server")

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` in the server's loop."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE_S)

    def start(self) -> None:
        self._thread.start()
        assert self._is_started.wait(_PATIENCE_S)
        assert self._server.started, "the server did not start"

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(_PATIENCE_S)
        assert not self._thread.is_alive()
        self._socket.close()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        original = self._server.startup

        async def startup(sockets: list[socket.socket] | None = None) -> None:
            await original(sockets=sockets)
            self._is_started.set()

        self._server.startup = startup  # type: ignore[method-assign]  # to know when it answers
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            self._is_started.set()


@contextmanager
def served(app: ASGIApp, **options: Any) -> Iterator[Server]:
    """Serve `app` for the block."""
    server = Server(app, **options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def client_of(server: Server) -> Iterator[httpx2.Client]:
    """Talk to a server."""
    with httpx2.Client(base_url=f"http://{server.address}", timeout=_PATIENCE_S, trust_env=False) as client:
        yield client
