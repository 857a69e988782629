"""From checked fields and a content to one `OutgoingEmail`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from undercroft._core.context import Correlation
from undercroft.email._addresses import parse_address, parse_addresses
from undercroft.email._errors import HeaderInjectionError, InvalidMessageError, NoSenderError, shorten
from undercroft.email._headers import check_custom, check_value
from undercroft.email._layout import wrap
from undercroft.email._plain import html_to_text, text_to_html
from undercroft.email._protocol import Address, Attachment, OutgoingEmail, RenderedBody

_CONTENT_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,63}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,63}")
_KEY = re.compile(r"[\x21-\x7e]{1,256}")
_MAX_FILENAME_BYTES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a message says."""

    subject: str
    html: str
    text: str


def direct_content(fields: Mapping[str, Any], *, lang: str) -> Content:
    """Return the content of a message without a template. A part that is not given is made from the other."""
    for name in ("subject", "body", "html", "text"):
        if not isinstance(fields.get(name, ""), str):
            raise InvalidMessageError(f"{name} is a {type(fields[name]).__name__}, not text")
    subject = check_value("subject", fields["subject"])
    body = fields.get("body")
    if isinstance(body, RenderedBody):
        return Content(subject=subject, html=body.html, text=str(body))
    if body is not None:
        from undercroft.email._markdown import render

        html, text = render(body)
        return Content(subject=subject, html=wrap(html, title=subject, lang=lang), text=text)
    if "html" not in fields:
        document = wrap(text_to_html(fields["text"]), title=subject, lang=lang)
        return Content(subject=subject, html=document, text=fields["text"])
    html = fields["html"]
    return Content(subject=subject, html=html, text=fields["text"] if "text" in fields else html_to_text(html))


def compose(
    fields: Mapping[str, Any],
    content: Content,
    *,
    id_: str,
    created_at: datetime,
    default_from: str | Address | None,
    correlation: Correlation,
    template: str | None = None,
) -> OutgoingEmail:
    """Check every field and return the message.

    Raises:
        InvalidAddressError: In `to`, `cc`, `bcc`, `reply_to` or `from_`.
        HeaderInjectionError: A header, the subject or an attachment's name would break out of its line.
        InvalidMessageError: Nobody in `to`, or a field of a wrong type.
        NoSenderError: No sender in the fields and no default.
    """
    sender = _sender(fields.get("from_", default_from))
    to = parse_addresses(fields["to"], field="to")
    if not to:
        raise InvalidMessageError("to is empty: the message has no recipient")
    key = _check_key(fields.get("idempotency_key"))
    return OutgoingEmail(
        id=id_,
        message_id=_message_id(id_, key, sender),
        sender=sender,
        to=to,
        cc=parse_addresses(fields.get("cc"), field="cc"),
        bcc=parse_addresses(fields.get("bcc"), field="bcc"),
        reply_to=parse_addresses(fields.get("reply_to"), field="reply_to"),
        subject=content.subject,
        text=content.text,
        html=content.html,
        headers=_headers(fields.get("headers", {})),
        attachments=tuple(_attachment(item) for item in _iterate(fields.get("attachments", ()), "attachments")),
        idempotency_key=key,
        created_at=created_at,
        template=template,
        locale=fields.get("locale"),
        correlation=correlation,
    )


def _sender(value: str | Address | None) -> Address:
    if value is None:
        raise NoSenderError(
            "there is no sender", hint="set EMAIL_FROM, give Email(…, from_=…), or from_= in the call; none is made up"
        )
    return parse_address(value, field="from_")


def _message_id(id_: str, key: str | None, sender: Address) -> str:
    # The same key gives the same Message-ID, so that a receiving server can drop the second copy where we could not.
    local = id_.lower() if key is None else hashlib.sha256(key.encode()).hexdigest()[:32]
    return f"{local}@{sender.domain}"


def _check_key(key: object) -> str | None:
    if key is None or (isinstance(key, str) and _KEY.fullmatch(key)):
        return key
    raise InvalidMessageError(
        "idempotency_key cannot be used",
        hint="1 to 256 visible ASCII characters without spaces, such as welcome/user/42; hash anything else",
    )


def _headers(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, Mapping):
        raise InvalidMessageError(f"headers is a {type(value).__name__}, not a mapping of names to values")
    headers = tuple(check_custom(name, text) for name, text in value.items())
    if len({name.lower() for name, _ in headers}) < len(headers):
        raise InvalidMessageError("headers has one name twice, in different case")
    return headers


def _attachment(item: object) -> Attachment:
    if not isinstance(item, Attachment):
        raise InvalidMessageError(
            f"an attachment is a {type(item).__name__}", hint="give Attachment(filename, content, content_type)"
        )
    _check_filename(item.filename)
    content: object = item.content
    if not isinstance(content, bytes):
        raise InvalidMessageError(f"the content of {item.filename!r} is a {type(content).__name__}, not bytes")
    _check_content_type(item.content_type)
    return item


def _check_filename(name: object) -> None:
    if not isinstance(name, str):
        raise InvalidMessageError(f"a filename is a {type(name).__name__}, not text")
    check_value("filename", name)
    if not name or name != name.strip() or re.search(r"[/\\]", name) or len(name.encode()) > _MAX_FILENAME_BYTES:
        raise InvalidMessageError(
            f"{shorten(name)!r} is not a file's name",
            hint=f"1 to {_MAX_FILENAME_BYTES} bytes, without folders, no space at the ends",
        )


def _check_content_type(type_: object) -> None:
    if not isinstance(type_, str) or not _CONTENT_TYPE.fullmatch(type_):
        raise HeaderInjectionError("content_type", f"{shorten(str(type_))!r} is not type/subtype")
    if type_.lower().startswith(("multipart/", "message/")):
        raise HeaderInjectionError("content_type", f"an attachment cannot be {type_}")


def _iterate(value: object, field: str) -> Iterable[object]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise InvalidMessageError(f"{field} is a {type(value).__name__}, not a list")
    return value
