"""Outages of a Redis server: by a proxy before it, and by its own configuration."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from typing import Self
from urllib.parse import quote

import anyio

from undercroft._core.errors import ConfigError
from undercroft.testing._outages.kinds import OUTAGES, One, Outage
from undercroft.testing.fault_proxy import FaultProxy

_HOST = "127.0.0.1"
_ANSWER_S = 5.0
_TURNS = 10  # of the event loop, until clients that run in it have seen a reset


class RedisOutages:
    """A Redis server and a proxy before it, for one `async with`. The server belongs to the test alone.

    Clients connect to `url`. At the end of each block of `during`, whatever happens in it, the server is configured as
    it was and the proxy passes everything; connections that the outage has touched are reset, so clients open new ones.

    - `REFUSED`: nobody listens, and the connections that were open are reset.
    - `CUT`: half of every reply is passed on, then its connection is reset. The server does what it was asked.
    - `STALLED`: connections are taken, and no byte goes through; what was sent is thrown away at the end.
    - `READ_ONLY`: the server is a replica whose primary is away: it serves what it has, and answers `READONLY` to
      every change.
    - `OUT_OF_MEMORY`: `maxmemory` is reached and nothing may be evicted: it answers `OOM` to what needs memory.
    """

    def __init__(self, host: str, port: int, password: str | None = None) -> None:
        """Make outages of the server at `host:port`, which is asked once the block is entered."""
        self.proxy = FaultProxy(host, port)
        """Where clients connect to; use it for faults of your own too, outside `during`."""
        self._server = _Server(host, port, password)
        self._password = password
        self._one = One()

    @property
    def supported(self) -> tuple[Outage, ...]:
        """All kinds."""
        return OUTAGES

    @property
    def url(self) -> str:
        """`redis://127.0.0.1:<the proxy's port>/0`, with the password where there is one; add `?option=value`."""
        credentials = "" if self._password is None else f":{quote(self._password, safe='')}@"
        return f"redis://{credentials}{self.proxy.host}:{self.proxy.port}/0"

    async def __aenter__(self) -> Self:
        """Open the proxy.

        Raises:
            ConfigError: There is no such server, it does not allow `CONFIG`, or it is a replica.
        """
        await self._server.require_usable()
        await self.proxy.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.proxy.__aexit__(*exc_info)

    @asynccontextmanager
    async def during(self, outage: Outage) -> AsyncIterator[None]:
        """Let an outage last for the block.

        Raises:
            ConfigError: Another one is going on, or the server does not let itself be configured.
        """
        async with AsyncExitStack() as ends:
            ends.enter_context(self._one.begin(outage, self))
            match outage:
                case Outage.READ_ONLY:
                    await ends.enter_async_context(self._as_replica())
                case Outage.OUT_OF_MEMORY:
                    await ends.enter_async_context(
                        self._server.configured({"maxmemory-policy": "noeviction", "maxmemory": "1"})
                    )
                case _:
                    ends.push_async_callback(self._heal)
                    await self._break(outage)
            yield

    async def _break(self, outage: Outage) -> None:
        if outage is Outage.STALLED:
            self.proxy.stall()
            return
        if outage is Outage.CUT:
            self.proxy.cut_replies()
            return
        await self.proxy.refuse()
        self.proxy.cut()
        await _let_clients_see()

    async def _heal(self) -> None:
        with anyio.CancelScope(shield=True):
            self.proxy.cut()  # before the stall ends, or what was sent in it would come late
            self.proxy.heal()
            await _let_clients_see()

    @asynccontextmanager
    async def _as_replica(self) -> AsyncIterator[None]:
        with socket.socket() as nobody:  # bound and not listening: refuses, and nobody else can take the port
            nobody.bind((_HOST, 0))
            async with self._server.configured({"replica-read-only": "yes", "replica-serve-stale-data": "yes"}):
                try:
                    await self._server.ask("REPLICAOF", _HOST, str(nobody.getsockname()[1]))
                    yield
                finally:
                    with anyio.CancelScope(shield=True):
                        await self._server.ask("REPLICAOF", "NO", "ONE")


async def _let_clients_see() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)


class _Server:
    """Asks the server directly, each time over a connection of its own: a test may stop and start it."""

    def __init__(self, host: str, port: int, password: str | None) -> None:
        self._address = (host, port)
        self._password = password

    @property
    def _name(self) -> str:
        return f"the Redis server at {self._address[0]}:{self._address[1]}"

    async def require_usable(self) -> None:
        await self._config("maxmemory")
        role = _lines(await self.ask("ROLE"))[0]
        if role != "master":
            raise ConfigError(f"{self._name} is a {role}", hint="outages need a primary that belongs to the test alone")

    @asynccontextmanager
    async def configured(self, values: dict[str, str]) -> AsyncIterator[None]:
        """Set configuration for the block, in this order, and set back what it was."""
        before: dict[str, str] = {}
        try:
            for name, value in values.items():
                before[name] = await self._config(name)
                await self.ask("CONFIG", "SET", name, value)
            yield
        finally:
            with anyio.CancelScope(shield=True):
                for name, value in reversed(before.items()):
                    await self.ask("CONFIG", "SET", name, value)

    async def _config(self, name: str) -> str:
        found = _lines(await self.ask("CONFIG", "GET", name))
        if len(found) < 2:
            raise ConfigError(f"{self._name} has no setting {name!r}", hint="outages need Redis 6.2 or newer")
        return found[1]

    async def ask(self, *words: str) -> bytes:
        """Send one command and return its reply as it came.

        Raises:
            ConfigError: It was refused, or nobody answered.
        """
        try:
            with anyio.fail_after(_ANSWER_S):
                reader, writer = await asyncio.open_connection(*self._address)
                with closing(writer):
                    if self._password is not None:
                        await self._exchange(reader, writer, ("AUTH", self._password))
                    return await self._exchange(reader, writer, words)
        except (OSError, EOFError) as exc:  # a TimeoutError is an OSError
            raise ConfigError(f"{self._name} does not answer {words[0]}: {exc!r}") from exc

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, words: tuple[str, ...]
    ) -> bytes:
        writer.write(b"*%d\r\n" % len(words))
        for word in words:
            data = word.encode()
            writer.write(b"$%d\r\n%b\r\n" % (len(data), data))
        reply = await _reply(reader)
        if reply.startswith(b"-"):
            raise ConfigError(
                f"{self._name} refuses {words[0]}: {reply[1:].decode(errors='replace').strip()}",
                hint="outages need a server of the test's own that allows CONFIG and REPLICAOF",
            )
        return reply


async def _reply(reader: asyncio.StreamReader) -> bytes:
    line = await reader.readuntil(b"\r\n")
    if line.startswith(b"$") and not line.startswith(b"$-1"):
        return line + await reader.readexactly(int(line[1:]) + 2)
    if line.startswith(b"*"):
        return line + b"".join([await _reply(reader) for _ in range(int(line[1:]))])
    return line


def _lines(reply: bytes) -> list[str]:
    """Return the texts of a list of texts; the lengths before them are left out."""
    return [line.decode() for line in reply.split(b"\r\n") if line[:1] not in (b"*", b"$", b"")]
