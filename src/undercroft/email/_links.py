"""Values inside a link's address.

A value that starts the address is the whole of it, or its beginning: its scheme is checked. A value anywhere else is
one component: it is percent-encoded, so it adds no path, query or host. What is literal in a template is the author's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from urllib.parse import quote

from undercroft.email._errors import UnsafeLinkError, shorten

LINK_SCHEMES = ("http", "https", "mailto", "tel")
IMAGE_SCHEMES = ("http", "https", "cid")
_SCHEME = re.compile(r"([^/?#:]*):")
_HAS_SCHEME = re.compile(r"[^/?#:]*[/?#:]")
_IN_HOST = re.compile(r"([a-z][a-z0-9+.-]*:)?//[^/?#]*", re.IGNORECASE)
_HOST_PART = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# Everything RFC 3986 knows, and % for what is encoded already.
_URL_CHARACTERS = "%/:?#[]@!$&'()*+,;=~"

Piece = tuple[str, str]
"""A variable's name and its value."""


def fill_url(pieces: Sequence[str | Piece], *, schemes: Sequence[str] = LINK_SCHEMES) -> str:
    """Return the address made of literal text and values.

    Raises:
        UnsafeLinkError: A value brings a scheme that is not one of `schemes`, a host where none may be, or control
            characters where they matter.
    """
    address = ""
    begins_with: str | None = None
    for piece in pieces:
        if isinstance(piece, str):
            address += piece
            continue
        name, value = piece
        if begins_with is None and not _HAS_SCHEME.match(address):
            begins_with = name
        address += _encoder_at(address)(name, value)
    if begins_with is not None:
        _check_scheme(begins_with, address, schemes)
    return address


def _encoder_at(address: str) -> Callable[[str, str], str]:
    if not address:
        return _as_whole
    if _IN_HOST.fullmatch(address):
        return _as_host
    if address.lower().startswith("mailto:"):
        return _as_mailbox
    safe = "+" if address.lower() == "tel:" else ""
    return lambda _, value: quote(value, safe=safe, errors="replace")


def _as_whole(name: str, value: str) -> str:
    _refuse_controls(name, value)
    value = value.strip()
    if value.startswith(("//", "\\")):
        raise UnsafeLinkError(name, "the value starts with // or \\, which leads to another host")
    return quote(value, safe=_URL_CHARACTERS, errors="replace")


def _as_mailbox(name: str, value: str) -> str:
    _refuse_controls(name, value)  # %0A in such a link is a line break in a header of the message people then write
    return quote(value, safe="@", errors="replace")


def _refuse_controls(name: str, value: str) -> None:
    if _CONTROL.search(value):
        raise UnsafeLinkError(name, "the value has a control character")


def _as_host(name: str, value: str) -> str:
    if not _HOST_PART.fullmatch(value):
        raise UnsafeLinkError(
            name,
            f"{shorten(value, 40)!r} is not part of a host name",
            hint="put a / between the host and the variable, or give the whole address as one variable",
        )
    return value


def _check_scheme(name: str, address: str, schemes: Sequence[str]) -> None:
    scheme = _SCHEME.match(address)
    if scheme is not None and scheme.group(1).lower() not in schemes:
        raise UnsafeLinkError(
            name,
            f"the scheme {shorten(scheme.group(1), 40)!r} is not allowed",
            hint=f"allowed: {', '.join(f'{known}:' for known in schemes)}, or a path without a scheme",
        )
