"""SMTP servers on real sockets: aiosmtpd, which behaves, and a scripted one, which does not."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USER, PASSWORD = "user", "s3cret-pässword"


@dataclass
class Mailbox:
    """An aiosmtpd handler that keeps what it is given."""

    envelopes: list[Envelope] = field(default_factory=list)
    refusals: Mapping[str, str] = field(default_factory=dict)
    """A reply for each recipient that is not taken."""
    was_tls: list[bool] = field(default_factory=list)

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list) -> str:
        if address in self.refusals:
            return self.refusals[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.envelopes.append(envelope)
        self.was_tls.append(session.ssl is not None)
        return "250 OK queued as 4711"


@dataclass
class SmtpServer:
    port: int
    mailbox: Mailbox
    stop: Callable[[], None]


def _check_password(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object) -> AuthResult:
    is_right = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=is_right, handled=False)


@asynccontextmanager
async def smtp_server(
    *, starttls: ssl.SSLContext | None = None, implicit_tls: ssl.SSLContext | None = None, needs_login: bool = False
) -> AsyncIterator[SmtpServer]:
    mailbox = Mailbox()
    loop = asyncio.get_running_loop()

    def make() -> SMTP:
        return SMTP(
            mailbox,
            hostname="mail.test",
            tls_context=starttls,
            authenticator=_check_password if needs_login else None,
            auth_required=needs_login,
            auth_require_tls=starttls is not None,
            loop=loop,
        )

    server = await loop.create_server(make, "127.0.0.1", 0, ssl=implicit_tls)
    try:
        yield SmtpServer(server.sockets[0].getsockname()[1], mailbox, server.close)
    finally:
        server.close()


STALL, CUT = "stall", "cut"


@asynccontextmanager
async def scripted_smtp(**replies: str | bytes) -> AsyncIterator[int]:
    """Serve a dialogue where everything is answered 250, but for `replies`, by verb; yields the port.

    `CONNECT` is the greeting and `END` the answer to the content. `STALL` never answers, `CUT` closes.
    """
    is_over = asyncio.Event()
    standard = {"CONNECT": "220 hi", "DATA": "354 go on", "QUIT": "221 bye"}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            verb = "CONNECT"
            while True:
                reply = replies.get(verb, standard.get(verb, "250 OK"))
                if reply == STALL:
                    await is_over.wait()
                if reply in (STALL, CUT):
                    return
                writer.write(reply if isinstance(reply, bytes) else f"{reply}\r\n".encode())
                await writer.drain()
                if verb == "DATA" and str(reply).startswith("354"):
                    await reader.readuntil(b"\r\n.\r\n")
                    verb = "END"
                    continue
                line = await reader.readline()
                if not line:
                    return
                verb = line[:4].decode("latin-1").upper().strip()
                verb = {"STAR": "STARTTLS"}.get(verb, verb)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        is_over.set()
        server.close()
