"""Pools that wait for a connection, say who has them, and lose none.

redis-py's own pools raise when all are in use, or wait and then say nothing of who has them; and they take a connection
back by awaiting a lock, where a cancellation can strike. Here taking back awaits nothing that could be cancelled.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import anyio
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.exceptions import ConnectionError as CutError
from redis.exceptions import MaxConnectionsError
from redis.exceptions import TimeoutError as LateError

from undercroft.connections.redis._careful import CarefulConnection
from undercroft.connections.redis._errors import Holder
from undercroft.connections.redis._slots import Hold, Slots, SlotsExhausted

_CLOSE_S = 2.0


class ExhaustedError(MaxConnectionsError):
    """What users of the raw client get instead of `PoolExhaustedError`."""

    def __init__(self, message: str, holders: list[Holder]) -> None:
        super().__init__(message)
        self.holders = holders


class WaitingPool(ConnectionPool):
    """At most as many connections as `slots` has; the one used last is used first. Lives from open to close."""

    def __init__(self, *, slots: Slots, **options: Any) -> None:
        super().__init__(max_connections=slots.size, **options)
        self._slots = slots
        self._held: dict[AbstractConnection, Hold] = {}
        self._is_closed = False

    @property
    def idle(self) -> int:
        """How many connections are open and not in use."""
        return sum(1 for connection in self._available_connections if connection.is_connected)

    async def get_connection(self, *_: object, **__: object) -> AbstractConnection:
        """Return a connection that is connected, after at most the time that the slots allow."""
        self._require_open()
        try:
            hold = await self._slots.take()
        except SlotsExhausted as exc:
            raise ExhaustedError(str(exc), self._slots.holders()) from None
        connection = self._available_connections.pop() if self._available_connections else self._new()
        self._in_use_connections.add(connection)
        self._held[connection] = hold
        try:
            await self.ensure_connection(connection)
            self._require_open()
        except BaseException:
            await connection.disconnect(nowait=True)
            await self.release(connection)
            raise
        return connection

    async def ensure_connection(self, connection: AbstractConnection) -> None:
        """Connect, anew when the server has closed it or something of an earlier command is left in it."""
        is_over = isinstance(connection, CarefulConnection) and connection.is_over
        if connection.is_connected and (is_over or await connection.can_read()):
            await connection.disconnect(nowait=True)
        if not connection.is_connected:
            await connection.connect()  # type: ignore[no-untyped-call]

    async def release(self, connection: AbstractConnection) -> None:
        """Take a connection back. Does not wait, so it cannot be cancelled half-way."""
        hold = self._held.pop(connection, None)
        if hold is None:
            return
        self._in_use_connections.discard(connection)
        try:
            if self._is_closed or connection.should_reconnect():  # type: ignore[no-untyped-call]
                await connection.disconnect(nowait=True)
        finally:
            self._available_connections.append(connection)
            self._slots.give_back(hold)

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Close the connections that nobody uses, or all. Does not wait, so that nobody can take one meanwhile."""
        in_use = self._in_use_connections if inuse_connections else ()
        for connection in [*self._available_connections, *in_use]:
            await connection.disconnect(nowait=True)

    async def aclose(self) -> None:
        """Close every connection, those in use too, and refuse new ones."""
        self._is_closed = True
        self._slots.refuse_waiting(CutError("the connection to Redis was closed"))
        for connection in [*self._in_use_connections]:
            await connection.disconnect(nowait=True)
        with anyio.CancelScope(shield=True), anyio.move_on_after(_CLOSE_S), suppress(LateError):
            for connection in self._available_connections:
                await connection.disconnect()

    def _new(self) -> AbstractConnection:
        connection: AbstractConnection = self.make_connection()  # type: ignore[no-untyped-call]
        return connection

    def _require_open(self) -> None:
        if self._is_closed:
            raise CutError("the connection to Redis was closed")


class SentinelPool(WaitingPool, SentinelConnectionPool):
    """To the primary that Sentinel names."""
