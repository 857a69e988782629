"""Email addresses: one strict reading of `a@b.c` and `Name <a@b.c>`.

Stricter than RFC 5322 on purpose: no comments, groups, routes, quoted local parts or address literals. What parsers
disagree about is where addresses get smuggled (CVE-2023-27043), and no mailbox of a person needs it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from undercroft.email._errors import InvalidAddressError
from undercroft.email._headers import check_value
from undercroft.email._protocol import Address

AddressLike = str | Address
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_FRAMED = re.compile(r"(?P<name>[^<>]*)<(?P<email>[^<>]*)>")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_NEEDS_QUOTES = re.compile(r'[@,;:"()\[\]\\]')
_MAX_LENGTH = 254
"""RFC 5321 section 4.5.3.1.3, without the angle brackets."""


def parse_address(text: AddressLike, *, field: str = "address") -> Address:
    """Read one address.

    Args:
        text: `ann@example.com`, `Ann <ann@example.com>` or `"Ann, B." <ann@example.com>`.
        field: Where it came from; named in errors.

    Raises:
        InvalidAddressError: It is none of these, or more than one.
        HeaderInjectionError: It has control characters or encoded words.
    """
    if isinstance(text, Address):
        text = f"{_quote(text.name)} <{text.email}>" if text.name else text.email
    if not isinstance(text, str):
        raise InvalidAddressError(str(text), f"it is a {type(text).__name__}, not text", field=field)
    check_value(field, text)
    stripped = text.strip()
    framed = _FRAMED.fullmatch(stripped) or _FRAMED.fullmatch(_hide_quoted(stripped))
    if framed is None:
        return Address(_check_email(stripped, text, field))
    start = framed.start("email")
    email = stripped[start : framed.end("email")]
    return Address(_check_email(email, text, field), _read_name(stripped[: start - 1].strip(), text, field))


def parse_addresses(value: AddressLike | Sequence[AddressLike] | None, *, field: str) -> tuple[Address, ...]:
    """Read one address or a sequence of them; the same mailbox twice is kept once.

    Raises:
        InvalidAddressError: As `parse_address`, for the first that is wrong.
    """
    if value is None:
        return ()
    if isinstance(value, str | Address):
        return (parse_address(value, field=field),)
    if not isinstance(value, Iterable):
        raise InvalidAddressError(str(value), f"it is a {type(value).__name__}, not text", field=field)
    unique: dict[str, Address] = {}
    for item in value:
        address = parse_address(item, field=field)
        unique.setdefault(address.email, address)
    return tuple(unique.values())


def _check_email(email: str, given: str, field: str) -> str:
    local, at, domain = email.rpartition("@")
    if not at or not local or not domain:
        raise InvalidAddressError(given, "it has no name or no domain around an @", field=field)
    if re.search(r"[,;]", email):
        raise InvalidAddressError(given, "it is more than one", field=field, hint=f"give a list: {field}=[…, …]")
    if not local.isascii():
        raise InvalidAddressError(
            given, "the part before @ is not ASCII", field=field, hint="only the domain may use other alphabets"
        )
    if len(local) > 64 or not _LOCAL.fullmatch(local):
        raise InvalidAddressError(given, "the part before @ is malformed", field=field)
    host = _ascii_domain(domain, given, field)
    if len(local) + 1 + len(host) > _MAX_LENGTH:
        raise InvalidAddressError(given, f"it is longer than {_MAX_LENGTH} characters", field=field)
    return f"{local}@{host}"


def _ascii_domain(domain: str, given: str, field: str) -> str:
    host = domain if domain.isascii() else _to_idna(domain, given, field)
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in host.split(".")):
        raise InvalidAddressError(given, "the domain is malformed", field=field)
    return host.lower()


def _to_idna(domain: str, given: str, field: str) -> str:
    """Encode an international domain, unless that would silently make it another one (`ß` to `ss`)."""
    try:
        host = domain.encode("idna").decode("ascii")
        is_same = host.encode("ascii").decode("idna") == domain.lower()
    except UnicodeError:
        is_same = False
    if not is_same:
        raise InvalidAddressError(
            given, "the domain has no unambiguous xn-- form", field=field, hint="write the domain in its xn-- form"
        )
    return host


def _read_name(name: str, given: str, field: str) -> str:
    quoted = _QUOTED.fullmatch(name)
    if quoted is not None:
        return check_value(field, re.sub(r"\\(.)", r"\1", quoted.group(1)).strip())
    if _NEEDS_QUOTES.search(name):
        raise InvalidAddressError(
            given, "the name has special characters", field=field, hint='put the name in quotes: "Doe, Ann" <a@b.c>'
        )
    return name


def _hide_quoted(text: str) -> str:
    """Replace a leading quoted name by filler of the same length, so that brackets in it do not count."""
    quoted = _QUOTED.match(text)
    return text if quoted is None else "x" * quoted.end() + text[quoted.end() :]


def _quote(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
