"""`Email`: what applications hold."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, Unpack, overload

import anyio.to_thread

from undercroft._core.clock import Clock, SystemClock, utc
from undercroft._core.context import correlation
from undercroft._core.errors import NotOpenError
from undercroft._core.ids import IdSource
from undercroft.email._addresses import parse_address
from undercroft.email._counts import EmailCounts
from undercroft.email._message import Content, compose, direct_content
from undercroft.email._options import EmailFields, EmailOptions, read_call
from undercroft.email._protocol import Address, SendReceipt, Transport
from undercroft.email._search import DEFAULT_TEMPLATES, check_locale, load
from undercroft.email._template import Template
from undercroft.logging import Logger
from undercroft.monitoring import library_span

_log = Logger(module="undercroft.email")


class Email:
    """Sends messages, from templates or as given, through one transport.

    Lives as long as the application: open it once with `async with`, use it from any task, close it once. It opens and
    closes the transport it was given.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        from_: str | Address | None = None,
        templates: Sequence[str | os.PathLike[str]] = DEFAULT_TEMPLATES,
        default_locale: str = "en",
        clock: Clock | None = None,
        ids: IdSource | None = None,
    ) -> None:
        """Take parts; does no I/O.

        Args:
            from_: The sender of messages that name none.
            templates: Directories to look in, in order. `{locale}` in one is replaced by the locale; the others are
                looked in with and without a folder of the locale's name. Relative to the working directory.
            default_locale: The language of templates for whoever asks for another, or none.

        Raises:
            InvalidAddressError: `from_` is not an address.
            TemplateNameError: `default_locale` is not a locale.
        """
        self.transport = transport
        self.templates = tuple(os.fspath(directory) for directory in templates)
        self.default_locale = check_locale(default_locale) or "en"
        self.from_ = parse_address(from_, field="from_") if from_ else None
        self._clock = clock or SystemClock()
        self._ids = ids or IdSource(self._clock)
        self._is_open = False
        self._counts = EmailCounts()

    @property
    def transport_name(self) -> str:
        """One word for descriptions: `inbox`, `smtp`, `resend`."""
        return self.transport.name

    @overload
    async def send(self, template: str, options: EmailOptions, /) -> SendReceipt: ...
    @overload
    async def send(self, options: EmailOptions, /) -> SendReceipt: ...
    @overload
    async def send(self, template: str | None = None, /, **fields: Unpack[EmailFields]) -> SendReceipt: ...
    async def send(self, *args: object, **fields: Any) -> SendReceipt:
        """Send one message and return who took it over.

            await email.send("welcome", to="ann@example.com", data={"name": "Ann"})
            await email.send(to="ann@example.com", subject="Hello", body="*Markdown*")

        The message has an HTML and a text part; one that is not given is made from the other. Nothing is retried:
        on `TransportUnavailableError` send again with the same `idempotency_key`, best from a job.

        Raises:
            InvalidMessageError: Unknown, missing or clashing fields.
            InvalidAddressError, HeaderInjectionError, NoSenderError: A field cannot be sent as it is.
            TemplateError: The template, or a value for it.
            SendRefusedError: The server or vendor said no.
            TransportUnavailableError: No answer, or "later".
            NotOpenError: Not opened yet, or closed.
        """
        self._require_open()
        name, given = read_call(args, fields)
        started = self._clock.monotonic()
        error: BaseException | None = None
        try:
            receipt = await self._send_in_span(name, given)
        except BaseException as exc:
            error = exc
            raise
        finally:
            self._counts.ended(self.transport_name, error, seconds=self._clock.monotonic() - started)
        _log.info("email sent", template=name, email_id=receipt.id, transport=receipt.transport)
        return receipt

    async def load_template(self, name: str, locale: str | None = None) -> Template:
        """Read the template `name`, in `locale`, else in a wider one (`en-GB`, `en`), else the default.

        Read from disk each time, so that a changed file counts at once.

        Raises:
            TemplateNotFoundError: With every path tried.
            TemplateUnreadableError: A file that exists and cannot be read; no other is tried.
            TemplateSyntaxError: A malformed file.
            TemplateNameError: A name or locale with separators, `..` and the like.
        """
        return await anyio.to_thread.run_sync(
            lambda: load(name, locale=locale, default_locale=self.default_locale, directories=self.templates),
            abandon_on_cancel=True,
        )

    async def ping(self) -> None:
        """Return if the transport could take a message now; for health checks.

        Raises:
            EmailError: As `send` would.
        """
        self._require_open()
        await self.transport.ping()

    async def __aenter__(self) -> Self:
        await self.transport.__aenter__()
        self._is_open = True
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_open = False
        await self.transport.__aexit__(exc_type, exc, traceback)

    def __repr__(self) -> str:
        return f"Email(transport={self.transport_name!r}, is_open={self._is_open})"

    async def _send_in_span(self, name: str | None, given: Mapping[str, Any]) -> SendReceipt:
        with library_span("send email", kind="client") as span:
            if span is not None:
                span.set_attributes(
                    {"undercroft.email.transport": self.transport_name, "undercroft.email.template": name}
                )
            receipt = await self._send(name, given)
            if span is not None:
                span.set_attribute("undercroft.email.id", receipt.id)
        return receipt

    async def _send(self, name: str | None, given: Mapping[str, Any]) -> SendReceipt:
        content = await self._content(name, given)
        message = compose(
            given,
            content,
            id_=self._ids(),
            created_at=utc(self._clock.time()),
            default_from=self.from_ or self.transport.default_from,
            correlation=correlation(),
            template=name,
        )
        return await self.transport.send(message)

    async def _content(self, name: str | None, given: Mapping[str, Any]) -> Content:
        lang = check_locale(given.get("locale")) or self.default_locale
        if name is None:
            return direct_content(given, lang=lang)
        from undercroft.email._render import render_template

        template = await self.load_template(name, given.get("locale"))
        rendered = render_template(template, given.get("data", {}))
        return Content(subject=rendered.subject, html=rendered.html, text=rendered.text)

    def _require_open(self) -> None:
        if not self._is_open:
            raise NotOpenError(
                "email is not open", hint="use it inside `async with Email(…) as email:`, or of an open Infra"
            )
