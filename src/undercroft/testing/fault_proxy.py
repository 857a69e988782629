"""A TCP proxy that breaks connections on demand.

    async with FaultProxy("127.0.0.1", 6379) as proxy:
        client = connect(proxy.url("redis://{host}:{port}/0"))
        proxy.lose_reply(to=b"INCR")          # the server counts, the client never hears of it

Between a client and a real server, so that what fails is the network and nothing else. Needs asyncio, and no package.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Self

_CHUNK_BYTES = 65536
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyCounts:
    """Connections since the proxy was opened: made by clients, open now, reset by one of the cuts."""

    accepted: int = 0
    open: int = 0
    cut: int = 0


@dataclass(slots=True)
class _Strike:  # a reset that waits for its reply
    to: bytes
    left_bytes: int


@dataclass(slots=True, eq=False)
class _Pair:
    """One client's connection, and ours to the server for it."""

    client: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    server: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    strike: _Strike | None = None

    def reset(self) -> None:
        for _, writer in (self.client, self.server):
            sock = writer.get_extra_info("socket")
            if sock.fileno() >= 0:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            writer.transport.abort()


class FaultProxy:
    """Listens on a free port of 127.0.0.1 and passes bytes on to `host:port`. Lives for one `async with`."""

    def __init__(self, host: str, port: int) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self._target = (host, port)
        self._accepting: asyncio.Task[None] | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._pairs: set[_Pair] = set()
        self._flowing = asyncio.Event()
        self._strike: _Strike | None = None
        self._cuts_replies = False
        self._delay_s = 0.0
        self._accepted = self._cut = self._cut_calls = 0

    async def __aenter__(self) -> Self:
        self._bind()
        self.heal()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop_listening()
        for pair in self._pairs:
            pair.reset()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    @property
    def counts(self) -> ProxyCounts:
        """What has gone through until now."""
        return ProxyCounts(accepted=self._accepted, open=len(self._pairs), cut=self._cut)

    def url(self, template: str) -> str:
        """Return `template` with its `{host}` and `{port}` replaced by the proxy's."""
        return template.replace("{host}", self.host).replace("{port}", str(self.port))

    async def refuse(self) -> None:
        """Refuse new connections, as a server does that is not running. Those that are open stay: see `cut`."""
        await self._stop_listening()
        self._bind()  # bound and not listening: the port refuses, and nobody else can take it

    def cut(self) -> None:
        """Reset every connection that is open now. New ones are taken."""
        self._cut_calls += 1  # for those that are not connected to the server yet
        self._cut += len(self._pairs)
        while self._pairs:
            self._pairs.pop().reset()

    def cut_mid_reply(self, *, after_bytes: int, to: bytes = b"") -> None:
        """Once: let `after_bytes` of the next reply pass, then reset its connection.

        Args:
            to: Only of a reply to a request that contains these bytes, sent from now on. Without it, of whatever the
                server sends next to anyone; beware of handshakes.
        """
        self._strike = _Strike(to, after_bytes)

    def cut_replies(self) -> None:
        """Until `heal`: pass on half of each reply, those to handshakes included, then reset its connection."""
        self._cuts_replies = True

    def lose_reply(self, *, to: bytes = b"") -> None:
        """Once: let a request through to the server, swallow its reply, reset the connection. `to` as above."""
        self.cut_mid_reply(after_bytes=0, to=to)

    def stall(self) -> None:
        """Accept everything and forward nothing, as a half-open connection does; what is sent comes late, by `heal`."""
        self._flowing.clear()

    def delay(self, seconds: float) -> None:
        """Hold every piece of a reply for `seconds` before it is passed on."""
        self._delay_s = seconds

    def heal(self) -> None:
        """Take off every fault: listen, forward, at full speed."""
        self._strike, self._cuts_replies, self._delay_s = None, False, 0.0
        for pair in self._pairs:
            pair.strike = None
        self._flowing.set()
        if self._accepting is None:
            self._listener.listen(1024)
            self._accepting = asyncio.create_task(self._accept(self._listener), name="fault proxy")

    def _bind(self) -> None:
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.setblocking(False)
        self._listener.bind((self.host, self.port))
        self.port = self._listener.getsockname()[1]

    async def _stop_listening(self) -> None:
        accepting, self._accepting = self._accepting, None
        if accepting is not None:
            accepting.cancel()
            await asyncio.wait({accepting})
        self._listener.close()

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            connection, _ = await asyncio.get_running_loop().sock_accept(listener)
            self._accepted += 1
            task = asyncio.create_task(self._serve(connection), name="fault proxy connection")
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)

    async def _serve(self, connection: socket.socket) -> None:
        cut_calls = self._cut_calls
        client = await asyncio.open_connection(sock=connection)
        with closing(client[1]), suppress(OSError):  # a server that is down: the client sees its connection close
            server = await asyncio.open_connection(*self._target)
            with closing(server[1]):
                pair = _Pair(client, server)
                if cut_calls != self._cut_calls:
                    self._cut += 1
                    pair.reset()
                    return
                await self._forward(pair)

    async def _forward(self, pair: _Pair) -> None:
        self._pairs.add(pair)
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump_requests(pair))
                pumps.create_task(self._pump_replies(pair))
        except* OSError:  # one side reset its connection
            pair.reset()
        finally:
            self._pairs.discard(pair)

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        data = await reader.read(_CHUNK_BYTES)
        await self._flowing.wait()  # the end of a connection is held back too
        return data

    async def _pump_requests(self, pair: _Pair) -> None:
        (reader, _), (_, writer) = pair.client, pair.server
        while data := await self._read(reader):
            if self._strike is not None and self._strike.to and self._strike.to in data:
                pair.strike, self._strike = self._strike, None
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    async def _pump_replies(self, pair: _Pair) -> None:
        (reader, _), (_, writer) = pair.server, pair.client
        while data := await self._read(reader):
            await asyncio.sleep(self._delay_s)
            if self._cuts_replies and pair.strike is None:
                pair.strike = _Strike(b"", len(data) // 2)
            if self._strike is not None and not self._strike.to:
                pair.strike, self._strike = self._strike, None
            writer.write(data if pair.strike is None else data[: pair.strike.left_bytes])
            await writer.drain()
            if pair.strike is not None:
                pair.strike.left_bytes -= len(data)
                if pair.strike.left_bytes <= 0:
                    self._cut += 1
                    raise ConnectionResetError("cut by the proxy")
        writer.write_eof()
