"""Structured fields (RFC 9651): what the rate-limit fields need of them, read and written.

Reading takes every bare item and parameter, since fields may carry parameters of others; writing does strings, integers
and byte sequences. A field that breaks the grammar anywhere is refused as a whole, as the RFC wants.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

LARGEST = 999_999_999_999_999
"""The largest integer of a structured field."""
_MAX_LENGTH = 8192

Bare = int | float | str | bytes | bool
M = TypeVar("M")


class Token(str):
    """A bare word; a quoted string is a plain `str`."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Item:
    """A value with its parameters."""

    value: Bare | None
    """`None` stands for an inner list, which no rate-limit field has."""
    parameters: Mapping[str, Bare] = field(default_factory=dict)


class MalformedFieldError(ValueError):
    """A field's text is not a structured field."""


def parse_list(text: str) -> list[Item]:
    """Read a List.

    Raises:
        MalformedFieldError: The text is not one.
    """
    return _Reader(text).whole(lambda reader: reader.members(_Reader.item_or_inner_list))


def parse_dictionary(text: str) -> dict[str, Item]:
    """Read a Dictionary; of a key that comes twice, the last counts.

    Raises:
        MalformedFieldError: The text is not one.
    """
    return dict(_Reader(text).whole(lambda reader: reader.members(_Reader.pair)))


def write_string(text: str) -> str:
    """Return `text` as a String; what is not printable ASCII becomes a question mark."""
    plain = "".join(letter if " " <= letter <= "~" else "?" for letter in text)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def write_integer(number: int) -> str:
    """Return `number` as an Integer, within what one may be."""
    return str(max(-LARGEST, min(LARGEST, number)))


def write_bytes(data: bytes) -> str:
    """Return `data` as a Byte Sequence."""
    return f":{base64.b64encode(data).decode('ascii')}:"


class _Reader:
    """Walks over one field's text. Lives for one reading."""

    _NUMBER = re.compile(r"-?(?:[0-9]{1,12}\.[0-9]{1,3}(?![0-9.])|[0-9]{1,15}(?![0-9.]))")
    _STRING = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
    _TOKEN = re.compile(r"[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*")
    _BYTES = re.compile(r":([A-Za-z0-9+/]*={0,2}):")
    _BOOLEAN = re.compile(r"\?([01])")
    _DATE = re.compile(r"@(-?[0-9]{1,15})(?![0-9.])")
    _DISPLAY = re.compile(r'%"((?:[ !#$&-~]|%[0-9a-f]{2})*)"')
    _KEY = re.compile(r"[a-z*][a-z0-9_\-.*]*")
    _COMMA = re.compile(r",[ \t]*")
    _OPTIONAL = re.compile(r"[ \t]*")
    _SPACES = re.compile(r" *")

    def __init__(self, text: str) -> None:
        if len(text) > _MAX_LENGTH:
            raise MalformedFieldError("the field is too long")
        self._text = text.strip(" ")
        self._at = 0

    def whole(self, read: Callable[[_Reader], M]) -> M:
        """Return what `read` reads; nothing may be left."""
        result = read(self)
        if self._at != len(self._text):
            raise self._problem()
        return result

    def members(self, read: Callable[[_Reader], M]) -> list[M]:
        """Read members with commas between them."""
        found: list[M] = []
        while self._at < len(self._text):
            found.append(read(self))
            self._take(self._OPTIONAL)
            if self._at == len(self._text):
                break
            self._take(self._COMMA)
            if self._at == len(self._text):
                raise self._problem()
        return found

    def item_or_inner_list(self) -> Item:
        """Read a member of a List."""
        if not self._text.startswith("(", self._at):
            return self.item()
        self._at += 1
        while True:
            self._take(self._SPACES)
            if self._text.startswith(")", self._at):
                self._at += 1
                return Item(None, self._parameters())
            self.item()
            if self._text[self._at : self._at + 1] not in (" ", ")"):
                raise self._problem()

    def item(self) -> Item:
        """Read a value and its parameters."""
        value = self._bare()
        return Item(value, self._parameters())

    def pair(self) -> tuple[str, Item]:
        """Read a member of a Dictionary."""
        key = self._take(self._KEY)[0]
        if not self._text.startswith("=", self._at):
            return key, Item(True, self._parameters())  # the RFC's: a key alone is true
        self._at += 1
        return key, self.item_or_inner_list()

    def _parameters(self) -> dict[str, Bare]:
        found: dict[str, Bare] = {}
        while self._text.startswith(";", self._at):
            self._at += 1
            self._take(self._SPACES)
            key = self._take(self._KEY)[0]
            value: Bare = True
            if self._text.startswith("=", self._at):
                self._at += 1
                value = self._bare()
            found.pop(key, None)
            found[key] = value
        return found

    def _bare(self) -> Bare:
        first = self._text[self._at : self._at + 1]
        if first == '"':
            return re.sub(r"\\(.)", r"\1", self._take(self._STRING)[1])
        if first == ":":
            return self._bytes()
        if first == "?":
            return self._take(self._BOOLEAN)[1] == "1"
        if first == "@":
            return int(self._take(self._DATE)[1])
        if first == "%":
            return self._display_string()
        if first == "-" or first.isdigit():
            text = self._take(self._NUMBER)[0]
            return float(text) if "." in text else int(text)
        return Token(self._take(self._TOKEN)[0])

    def _bytes(self) -> bytes:
        text = self._take(self._BYTES)[1]
        try:
            return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True)
        except binascii.Error:
            raise self._problem() from None

    def _display_string(self) -> str:
        text = self._take(self._DISPLAY)[1]
        data = re.sub(rb"%([0-9a-f]{2})", lambda match: bytes([int(match[1], 16)]), text.encode("ascii"))
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            raise self._problem() from None

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str]:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise self._problem()
        self._at = match.end()
        return match

    def _problem(self) -> MalformedFieldError:
        return MalformedFieldError(f"not a structured field at character {self._at}")
