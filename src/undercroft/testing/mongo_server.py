"""A MongoDB for tests, in this process: real drivers talk to it over their real protocol.

    async with MongoServer() as server:
        async with Mongo(f"{server.url}/shop") as mongo:
            ...
            await server.stop()         # as if it crashed: connections are reset, new ones refused
            await server.start()        # on the same port, with the same data

The documents are kept by mongomock (`pip install mongomock`), whose operators and stages these are; what it lacks is
answered with an error, and so is a command that is not here. What a stand-alone server has no use for is not here
either: transactions, change streams, replica sets, TLS, compression.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from undercroft._core.errors import ConfigError, MissingExtraError, NotOpenError
from undercroft._core.extras import require_module

if TYPE_CHECKING:
    from undercroft.testing._mongo.connection import Connection
    from undercroft.testing._mongo.store import Store

__all__ = ["MongoServer"]

_HOST = "127.0.0.1"


class MongoServer:
    """Listens on a free port of 127.0.0.1, for one `async with`; the data lives as long as this object.

    It runs on the event loop that entered it: clients are asynchronous ones of this loop, or those of another thread
    or process. The port stays its own while it is stopped. Needs pymongo and mongomock.
    """

    def __init__(self, *, require_password: str | None = None) -> None:
        """Make a server; it listens once it is entered.

        Args:
            require_password: Refuse every command of a connection that has not logged in with this password, by
                SCRAM-SHA-256 and with any user name.

        Raises:
            MissingExtraError: pymongo or mongomock is not installed.
            ConfigError: The password is empty.
        """
        if require_password == "":
            raise ConfigError("require_password is empty", hint="leave it out, or give a password")
        self.port = 0
        """Where it listens; known once it is open, and kept while it is stopped."""
        self.command_counts: Counter[str] = Counter()
        """How often each command came in, by its name."""
        self._password = require_password
        self._parts = _load_parts()
        self._store: Store = self._parts.Store()
        self._bound: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()

    @property
    def url(self) -> str:
        """`mongodb://127.0.0.1:port`, with user and password where one is required; add `/database`.

        Raises:
            NotOpenError: It was not entered.
        """
        if not self.port:
            raise NotOpenError("the server has no port yet", hint="use it inside `async with MongoServer() as server:`")
        credentials = "" if self._password is None else f"test:{quote(self._password, safe='')}@"
        return f"mongodb://{credentials}{_HOST}:{self.port}"

    @property
    def connection_count(self) -> int:
        """How many connections are open now, those of the drivers' monitors included."""
        return len(self._connections)

    @property
    def cursor_count(self) -> int:
        """How many cursors wait for somebody to read on."""
        return self._store.cursor_count

    async def __aenter__(self) -> Self:
        self._bound = _bind(self.port)
        self.port = self._bound.getsockname()[1]
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        if self._bound is not None:
            self._bound.close()
            self._bound = None

    async def start(self) -> None:
        """Listen again, after `stop`. Nothing happens when it listens already.

        Raises:
            NotOpenError: It was not entered.
        """
        if self._server is not None:
            return
        if self._bound is None:
            raise NotOpenError("the server was not entered", hint="use it inside `async with MongoServer() as server:`")
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, sock=self._bound)

    async def stop(self) -> None:
        """Reset every connection, forget the cursors, and refuse new connections; the data stays.

        Nothing happens when it is stopped already.
        """
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        # Bound and not listening: the port refuses, and nobody else can take it meanwhile.
        self._bound = _bind(self.port)
        self._store.forget_cursors()
        while self._connections:
            for connection in self._connections:
                connection.reset()
            await asyncio.sleep(0)
        await server.wait_closed()

    def _accept(self) -> Connection:
        login = self._parts.Login(self._password)
        connection: Connection = self._parts.Connection(
            self._store, login, self._connections, self.command_counts, lambda: self._server is not None
        )
        return connection


def _load_parts() -> Any:
    """Return the module that this server is made of; the first call imports pymongo and mongomock."""
    require_module("pymongo", extra="mongo", needed_for="MongoServer")
    try:
        return import_module("undercroft.testing._mongo.connection")
    except ModuleNotFoundError as exc:
        if exc.name != "mongomock":
            raise
        raise MissingExtraError(
            "MongoServer needs the package 'mongomock', which is not installed", hint="pip install mongomock"
        ) from exc


def _bind(port: int) -> socket.socket:
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setblocking(False)
    bound.bind((_HOST, port))
    return bound
