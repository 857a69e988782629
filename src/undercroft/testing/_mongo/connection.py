"""One client's connection: messages in, replies out."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from typing import cast

from undercroft.testing._mongo.auth import Login
from undercroft.testing._mongo.commands import run
from undercroft.testing._mongo.errors import Code, CommandFailed
from undercroft.testing._mongo.store import Reply, Store
from undercroft.testing._mongo.wire import Request, WireError, take_requests, write_reply


class Connection(asyncio.Protocol):
    """Runs commands as they come in, one after the other; there is nothing to wait for, so there is no task.

    Args:
        others: The connections that are open; this one is among them for as long as it lives.
        is_serving: Whether the server listens; one that was accepted just before it stopped is reset.
        counts: How often each command came in.
    """

    def __init__(
        self,
        store: Store,
        login: Login,
        others: set[Connection],
        counts: Counter[str],
        is_serving: Callable[[], bool],
    ) -> None:
        self._store, self._login = store, login
        self._others, self._counts = others, counts
        self._is_serving = is_serving
        self._buffer = bytearray()
        self._reply_ids = itertools.count(1)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._others.add(self)
        if not self._is_serving():
            self.reset()

    def connection_lost(self, _: Exception | None) -> None:
        self._others.discard(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            for request in take_requests(self._buffer):
                self._answer(request)
        except WireError as error:
            self._refuse(error)

    def reset(self) -> None:
        """Drop the connection, and what was not sent yet."""
        if self._transport is not None:
            self._transport.abort()

    def _answer(self, request: Request) -> None:
        self._counts[next(iter(request.command))] += 1
        reply = run(self._store, self._login, request.command)
        if request.wants_reply:
            self._write(reply, request.id, is_legacy=request.is_legacy)

    def _refuse(self, error: WireError) -> None:
        self._write(CommandFailed(Code.ProtocolError, str(error)).as_reply(), error.request_id)
        self._buffer.clear()
        if self._transport is not None:
            self._transport.close()

    def _write(self, reply: Reply, request_id: int, *, is_legacy: bool = False) -> None:
        message = write_reply(reply, request_id=request_id, reply_id=next(self._reply_ids), is_legacy=is_legacy)
        if self._transport is not None:
            self._transport.write(message)
