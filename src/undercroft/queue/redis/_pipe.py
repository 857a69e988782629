"""One connection that carries the commands of many tasks at once.

redis-py gives a connection to one task at a time, awaits each reply in a coroutine of its own and packs each command in
Python: some 60 µs a command, where Redis needs 20 for a script. Here all commands of one turn of the event loop go out
in one write, while the replies of earlier ones come in, and a reply costs a microsecond. The connection itself, with
TLS, Sentinel, the login and the deadlines of connecting, is made by `connections.redis`; only its traffic is ours.

Nothing is ever sent again here: when the connection ends, everybody who waits gets a `Lost`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from undercroft.connections.redis import RedisConnection

Command = Sequence[Any]
"""A command's name and arguments: bytes, text, int or float."""
_HIGH_WATER = 1 << 22
_PART = 64
"""Commands of one request after which what was made so far goes out."""


class Refused(Exception):  # noqa: N818 - a reply, never raised
    """An error that the server sent as the reply to one command."""


class Lost:
    """What everybody gets who waits for a reply when the connection ends."""

    __slots__ = ("cause",)

    def __init__(self, cause: Exception) -> None:
        self.cause = cause


class _Group:
    """Waits for the replies of several commands."""

    __slots__ = ("_count", "_replies", "future")

    def __init__(self, count: int, future: asyncio.Future[Any]) -> None:
        self.future = future
        self._count = count
        self._replies: list[Any] = []

    def done(self) -> bool:
        return False

    def set_result(self, reply: Any) -> None:
        self._replies.append(reply)
        if len(self._replies) == self._count and not self.future.done():
            self.future.set_result(self._replies)


class Pipe(asyncio.Protocol):
    """From one `open` to the end of its connection, or `close`. For one event loop, any number of tasks."""

    def __init__(self, connection: Any, holder: Any, *, timeout_s: float) -> None:
        import hiredis

        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._holder = holder
        self.timeout_s = timeout_s
        """How long to wait for a reply while none comes."""
        self._nothing = object()
        self._reader = hiredis.Reader(protocolError=_not_redis, replyError=Refused, notEnoughData=self._nothing)
        self._pack = hiredis.pack_command
        self._outgoing: list[bytes] = []
        self._waiting: deque[Any] = deque()
        self._watchdog: asyncio.TimerHandle | None = None
        self._heard_at = 0.0
        self._is_scheduled = self._is_choked = False
        self._idle: asyncio.Future[None] | None = None
        self.lost: Exception | None = None
        """Why it takes no more commands; `None` while it does."""
        writer = connection._writer  # noqa: SLF001 - redis-py has no other way to its transport
        self._transport: Any = writer.transport
        self._before = self._transport.get_protocol()
        self._transport.set_protocol(self)
        self._transport.set_write_buffer_limits(high=_HIGH_WATER)

    @classmethod
    async def open(cls, redis: RedisConnection, *, key: str) -> Pipe:
        """Connect to the server that has `key`. Raises redis-py's errors."""
        client: Any = redis.client
        holder: Any
        if redis.is_cluster:
            await client.initialize()
            holder = client.get_node_from_key(key)
            connection = holder.acquire_connection()
            try:
                if not connection.is_connected:
                    await connection.connect()
            except BaseException:
                holder.release(connection)
                raise
        else:
            holder = client.connection_pool
            connection = await holder.get_connection()
        pipe = cls(connection, holder, timeout_s=connection._timeout_s)  # noqa: SLF001 - of our own class
        try:
            # Replies of one shape, whatever ?protocol= says; a server without HELLO knows no other shape.
            await pipe.request((b"HELLO", 2))
        except BaseException:
            await pipe.close()
            raise
        return pipe

    # --- Sending ----------------------------------------------------------------------------------------------------

    def request(self, command: Command) -> asyncio.Future[Any]:
        """Send a command in this turn of the loop; its future gets the reply, a `Refused` or a `Lost`."""
        future = self._loop.create_future()
        self._send(self._pack(tuple(command)), future)
        return future

    def send_packed(self, packed: bytes) -> asyncio.Future[Any]:
        """As `request`, for a command in Redis's own protocol."""
        future = self._loop.create_future()
        self._send(packed, future)
        return future

    def request_all(self, commands: Iterable[Command]) -> asyncio.Future[Any]:
        """Send several commands, one behind the other; the future gets the list of their replies, or a `Lost`.

        Many go out in parts, so that the server works on the first while the last are being made. An error that is
        raised by making them ends the connection: half a transaction must not be left open on it.
        """
        future: asyncio.Future[Any] = self._loop.create_future()
        count, part, pack = 0, [], self._pack
        try:
            for command in commands:
                part.append(pack(tuple(command)))
                count += 1
                if len(part) == _PART and self.lost is None:
                    self._outgoing.append(b"".join(part))
                    part.clear()
                    self._flush()
        except BaseException as exc:
            if count > len(part):
                self._end(exc if isinstance(exc, Exception) else RuntimeError("the commands were not finished"))
            raise
        if count == 0:
            future.set_result([])
        else:
            self._send(b"".join(part), _Group(count, future), count)
        return future

    def request_for(self, waiter: Any, commands: Sequence[Command]) -> None:
        """Send several commands; `waiter.set_result` gets each reply, or a `Lost`, in the turn in which it comes."""
        pack = self._pack
        self._send(b"".join([pack(tuple(command)) for command in commands]), waiter, len(commands))

    def _send(self, packed: bytes, waiter: Any, count: int = 1) -> None:
        if self.lost is not None:
            getattr(waiter, "future", waiter).set_result(Lost(self.lost))
            return
        waiting = self._waiting
        if count == 1:
            waiting.append(waiter)
        else:
            waiting.extend([waiter] * count)
        self._outgoing.append(packed)
        if not self._is_scheduled and not self._is_choked:
            self._is_scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_scheduled = False
        outgoing = self._outgoing
        if not outgoing or self.lost is not None:
            return
        self._transport.write(outgoing[0] if len(outgoing) == 1 else b"".join(outgoing))
        outgoing.clear()
        if self._watchdog is None:
            self._heard_at = self._loop.time()
            self._watchdog = self._loop.call_later(self.timeout_s, self._watch)

    # --- Receiving --------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        reader, waiting, nothing = self._reader, self._waiting, self._nothing
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not nothing:
                waiter = waiting.popleft()
                if not waiter.done():
                    waiter.set_result(reply)
        except Exception as exc:
            self._end(exc)
            return
        self._heard_at = self._loop.time()
        if self._idle is not None and not waiting and not self._idle.done():
            self._idle.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        from redis.exceptions import ConnectionError as CutError

        self._before.connection_lost(exc)
        self._end(exc if isinstance(exc, CutError) else CutError(f"Connection closed by server: {exc or 'end'}"))

    def pause_writing(self) -> None:
        self._is_choked = True

    def resume_writing(self) -> None:
        self._is_choked = False
        self._flush()

    def _watch(self) -> None:
        self._watchdog = None
        if not self._waiting:
            return
        left_s = self.timeout_s - (self._loop.time() - self._heard_at)
        if left_s > 0:
            self._watchdog = self._loop.call_later(left_s, self._watch)
            return
        from redis.exceptions import TimeoutError as LateError

        self._end(LateError("Timeout reading from socket"))

    # --- Ending -----------------------------------------------------------------------------------------------------

    def retire(self, cause: Exception) -> None:
        """Take no more commands. `close` then lets the replies to those that were sent come in."""
        if self.lost is None:
            self._flush()
            self.lost = cause

    async def close(self) -> None:
        """Close the connection and give its place in the pool back."""
        from redis.exceptions import ConnectionError as CutError

        if self.lost is not None and self._waiting:
            self._idle = self._loop.create_future()
            await self._idle  # no longer than the watchdog lets it
        self._end(self.lost or CutError("the connection to Redis was closed"))
        holder, self._holder = self._holder, None
        if holder is None:
            return
        await self._connection.disconnect(nowait=True)
        released = holder.release(self._connection)
        if released is not None:
            await released

    def _end(self, cause: Exception) -> None:
        self.lost = self.lost or cause
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None
        self._transport.abort()
        self._outgoing.clear()
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)
        waiting, self._waiting = self._waiting, deque()
        lost = Lost(cause)
        for waiter in waiting:
            future = getattr(waiter, "future", waiter)
            if not future.done():
                future.set_result(lost)


def _not_redis(text: str) -> Exception:
    from redis.exceptions import InvalidResponse

    return InvalidResponse(text)
