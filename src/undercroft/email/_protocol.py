"""What a transport's author must read: the protocol, and the values that cross it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

from undercroft._core.context import Correlation
from undercroft.email._errors import Refusal


@dataclass(frozen=True, slots=True)
class Address:
    """One checked mailbox. Make it with `parse_address`; a transport may trust what is in it."""

    email: str
    """`local@domain`, ASCII; an international domain is in its `xn--` form."""
    name: str = ""
    """The display name, decoded; free of control characters."""

    @property
    def domain(self) -> str:
        return self.email.rpartition("@")[2]

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>" if self.name else self.email


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes with a message."""

    filename: str
    content: bytes = field(repr=False)
    content_type: str = "application/octet-stream"
    """`type/subtype`, without parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedEmail:
    """A template with its variables filled in."""

    subject: str
    html: str
    """A whole document, with the layout around the content."""
    text: str
    preheader: str = ""
    """The line that mail programs show after the subject in a list."""

    @property
    def body(self) -> str:
        """The text, marked as rendered: `send_email(body=rendered.body)` sends this HTML and text, as they are.

        Without the mark, `body` would be read as Markdown a second time, and values in it would become markup.
        """
        return RenderedBody(self.text, self.html)


class RenderedBody(str):
    """Text that was rendered already, with its HTML beside it; otherwise a plain `str`."""

    __slots__ = ("html",)
    html: str

    def __new__(cls, text: str, html: str) -> Self:
        body = super().__new__(cls, text)
        body.html = html
        return body


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class OutgoingEmail:
    """One message, checked: addresses are addresses and no header can break out of its line."""

    id: str
    """Ours; sorts by time of creation."""
    message_id: str
    """`local@domain`, for the Message-ID header. The same for the same idempotency key and sender's domain."""
    sender: Address
    to: tuple[Address, ...]
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    """Receives the message, and is in no header."""
    reply_to: tuple[Address, ...] = ()
    subject: str
    text: str
    html: str
    headers: tuple[tuple[str, str], ...] = ()
    """Beyond the ones that every message has. Never the names of the work that caused it: those stay inside."""
    attachments: tuple[Attachment, ...] = ()
    idempotency_key: str | None = None
    created_at: datetime
    template: str | None = None
    locale: str | None = None
    correlation: Correlation = field(default_factory=Correlation)
    """The request, trace and job that caused the message. For our own records only."""

    @property
    def recipients(self) -> tuple[str, ...]:
        """Every address that receives the message, each once."""
        return tuple(dict.fromkeys(address.email for address in (*self.to, *self.cc, *self.bcc)))

    def __repr__(self) -> str:
        return f"OutgoingEmail(id={self.id!r}, recipients={len(self.recipients)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class SendReceipt:
    """Who took over a message.

    Accepted means that the next server or the vendor answers for it from now on, not that it was delivered.
    """

    id: str
    """Our id. For an idempotent transport and a key seen before: the id of the first message."""
    transport: str
    provider_id: str | None = None
    """What the vendor or server calls the message."""
    accepted: tuple[str, ...] = ()
    refused: tuple[Refusal, ...] = ()
    """Recipients that did not get it although others did. When nobody does, sending raises instead."""


class Transport(Protocol):
    """Hands one message over to something that delivers it.

    Opened once (`async with`), used by many tasks at a time, closed once. Construction does no I/O.
    """

    @property
    def name(self) -> str:
        """One word for receipts and errors: `smtp`, `resend`, `inbox`."""

    @property
    def default_from(self) -> str | None:
        """The sender when none is configured; `None` when there must be one."""

    @property
    def is_idempotent(self) -> bool:
        """Whether messages with one idempotency key become one message, across processes.

        Where it is False, both are sent, with the same Message-ID.
        """

    async def send(self, message: OutgoingEmail) -> SendReceipt:
        """Hand `message` over, once; never retries by itself. Returns when the other side has taken it.

        Cancellation before that point leaves it open whether the message goes out.

        Raises:
            SendRefusedError: No, and no again. Nothing was sent.
            TransportUnavailableError: No answer, or "later"; see its `may_have_been_sent`.
        """

    async def ping(self) -> None:
        """Return if a message could be handed over now; sends none.

        Raises:
            EmailError: As `send` would.
        """

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None, /
    ) -> None: ...
