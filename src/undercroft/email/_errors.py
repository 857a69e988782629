"""What goes wrong with email.

EmailError                                       UC2000
├── InvalidMessageError       (ValueError)       UC2001  misuse       the call: unknown, missing or clashing fields
├── InvalidAddressError       (ValueError)       UC2002  refused      an address is not one
├── HeaderInjectionError      (ValueError)       UC2003  refused      a header's name or value would break out
├── NoSenderError                                UC2004  misuse       nobody to send as
├── SendRefusedError                             UC2010  refused      the server or vendor said no, for good
│   ├── RecipientsRefusedError                   UC2011  refused      … to every recipient
│   ├── TransportAuthError                       UC2012  misuse       … to our key or password
│   └── InsecureTransportError                   UC2013  refused      we said no: no trusted TLS
├── TransportUnavailableError (ConnectionError)  UC2020  unavailable  no answer, or "later"
│   ├── BadAnswerError                           UC2021  unavailable  an answer that makes no sense
│   └── InboxError                               UC2022  unavailable  the inbox's directory cannot be used
└── TemplateError                                UC2100
    ├── MissingVariableError  (LookupError)      UC2101  misuse       variables without a value, all of them
    ├── TemplateNotFoundError (LookupError)      UC2102  misuse       no such file, with every path tried
    ├── TemplateUnreadableError (OSError)        UC2103  misuse       the file is there and cannot be read
    ├── TemplateSyntaxError   (ValueError)       UC2104  misuse       front matter or a variable is malformed
    ├── TemplateNameError     (ValueError)       UC2105  refused      a name or locale that cannot be one
    ├── TemplateValueError    (ValueError)       UC2106  misuse       a value that has no plain text form
    └── UnsafeLinkError       (ValueError)       UC2107  refused      a value would make a link that runs or misleads
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from undercroft._core.errors import Kind, UndercroftError


class EmailError(UndercroftError):
    """Base of every error of this module."""

    code = "UC2000"


class InvalidMessageError(EmailError, ValueError):
    """A call to send has unknown, missing or clashing fields, or one of a wrong type."""

    code = "UC2001"


class InvalidAddressError(EmailError, ValueError):
    """An email address is not one; `address` is what was given, `field` where (`to`, `cc`, …)."""

    code = "UC2002"
    kind = Kind.REFUSED
    http_status = 422

    def __init__(self, address: str, reason: str, *, field: str = "address", hint: str | None = None) -> None:
        self.address = address
        self.field = field
        super().__init__(f"{field}: {shorten(address)!r} is not an email address: {reason}", hint=hint)


class HeaderInjectionError(EmailError, ValueError):
    """A header's name or value has characters that would start another header, or hides some in an encoded word."""

    code = "UC2003"
    kind = Kind.REFUSED
    http_status = 422

    def __init__(self, header: str, reason: str, *, hint: str | None = None) -> None:
        self.header = header
        super().__init__(f"{header}: {reason}", hint=hint)


class NoSenderError(EmailError):
    """There is no `from_` in the call and none configured; nothing is made up."""

    code = "UC2004"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One recipient that a server did not take."""

    address: str
    status: int
    """The server's reply code: 4xx may work later, 5xx will not."""
    reason: str

    @property
    def is_temporary(self) -> bool:
        return 400 <= self.status < 500


class SendRefusedError(EmailError):
    """The server or vendor understood the message and will not take it; a retry gives the same answer."""

    code = "UC2010"
    kind = Kind.REFUSED
    http_status = 502

    def __init__(
        self,
        message: str,
        *,
        transport: str,
        status: int | None = None,
        vendor_code: str | None = None,
        refused: Sequence[Refusal] = (),
        hint: str | None = None,
    ) -> None:
        self.transport = transport
        self.status = status
        """The SMTP reply code or HTTP status."""
        self.vendor_code = vendor_code
        """The vendor's own word for it, such as `validation_error`."""
        self.refused = tuple(refused)
        super().__init__(message, hint=hint)


class RecipientsRefusedError(SendRefusedError):
    """Every recipient was refused for good; nothing was sent. `refused` has each."""

    code = "UC2011"


class TransportAuthError(SendRefusedError):
    """The server or vendor does not accept our user, password or key."""

    code = "UC2012"
    kind = Kind.MISUSE


class InsecureTransportError(SendRefusedError):
    """The connection cannot be made private, or its certificate is not trusted; nothing was sent."""

    code = "UC2013"


class TransportUnavailableError(EmailError, ConnectionError):
    """No answer, a broken one, or "try later".

    `may_have_been_sent` is True when the message was handed over and the answer was lost: a retry may send it twice,
    unless it carries an idempotency key and the transport is idempotent.
    """

    code = "UC2020"
    kind = Kind.UNAVAILABLE
    http_status = 503

    def __init__(
        self,
        message: str,
        *,
        transport: str,
        status: int | None = None,
        refused: Sequence[Refusal] = (),
        may_have_been_sent: bool = False,
        retry_after: float | None = None,
        hint: str | None = None,
    ) -> None:
        self.transport = transport
        self.status = status
        self.refused = tuple(refused)
        self.may_have_been_sent = may_have_been_sent
        super().__init__(message, hint=hint, retry_after=retry_after)


class BadAnswerError(TransportUnavailableError):
    """The other side answered with something that its protocol does not have."""

    code = "UC2021"


class InboxError(TransportUnavailableError):
    """The inbox's directory cannot be made, written or read."""

    code = "UC2022"


class TemplateError(EmailError):
    """Base of what goes wrong with templates."""

    code = "UC2100"


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingVariable:
    """One place in a template that has no value."""

    name: str
    path: str
    line: int
    column: int
    near: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}  {{{{{self.name}}}}} has no value"


class MissingVariableError(TemplateError, LookupError):
    """Variables of a template have no value; `missing` has every place, in the order of the file."""

    code = "UC2101"

    def __init__(self, missing: Sequence[MissingVariable], known: Sequence[str]) -> None:
        self.missing = tuple(missing)
        near = list(dict.fromkeys(name for place in missing for name in place.near))
        places = "".join(f"\n  {place}" for place in self.missing)
        count = len({place.name for place in missing})
        guess = f"\n  Did you mean {' or '.join(map(repr, near))}?" if near else ""
        super().__init__(
            f"{count} variable{'' if count == 1 else 's'} without a value:{places}{guess}",
            near=near,
            hint=f'add to data, which has {", ".join(known) or "nothing"}; or render with missing="keep" or "empty"',
        )


class TemplateNotFoundError(TemplateError, LookupError):
    """There is no file for a template; `tried` has every path, in the order of the search."""

    code = "UC2102"

    def __init__(self, name: str, tried: Sequence[str], near: Sequence[str]) -> None:
        self.name = name
        self.tried = tuple(tried)
        paths = "".join(f"\n  {path}" for path in self.tried)
        hint = f"create {self.tried[0]}" if self.tried else "give Email(templates=[…]) a directory"
        if near:
            hint += ", or use one of the names above"
        super().__init__(f"there is no email template {name!r}; looked for:{paths}", near=near, hint=hint)


class TemplateUnreadableError(TemplateError, OSError):
    """A template's file exists and cannot be read: permissions, a directory, not UTF-8."""

    code = "UC2103"

    def __init__(self, path: str, reason: str, *, hint: str | None = None) -> None:
        self.path = path
        super().__init__(f"the email template {path} cannot be read: {reason}", hint=hint)


class TemplateSyntaxError(TemplateError, ValueError):
    """A template's front matter or one of its variables is malformed; `path`, `line` and `column` say where."""

    code = "UC2104"

    def __init__(
        self, path: str, line: int, column: int, problem: str, *, hint: str | None = None, near: Sequence[str] = ()
    ) -> None:
        self.path, self.line, self.column = path, line, column
        super().__init__(f"{path}:{line}:{column}  {problem}", hint=hint, near=near)


class TemplateNameError(TemplateError, ValueError):
    """A template's name or a locale has characters it cannot have; no file was looked for."""

    code = "UC2105"
    kind = Kind.REFUSED
    http_status = 422


class TemplateValueError(TemplateError, ValueError):
    """A variable's value has no plain text form (a list, an object, `None`), or is no mapping where one is needed."""

    code = "UC2106"


class UnsafeLinkError(TemplateError, ValueError):
    """A variable's value would make a link with a scheme other than http, https, mailto or tel, or change its host."""

    code = "UC2107"
    kind = Kind.REFUSED
    http_status = 422

    def __init__(self, variable: str, reason: str, *, hint: str | None = None) -> None:
        self.variable = variable
        super().__init__(f"{{{{{variable}}}}} cannot be put in a link: {reason}", hint=hint)


def shorten(text: str, limit: int = 80) -> str:
    """Cut text for a message."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
