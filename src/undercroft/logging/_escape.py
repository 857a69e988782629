"""Keep a line one line: escape what would end it, colour it, hide in it or turn it around."""

from __future__ import annotations

import re

# Controls (C0, DEL, C1), line and paragraph separators, bidi marks, zero-width and tag characters. The joiners U+200C
# and U+200D stay: Persian words and emoji are made of them.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def escape_unsafe(text: str) -> str:
    """Return `text` as one line.

    The escapes are those of JSON strings, so encoded JSON stays the same JSON: its own quotes and newlines are escaped
    already, and what is left of the unsafe characters can only be inside a string.
    """
    return _UNSAFE.sub(_escaped, text)


def escape_non_ascii(text: str) -> str:
    """Return `text` in ASCII, for a stream that cannot write the rest; JSON stays the same JSON."""
    return _NOT_ASCII.sub(_escaped, text)


def without_surrogates(text: str) -> str:
    """Return `text` with lone surrogates spelled out, so that it can be encoded as UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    if character in _SHORT:
        return _SHORT[character]
    code = ord(character)
    if code < 0x10000:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
