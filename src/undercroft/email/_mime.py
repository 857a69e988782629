"""A message as bytes: RFC 5322 and MIME, every line ended by CRLF, at most 998 octets, ASCII only.

    multipart/mixed                 only when there are attachments
    ├── multipart/alternative
    │   ├── text/plain              quoted-printable
    │   └── text/html               quoted-printable
    └── <the attachment>            base64, one part each

Bodies are encoded, so they hold no bare CR or LF and no line that could end the message early. Boundaries start with
`=_`, which neither encoding can produce.
"""

from __future__ import annotations

import base64
import quopri
import re
import secrets
from collections.abc import Iterable

from undercroft.email._errors import HeaderInjectionError
from undercroft.email._headers import encode_filename, encode_phrase, encode_text, unfold
from undercroft.email._protocol import Address, Attachment, OutgoingEmail

Header = tuple[str, str]


def to_bytes(message: OutgoingEmail) -> bytes:
    """Return `message` as it goes over the wire, without Bcc; parsed again and compared before it is returned.

    Raises:
        HeaderInjectionError: What a parser finds in the bytes is not what was asked for.
    """
    headers = message_headers(message)
    content = _alternative(message)
    if message.attachments:
        content = _multipart("mixed", [content, *map(_attachment, message.attachments)])
    part_headers, body = content
    data = _write([*headers, *part_headers], body)
    verify(data, [*headers, *part_headers], message.attachments)
    return data


def message_headers(message: OutgoingEmail) -> list[Header]:
    """Return the headers before the MIME ones, encoded and folded."""
    from email.utils import format_datetime

    headers = [
        ("Date", format_datetime(message.created_at)),
        ("Message-ID", f"<{message.message_id}>"),
        ("From", _mailboxes([message.sender])),
        ("To", _mailboxes(message.to)),
        ("Cc", _mailboxes(message.cc)),
        ("Reply-To", _mailboxes(message.reply_to)),
        ("Subject", encode_text("Subject", message.subject)),
        *((name, encode_text(name, value)) for name, value in message.headers),
        ("Auto-Submitted", "auto-generated"),  # RFC 3834: no vacation notices in answer to us
        ("MIME-Version", "1.0"),
    ]
    return [(name, value) for name, value in headers if value or name == "Subject"]


def verify(data: bytes, expected: Iterable[Header], attachments: Iterable[Attachment]) -> None:
    """Parse `data` with the standard library and compare its headers and parts with what was asked for.

    The values were checked when they came in; this is the net under that check.

    Raises:
        HeaderInjectionError: They differ.
    """
    from email import message_from_bytes

    parsed = message_from_bytes(data)
    found = [(name, unfold(value)) for name, value in parsed.items()]
    wanted = [(name, unfold(value)) for name, value in expected]
    names = [attachment.filename for attachment in attachments]
    leaves = [part for part in parsed.walk() if not part.is_multipart()]
    if found != wanted or any(part.defects for part in parsed.walk()):
        raise _mismatch([name for name, _ in wanted], [name for name, _ in found])
    if [part.get_filename() for part in leaves] != [None, None, *names]:
        raise _mismatch(names, [str(part.get_filename()) for part in leaves])


def _alternative(message: OutgoingEmail) -> tuple[list[Header], bytes]:
    return _multipart("alternative", [_text("plain", message.text), _text("html", message.html)])


def _multipart(subtype: str, parts: list[tuple[list[Header], bytes]]) -> tuple[list[Header], bytes]:
    boundary = f"=_{secrets.token_hex(16)}"
    opening = f"--{boundary}\r\n".encode()
    body = b"".join(opening + _write(headers, content) + b"\r\n" for headers, content in parts)
    return [("Content-Type", f'multipart/{subtype};\r\n boundary="{boundary}"')], body + f"--{boundary}--\r\n".encode()


def _text(subtype: str, text: str) -> tuple[list[Header], bytes]:
    unix = re.sub(r"\r\n?", "\n", text).encode("utf-8", "replace")
    encoded = quopri.encodestring(unix).replace(b"\n", b"\r\n")
    return [
        ("Content-Type", f"text/{subtype}; charset=utf-8"),
        ("Content-Transfer-Encoding", "quoted-printable"),
    ], encoded


def _attachment(attachment: Attachment) -> tuple[list[Header], bytes]:
    encoded = base64.encodebytes(attachment.content).replace(b"\n", b"\r\n")
    return [
        ("Content-Type", attachment.content_type),
        ("Content-Disposition", f"attachment;\r\n {encode_filename(attachment.filename)}"),
        ("Content-Transfer-Encoding", "base64"),
    ], encoded


def _write(headers: Iterable[Header], body: bytes) -> bytes:
    head = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return head.encode("ascii") + b"\r\n" + body


def _mailboxes(addresses: Iterable[Address]) -> str:
    return ",\r\n ".join(
        f"{encode_phrase(address.name)}\r\n <{address.email}>" if address.name else address.email
        for address in addresses
    )


def _mismatch(wanted: list[str], found: list[str]) -> HeaderInjectionError:
    extra = [name for name in found if name not in wanted]
    return HeaderInjectionError(
        extra[0] if extra else "message", "the message reads differently than it was written, so it was not sent"
    )
