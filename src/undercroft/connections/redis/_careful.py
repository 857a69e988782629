"""redis-py's connections, made to send nothing twice.

What is changed, and why (redis-py 8.1, https://github.com/redis/redis-py):

- Its retries repeat any command whose answer was lost, so that an `INCR` counts twice. Here a command is repeated only
  when it was not sent yet, or was refused before it ran, or is a plain read whose connection was cut.
- Its socket timeout cuts blocking commands short. Here the time that a command asks the server to wait is added.
- It writes inside `asyncio.wait_for`, which on Python 3.11 costs a task for each command and can swallow a
  cancellation. Here only a write that must wait has a deadline around it.
- It sends to a connection that the server has closed already. Here that is noticed first.
- Handshakes have the connect timeout, not that of commands.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelManagedConnection
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as CutError
from redis.exceptions import ReadOnlyError
from redis.exceptions import TimeoutError as LateError

from undercroft.connections.redis._intent import WRITE, Intent, intent_of, intent_of_all

_ATTEMPTS = 3
_PAUSE_S = 0.05
"""Before the second attempt, at most; twice that before the third."""


class CarefulRetry(Retry):
    """Repeats only what cannot have had an effect: up to three attempts within fractions of a second."""

    def __init__(self, connection: CarefulConnection) -> None:
        super().__init__(NoBackoff(), 0)
        self._connection = connection
        self._depth = 0

    async def call_with_retry(
        self,
        do: Callable[[], Awaitable[Any]],
        fail: Callable[..., Awaitable[Any]],
        is_retryable: Callable[[Exception], bool] | None = None,  # noqa: ARG002 - nobody gives one to a connection's
        with_failure_count: bool = False,
    ) -> Any:
        # A handshake or a health check inside a command has one attempt: the command around it has the others.
        attempts = 1 if self._depth else _ATTEMPTS
        self._depth += 1
        try:
            for attempt in range(1, attempts + 1):
                self._connection.has_sent = False
                try:
                    return await do()
                except (CutError, LateError) as exc:
                    may_repeat = self._connection.may_repeat(exc)  # before fail, which may connect and subscribe again
                    await (fail(exc, attempt) if with_failure_count else fail(exc))
                    if attempt == attempts or not may_repeat:
                        raise
                await asyncio.sleep(random.uniform(0, _PAUSE_S * attempt))
        finally:
            self._depth -= 1


class CarefulConnection(AbstractConnection):
    """What every kind of our connections does. For one task at a time, except where it listens to Pub/Sub.

    `CutError`s and `LateError`s that leave it have `may_have_run` when a command that changes something was sent and
    its answer was lost.
    """

    has_sent = False
    """What the call in progress wants was sent, and not refused."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.retry = CarefulRetry(self)
        self._timeout_s = float(options["socket_timeout"])
        self._intent: Intent = WRITE
        self._is_handshaking = False
        self._is_listening = False

    @property
    def is_over(self) -> bool:
        """Whether the other side has closed or reset it, as far as is known here."""
        reader = self._reader
        return reader is not None and (reader.at_eof() or reader.exception() is not None)

    def may_repeat(self, error: Exception) -> bool:
        """Tell whether what failed with `error` may be sent again. The subclasses of `CutError` are final answers."""
        if type(error) is not CutError or self._is_listening:
            return False
        return not self.has_sent or self._intent.is_read

    def pack_command(self, *args: Any) -> list[bytes]:
        self._intent = intent_of(args)
        self._is_listening = self._is_listening or self._intent.is_listening
        return super().pack_command(*args)

    def pack_commands(self, commands: Iterable[Iterable[Any]]) -> list[bytes]:
        listed = [tuple(command) for command in commands]
        packed: list[bytes] = super().pack_commands(listed)
        self._intent = intent_of_all(listed)
        return packed

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        self._is_handshaking = True
        try:
            await super().on_connect_check_health(check_health=check_health)
        finally:
            self._is_handshaking = False

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        if self._is_handshaking:
            self.socket_timeout = self.socket_connect_timeout
        else:
            intent = self._intent  # connecting and checking pack commands of their own
            await self._make_ready(check_health=check_health)
            self._intent = intent
            self.socket_timeout = intent.timeout_s(self._timeout_s)
            self.has_sent = True
        await self._write(command)

    async def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*args, **options)
        except (CutError, LateError) as exc:
            if type(exc) in (CutError, LateError):
                self._mark(exc)
            raise
        except ReadOnlyError:
            self.mark_for_reconnect()  # type: ignore[no-untyped-call]  # whoever answers to this name now may be another server
            self.has_sent = not self._intent.is_single
            raise

    async def disconnect(
        self,
        nowait: bool = False,
        error: Exception | None = None,
        failure_count: int | None = None,
        health_check_failed: bool = False,
    ) -> None:
        self._is_listening = False
        is_broken = error is not None  # nobody to say goodbye to
        await super().disconnect(nowait or is_broken, error, failure_count, health_check_failed)

    async def _make_ready(self, *, check_health: bool) -> None:
        if self.is_over:
            await self.disconnect(nowait=True)
        if not self.is_connected:
            await self.connect()  # type: ignore[no-untyped-call]
        if check_health:
            try:
                await self.check_health()  # type: ignore[no-untyped-call]
            except (CutError, LateError) as exc:
                if type(exc) not in (CutError, LateError):
                    raise
                await self.connect()  # type: ignore[no-untyped-call]  # what it is for was not sent yet

    async def _write(self, command: bytes | str | Iterable[bytes]) -> None:
        writer: Any = self._writer
        text = command.encode() if isinstance(command, str) else command
        try:
            writer.writelines([text] if isinstance(text, bytes) else text)
            if writer.transport.get_write_buffer_size():
                async with asyncio.timeout(self.socket_timeout):
                    await writer.drain()
        except TimeoutError:
            await self.disconnect(nowait=True)
            raise self._mark(LateError("Timeout writing to socket")) from None
        except OSError as exc:
            await self.disconnect(nowait=True)
            raise self._mark(CutError(f"Error while writing to socket: {exc.strerror or exc}")) from exc
        except BaseException:
            await self.disconnect(nowait=True)  # half a command may have gone out
            raise

    def _mark(self, exc: Any) -> Any:
        is_harmless = self._intent.is_read or self._is_listening or self._is_handshaking
        exc.may_have_run = self.has_sent and not is_harmless
        return exc


class TcpConnection(CarefulConnection, Connection):
    """Over TCP, with TLS when `tls` is given: one context for all, because loading one takes long."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._tls = tls

    def _connection_arguments(self) -> dict[str, Any]:
        arguments = dict(super()._connection_arguments())
        return {**arguments, "ssl": self._tls} if self._tls else arguments


class UnixConnection(CarefulConnection, UnixDomainSocketConnection):
    """Over a Unix socket."""

    async def _connect(self) -> None:  # redis-py's own does the handshake twice
        async with asyncio.timeout(self.socket_connect_timeout):
            self._reader, self._writer = await asyncio.open_unix_connection(path=self.path)


class SentinelConnection(SentinelManagedConnection, TcpConnection):
    """To whom Sentinel names when it connects."""
