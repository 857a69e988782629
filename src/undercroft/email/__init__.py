"""Email: Markdown templates, both parts, one transport.

    from undercroft.email import send_email

    await send_email("welcome", to="ann@example.com", data={"name": "Ann"})        # emails/welcome.md
    await send_email(to="ann@example.com", subject="Hello", body="Some *Markdown*.")

These functions act on the bound `Infra`. Without one, hold an `Email`:

    transport = open_transport(Url.parse("inbox:///var/mail"), what="EMAIL")
    async with Email(transport, from_="Shop <shop@example.com>", templates=["emails"]) as email:
        await email.send("welcome", to="ann@example.com", data={"name": "Ann"})

Values of variables are data, whatever they contain: never Markdown, HTML, a header, or a link that runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack, overload

from undercroft._core.bound import BoundPart
from undercroft._core.url import Url
from undercroft.email._addresses import parse_address
from undercroft.email._errors import (
    BadAnswerError,
    EmailError,
    HeaderInjectionError,
    InboxError,
    InsecureTransportError,
    InvalidAddressError,
    InvalidMessageError,
    MissingVariable,
    MissingVariableError,
    NoSenderError,
    RecipientsRefusedError,
    Refusal,
    SendRefusedError,
    TemplateError,
    TemplateNameError,
    TemplateNotFoundError,
    TemplateSyntaxError,
    TemplateUnreadableError,
    TemplateValueError,
    TransportAuthError,
    TransportUnavailableError,
    UnsafeLinkError,
)
from undercroft.email._facade import Email
from undercroft.email._options import EmailFields, EmailOptions
from undercroft.email._protocol import Address, Attachment, OutgoingEmail, RenderedEmail, SendReceipt, Transport
from undercroft.email._schemes import open_transport
from undercroft.email._template import Template, parse_template
from undercroft.email._variables import Missing

__all__ = [
    "Address",
    "Attachment",
    "BadAnswerError",
    "Email",
    "EmailError",
    "EmailFields",
    "EmailOptions",
    "HeaderInjectionError",
    "InboxError",
    "InsecureTransportError",
    "InvalidAddressError",
    "InvalidMessageError",
    "MissingVariable",
    "MissingVariableError",
    "NoSenderError",
    "OutgoingEmail",
    "RecipientsRefusedError",
    "Refusal",
    "RenderedEmail",
    "SendReceipt",
    "SendRefusedError",
    "Template",
    "TemplateError",
    "TemplateNameError",
    "TemplateNotFoundError",
    "TemplateSyntaxError",
    "TemplateUnreadableError",
    "TemplateValueError",
    "Transport",
    "TransportAuthError",
    "TransportUnavailableError",
    "UnsafeLinkError",
    "Url",
    "load_template",
    "open_transport",
    "parse_address",
    "parse_template",
    "render_template",
    "send_email",
]

_email = BoundPart[Email]("email")


@overload
async def send_email(template: str, options: EmailOptions, /) -> SendReceipt: ...
@overload
async def send_email(options: EmailOptions, /) -> SendReceipt: ...
@overload
async def send_email(template: str | None = None, /, **fields: Unpack[EmailFields]) -> SendReceipt: ...
async def send_email(*args: Any, **fields: Any) -> SendReceipt:
    """Send one message with the bound `Infra`; see `Email.send`.

    Raises:
        NotBoundError: No `Infra` is bound here.
    """
    receipt: SendReceipt = await _email.require().send(*args, **fields)
    return receipt


async def load_template(name: str, locale: str | None = None) -> Template:
    """Read a template from the directories of the bound `Infra`; see `Email.load_template`.

    Raises:
        NotBoundError: No `Infra` is bound here.
    """
    return await _email.require().load_template(name, locale)


def render_template(
    template: Template, variables: Mapping[str, object], *, missing: Missing = "error"
) -> RenderedEmail:
    """Fill in `variables` and return subject, HTML, text and preheader. Needs no `Infra`.

    Args:
        variables: Text, numbers, dates and UUIDs, or mappings of them for dotted names. What is not used is ignored.
        missing: What a variable without a value does: raise, stay as it is written, or become empty.

    Raises:
        MissingVariableError: With every variable that has no value, and where.
        TemplateValueError: A value has no plain text form.
        UnsafeLinkError: A value would make a link that runs or misleads.
        HeaderInjectionError: A value for the subject has line breaks or control characters.
    """
    from undercroft.email._render import render_template as render

    return render(template, variables, missing=missing)
