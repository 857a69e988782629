"""Header values: what may be in one, and how it is written.

Values are checked as people will read them, after decoding, since `=?utf-8?q?a=0D=0ABcc=3A…?=` is harmless as it
stands and a header of its own once a library decodes and writes it again (CVE-2024-6923). They are encoded here and not
by the standard library's policies, whose folding differs between patch levels of one Python version.
"""

from __future__ import annotations

import base64
import re
from urllib.parse import quote

from undercroft.email._errors import HeaderInjectionError, shorten

# C0 and C1 controls (CR, LF, tab, NUL, VT, FF, ESC, NEL, …), DEL, and Unicode's line and paragraph separators.
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_ENCODED_WORD = re.compile(r"=\?[^?]*\?[bBqQ]\?[^?]*(\?=|$)")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,75}")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+( [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_OURS = {
    *("from", "to", "cc", "bcc", "sender", "reply-to", "subject", "date", "message-id", "mime-version"),
    *("return-path", "received", "auto-submitted", "dkim-signature"),
}
_MAX_LINE = 998
"""RFC 5322 section 2.1.1, without the CRLF."""
_SOFT_LINE = 76
_WORD_BYTES = 39
"""UTF-8 bytes in one encoded word: 52 characters of base64, 64 with its frame, so that `Subject: ` fits before it."""


def check_value(header: str, value: str) -> str:
    """Return `value` if it can be a header's value.

    Raises:
        HeaderInjectionError: It has a control character, a line or paragraph separator, or an RFC 2047 encoded word.
    """
    found = _FORBIDDEN.search(value)
    if found is not None:
        raise HeaderInjectionError(
            header,
            f"the value has the character U+{ord(found.group()):04X}, which could start another header",
            hint="a header's value is one line; remove line breaks and control characters from what users type",
        )
    if _ENCODED_WORD.search(value):
        raise HeaderInjectionError(
            header,
            "the value has an encoded word (=?charset?q?…?=), which can hide line breaks",
            hint="give plain text; other alphabets are encoded for you",
        )
    return value


def check_custom(name: object, value: object) -> tuple[str, str]:
    """Return a header that the caller adds, checked.

    Raises:
        HeaderInjectionError: The name is no header's name or is one that we write; or see `check_value`.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise HeaderInjectionError("headers", f"{shorten(str(name))!r} is not the name of a header")
    if name.lower() in _OURS or name.lower().startswith(("content-", "resent-")):
        raise HeaderInjectionError(name, "this header is written for you", hint=_hint_for(name.lower()))
    if not isinstance(value, str):
        raise HeaderInjectionError(name, f"the value is a {type(value).__name__}, not text")
    return name, check_value(name, value.strip(" "))


def encode_text(header: str, value: str) -> str:
    """Return `value` for the line of `header`, folded; encoded words where plain ASCII will not do."""
    if value.isascii() and "=?" not in value and value == value.strip():
        folded = _fold(value, used=len(header) + 2)
        if all(len(line) <= _MAX_LINE for line in f"{header}: {folded}".split("\r\n")):
            return folded
    return "\r\n ".join(_encoded_words(value))


def encode_phrase(name: str) -> str:
    """Return a display name as an RFC 5322 phrase."""
    if "=?" not in name and _ATOMS.fullmatch(name) and len(name) <= _SOFT_LINE:
        return name
    if "=?" not in name and name.isascii() and len(name) <= _SOFT_LINE:
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return "\r\n ".join(_encoded_words(name))


def encode_filename(filename: str) -> str:
    """Return the parameters of Content-Disposition for `filename`: RFC 2183, and RFC 8187 for other alphabets."""
    if filename.isascii() and len(filename) <= 60:
        escaped = filename.replace("\\", "\\\\").replace('"', '\\"')
        return f'filename="{escaped}"'
    return f"filename*=UTF-8''{quote(filename, safe='')}"


def unfold(value: str) -> str:
    """Undo the folding of a header's value."""
    return re.sub(r"\r?\n(?=[ \t])", "", value)


def _encoded_words(value: str) -> list[str]:
    words, chunk = [], b""
    for character in value:
        encoded = character.encode()
        if len(chunk) + len(encoded) > _WORD_BYTES:
            words.append(chunk)
            chunk = b""
        chunk += encoded
    words.append(chunk)
    return [f"=?utf-8?b?{base64.b64encode(word).decode()}?=" for word in words]


def _fold(value: str, *, used: int) -> str:
    """Break at single spaces, so that unfolding gives back the same text."""
    lines, line = [], ""
    for word in re.split(r"(?<=[^ ]) (?=[^ ])", value):
        if line and used + len(line) + 1 + len(word) > _SOFT_LINE:
            lines.append(line)
            line, used = word, 1
        else:
            line = f"{line} {word}" if line else word
    return "\r\n ".join([*lines, line])


def _hint_for(name: str) -> str:
    fields = {"from": "from_", "reply-to": "reply_to", "to": "to", "cc": "cc", "bcc": "bcc", "subject": "subject"}
    return f"use {fields[name]}=" if name in fields else "leave it out"
