"""SMTP, through aiosmtplib.

One connection for each message, at most `connections` at a time. Not kept open between messages: servers drop idle
connections whenever they like, and then a lost connection and a lost answer look the same, so that a pool trades a
handshake for messages that may have been sent twice. A burst waits for a free connection; bulk mail wants a relay.

SMTP has no idempotency keys: two messages with one key are both sent, with the same Message-ID.
"""

from __future__ import annotations

import contextlib
import ipaddress
import ssl
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Literal, Self

import anyio
import anyio.to_thread
import msgspec

from undercroft._core.durations import Duration, to_seconds
from undercroft._core.errors import ConfigError, NotOpenError
from undercroft._core.extras import require_module
from undercroft._core.url import Url
from undercroft.email._errors import (
    InsecureTransportError,
    RecipientsRefusedError,
    Refusal,
    TransportAuthError,
    TransportUnavailableError,
)
from undercroft.email._mime import to_bytes
from undercroft.email._protocol import OutgoingEmail, SendReceipt
from undercroft.email._smtp_errors import Progress, one_line, translated

StartTls = Literal["required", "opportunistic", "off"]
_PORTS = {False: 587, True: 465}
_GOODBYE_S = 2.0
"""For QUIT, after the message was taken; what happens to it changes nothing."""


class SmtpOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Options of an `smtp://` or `smtp+tls://` URL."""

    starttls: StartTls = "required"
    insecure: Literal["yes", "no"] = "no"
    """`yes` allows `starttls=off`, and a password without TLS, with a host that is not this machine."""
    timeout_s: float = 30.0
    """For one message, from the connection to the answer."""
    connections: int = 5
    ca_file: str | None = None
    """PEM certificates to trust instead of the system's."""
    local_hostname: str | None = None
    """What we call ourselves in EHLO; the machine's name by default."""


class SmtpTransport:
    """Sends through one SMTP server. Enter it before use; safe for many tasks at a time.

    TLS is required unless `starttls` says otherwise, and certificates are always checked.
    """

    name = "smtp"
    default_from: str | None = None
    is_idempotent = False

    def __init__(
        self,
        host: str,
        port: int | None = None,
        *,
        user: str | None = None,
        password: str | None = None,
        implicit_tls: bool = False,
        starttls: StartTls = "required",
        allow_insecure: bool = False,
        timeout: Duration = 30.0,
        connections: int = 5,
        ca_file: str | None = None,
        local_hostname: str | None = None,
    ) -> None:
        """Take the settings; does no I/O.

        Args:
            port: 587 by default, 465 with `implicit_tls`.
            implicit_tls: TLS from the first byte (RFC 8314), instead of STARTTLS.
            starttls: `opportunistic` uses TLS where the server offers it, which whoever is in between can prevent;
                `off` never does.
            allow_insecure: Allow text and passwords without TLS with hosts other than this machine.

        Raises:
            ConfigError: No host, a user without a password, or plain text to another machine.
            MissingExtraError: aiosmtplib is not installed.
        """
        self._client = require_module("aiosmtplib", extra="smtp", needed_for="the smtp:// transport")
        self.host = host.strip("[]")
        self.port = port or _PORTS[implicit_tls]
        self._user, self._password = user, password
        self._implicit_tls, self._starttls = implicit_tls, starttls
        self._may_be_plain = allow_insecure or _is_loopback(self.host)
        self._timeout_s = to_seconds(timeout, name="timeout")
        self._ca_file, self._local_hostname = ca_file, local_hostname
        self._connections = connections
        self._free: anyio.Semaphore | None = None
        self._tls: ssl.SSLContext | None = None
        self._check()

    @classmethod
    def from_url(cls, url: Url, *, what: str = "URL") -> Self:
        """Return the transport of `smtp://user:password@host:587` or `smtp+tls://user:password@host:465`.

        Raises:
            UrlError: An unknown option, or one with a wrong value.
            ConfigError: See the constructor.
        """
        options = url.options_as(SmtpOptions, what=what)
        return cls(
            url.host,
            url.port,
            user=url.user,
            password=url.password,
            implicit_tls=url.scheme == "smtp+tls",
            starttls=options.starttls,
            allow_insecure=options.insecure == "yes",
            timeout=options.timeout_s,
            connections=options.connections,
            ca_file=options.ca_file,
            local_hostname=options.local_hostname,
        )

    async def send(self, message: OutgoingEmail) -> SendReceipt:
        """Hand the message over to the server; returns when it has answered 250 to the content.

        Recipients that it refuses while it takes others are in the receipt's `refused`.

        Raises:
            RecipientsRefusedError: It refused all of them for good.
            SendRefusedError: It refused the sender or the content (5xx).
            TransportAuthError: It refused our user or password.
            InsecureTransportError: No TLS where it is required, or a certificate that is not trusted.
            TransportUnavailableError: No connection, no answer in time, or 4xx.
        """
        data = to_bytes(message)
        progress = Progress()
        async with self._session(progress) as client:
            await client.mail(message.sender.email, options=_size_option(client, data))
            refused = await self._offer(client, message.recipients)
            progress.is_handing_over = True
            answer = await client.data(data)
            progress.is_done = True
        gone = {refusal.address for refusal in refused}
        return SendReceipt(
            id=message.id,
            transport=self.name,
            provider_id=one_line(answer.message) or None,
            accepted=tuple(address for address in message.recipients if address not in gone),
            refused=refused,
        )

    async def ping(self) -> None:
        """Connect, secure the connection, log in, and leave.

        Raises:
            EmailError: As `send`.
        """
        progress = Progress()
        async with self._session(progress) as client:
            await client.noop()
            progress.is_done = True

    async def __aenter__(self) -> Self:
        if self._free is None:
            # Reading the certificates takes tens of milliseconds of disk and CPU.
            self._tls = await anyio.to_thread.run_sync(self._make_tls)
            self._free = anyio.Semaphore(self._connections)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._free = None

    def __repr__(self) -> str:
        return f"SmtpTransport({self.host!r}, {self.port})"

    @contextlib.asynccontextmanager
    async def _session(self, progress: Progress) -> AsyncIterator[Any]:
        """Connect, and leave politely when all went well; every driver error is translated, under one deadline."""
        async with self._free_connection():
            with translated(self._client, self.host, self.port, progress):
                client = self._new_client()
                with contextlib.closing(client):
                    with anyio.fail_after(self._timeout_s):
                        await client.connect()
                        await self._secure(client)
                        await self._log_in(client)
                        yield client
                    await self._say_goodbye(client)

    @contextlib.asynccontextmanager
    async def _free_connection(self) -> AsyncIterator[None]:
        """Wait, at most as long as a message may take, until fewer than `connections` are in use."""
        free = self._free
        if free is None:
            raise NotOpenError("the smtp transport is not open", hint="use it inside `async with`")
        with anyio.move_on_after(self._timeout_s) as waiting:
            await free.acquire()
        if waiting.cancelled_caught:
            raise TransportUnavailableError(
                f"all {self._connections} connections to {self.host} were in use for {self._timeout_s:g}s",
                transport=self.name,
                hint="send from jobs, a few at a time, or raise ?connections=",
            )
        try:
            yield
        finally:
            free.release()

    def _new_client(self) -> Any:
        return self._client.SMTP(
            hostname=self.host,
            port=self.port,
            timeout=self._timeout_s,
            use_tls=self._implicit_tls,
            start_tls=False,  # done by us, after the connection: its failure must be told from others
            tls_context=self._tls,
            local_hostname=self._local_hostname,
        )

    async def _secure(self, client: Any) -> None:
        await client.ehlo()
        if self._implicit_tls or self._starttls == "off":
            return
        if client.supports_extension("starttls"):
            await client.starttls(tls_context=self._tls)
            await client.ehlo()
        elif self._starttls == "required":
            raise InsecureTransportError(
                f"{self.host}:{self.port} does not offer STARTTLS, so nothing was sent",
                transport=self.name,
                hint="use smtp+tls:// if the server speaks TLS from the first byte; for a server on this machine: "
                "?starttls=off",
            )

    async def _log_in(self, client: Any) -> None:
        if self._user is None:
            return
        if client.get_transport_info("sslcontext") is None and not self._may_be_plain:
            raise InsecureTransportError(
                f"{self.host}:{self.port} has no TLS, so the password was not sent", transport=self.name
            )
        if not client.supports_extension("auth"):
            raise TransportAuthError(
                f"{self.host}:{self.port} takes no user and password here",
                transport=self.name,
                hint="leave them out of the URL, or use the port for submission: 587, or 465 with smtp+tls://",
            )
        await client.login(self._user, self._password)

    async def _offer(self, client: Any, recipients: tuple[str, ...]) -> tuple[Refusal, ...]:
        """Name every recipient to the server and return those it refused.

        Raises:
            RecipientsRefusedError: All of them, for good.
            TransportUnavailableError: All of them, some only for now.
        """
        refused: list[Refusal] = []
        for address in recipients:
            try:
                await client.rcpt(address)
            except self._client.SMTPRecipientRefused as exc:
                if exc.code == 421 or not 400 <= exc.code < 600:
                    raise  # the server is closing, or talks nonsense: this is not about the recipient
                refused.append(Refusal(address=address, status=exc.code, reason=one_line(exc.message)))
        if len(refused) < len(recipients):
            return tuple(refused)
        problem = f"{self.host} refused every recipient; the first: {refused[0].status} {refused[0].reason}"
        if any(refusal.is_temporary for refusal in refused):
            raise TransportUnavailableError(problem, transport=self.name, status=refused[0].status, refused=refused)
        raise RecipientsRefusedError(problem, transport=self.name, status=refused[0].status, refused=refused)

    async def _say_goodbye(self, client: Any) -> None:
        # The message is the server's by now: a failure here must not look like one of sending.
        with anyio.move_on_after(_GOODBYE_S), contextlib.suppress(self._client.SMTPException, OSError):
            await client.quit()

    def _make_tls(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self._ca_file)
        except OSError as exc:
            raise ConfigError(f"ca_file {self._ca_file!r} cannot be read: {exc.strerror or exc}") from exc

    def _check(self) -> None:
        if not self.host:
            raise ConfigError("smtp:// needs a host", hint="smtp://user:password@mail.example.com")
        if (self._user is None) != (self._password is None):
            raise ConfigError("smtp:// has a user without a password, or the reverse", hint="give both, or neither")
        if self._connections < 1 or self._timeout_s <= 0:
            raise ConfigError("smtp://: connections and the timeout must be more than 0")
        if self._starttls == "off" and not self._implicit_tls and not self._may_be_plain:
            raise ConfigError(
                f"smtp://: starttls=off would send mail to {self.host} in plain text",
                hint="leave starttls at required; if the network is trusted, spell it: ?starttls=off&insecure=yes",
            )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _size_option(client: Any, data: bytes) -> list[str]:
    return [f"size={len(data)}"] if client.supports_extension("size") else []
