"""Turn any Python value into plain JSON data: safe, bounded, redacted, and never touching the value itself.

Mappings, sequences, sets, dataclasses, named tuples and models of msgspec, attrs and pydantic become objects and
arrays, so that their secret fields are found by name. Everything else is its `repr`. A value that cannot be shown
becomes a text that says so; nothing here raises because of a value.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections import deque
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from itertools import islice
from pathlib import PurePath
from typing import Any, Protocol, TypeAlias, Union
from uuid import UUID

import msgspec

from undercroft._core.url import HIDDEN
from undercroft.logging._escape import without_surrogates
from undercroft.logging._exceptions import describe
from undercroft.logging._redact import Redaction, is_secret, redact_text
from undercroft.logging._redact import Redactor as Rules

Plain: TypeAlias = Union[bool, int, float, str, list["Plain"], dict[str, "Plain"], None]  # noqa: UP007 - recursive

_MAX_TEXT = 8_192
"""Characters shown of one text; the rest is counted."""
_MAX_CHARACTERS = 65_536
"""Characters shown of all texts of one record together, about: each field may have its least share."""
_LEAST_CHARACTERS = 256
LEAST_CARD = 10**12
"""Below the least payment card number, written as an integer."""
_MAX_VALUES = 2_000
_LEAST_VALUES = 16
_MAX_ITEMS = 200
_MAX_DEPTH = 10
_MORE = "…"
# A key of which nothing can be hidden, nor cut: secrets are longer, or have digits or other characters.
_PLAIN_NAME = re.compile(r"[A-Za-z_]{1,20}")
# A URL that begins before the cut must be seen up to its "@", or half a password would stay.
_URL_ROOM = 4_096


class Redactor(Protocol):
    """What hides secrets."""

    def is_secret(self, key: str, value: object) -> bool:
        """Tell whether `value` must be hidden because of its `key`."""

    def redact_text(self, text: str) -> str:
        """Return `text` without the secrets in it."""


class _Standard:
    is_secret = staticmethod(is_secret)
    redact_text = staticmethod(redact_text)


class _Chosen:
    def __init__(self, redaction: Redaction) -> None:
        rules = Rules(redaction)
        self.is_secret = rules.is_secret
        self.redact_text = rules.text


class _Nothing:
    def is_secret(self, key: str, value: object) -> bool:  # noqa: ARG002 - whatever they are
        return False

    def redact_text(self, text: str) -> str:
        return text


STANDARD: Redactor = _Standard()
"""What hides when nothing else was chosen."""
NO_REDACTION: Redactor = _Nothing()
"""Hides nothing: passwords, card numbers and tokens are written as they are. For comparing, and for nobody's data."""


def redactor_of(redaction: Redaction | Redactor | None) -> Redactor:
    """Return what hides by an application's settings; the standard rules when `None`."""
    if redaction is None:
        return STANDARD
    return _Chosen(redaction) if isinstance(redaction, Redaction) else redaction


class Conversion:
    """The conversion of one record's values, which share its caps. One for each record, used by one thread."""

    def __init__(
        self, *, redactor: Redactor = STANDARD, characters: int = _MAX_CHARACTERS, values: int = _MAX_VALUES
    ) -> None:
        self.redactor = redactor
        self._characters = self._all_characters = characters
        self._values = self._all_values = values
        self._path: set[int] = set()

    @property
    def used_characters(self) -> int:
        """How much of the cap on characters is used."""
        return self._all_characters - self._characters

    @property
    def used_values(self) -> int:
        """How much of the cap on values is used."""
        return self._all_values - self._values

    def value(self, value: object, depth: int = 0) -> Plain:
        """Return `value` as plain data."""
        self._values -= 1
        try:
            return self._convert(value, depth)
        except Exception as exc:
            return f"<unprintable {type(value).__name__}: {type(exc).__name__}>"

    def text(self, text: str, *, keep_end: bool = False) -> str:
        """Return `text` redacted, valid as UTF-8, and cut to what is left of the caps."""
        limit = min(_MAX_TEXT, self._characters)
        raw = str.__str__(text)
        # What is hidden makes the rest move up, so the room goes too: what begins in it may be half a secret.
        spare = _URL_ROOM if len(raw) > limit + _URL_ROOM else 0
        if keep_end:
            shown = self.redactor.redact_text(raw[-limit - _URL_ROOM :])[spare:][-limit:] if limit else ""
        else:
            shown = self.redactor.redact_text(raw[: limit + _URL_ROOM])
            shown = shown[: max(0, len(shown) - spare)][:limit]
        self._characters -= len(shown)
        shown = without_surrogates(shown)
        left = len(raw) - limit
        if left <= 0:
            return shown
        note = f"(+{left} characters)"
        return f"{note}{_MORE}{shown}" if keep_end else f"{shown}{_MORE}{note}"

    def mapping(self, items: Iterable[tuple[object, object]], depth: int = 0) -> dict[str, Plain]:
        """Return key and value pairs as an object, with the values of secret keys hidden."""
        plain: dict[str, Plain] = {}
        for key, item in islice(items, _MAX_ITEMS + 1):
            if len(plain) == _MAX_ITEMS or self._values <= 0:
                plain[_MORE] = "more"
                break
            name = self.name(key)
            plain[self._shown_name(name)] = (
                HIDDEN if self.redactor.is_secret(name, item) else self.value(item, depth + 1)
            )
        return plain

    def _shown_name(self, name: str) -> str:
        if _PLAIN_NAME.fullmatch(name) is None:
            return self.text(name)
        self._characters -= len(name)
        return name

    def fields(self, fields: Mapping[str, object]) -> dict[str, Plain]:
        """Return a record's fields, each within its share of the caps: a huge one leaves the others theirs."""
        plain: dict[str, Plain] = {}
        left = min(len(fields), _MAX_ITEMS)
        for name, value in islice(fields.items(), left):
            characters = max(_LEAST_CHARACTERS, self._characters // left)
            values = max(_LEAST_VALUES, self._values // left)
            share = Conversion(redactor=self.redactor, characters=characters, values=values)
            plain.update(share.mapping([(name, value)]))
            self._characters = max(0, self._characters - share.used_characters)
            self._values = max(0, self._values - share.used_values)
            left -= 1
        if len(fields) > _MAX_ITEMS:
            plain[_MORE] = "more"
        return plain

    def _convert(self, value: Any, depth: int) -> Plain:
        if value is None or value is True or value is False:
            return value
        if isinstance(value, Enum):
            return self.value(value.value, depth)
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, int):
            return self._integer(int.__index__(value))
        if isinstance(value, float):
            return _float(float.__float__(value))
        if isinstance(value, bytes | bytearray | memoryview):
            enough = 4 * (_MAX_TEXT + _URL_ROOM) + 4  # bytes: a character has at most four
            return self.text(bytes(value[:enough]).decode("utf-8", "backslashreplace"))
        if isinstance(value, date | time):
            return self.text(value.isoformat())
        if isinstance(value, Decimal | UUID | PurePath | timedelta):
            return self.text(str(value))
        return self._nested(value, depth)

    def _nested(self, value: Any, depth: int) -> Plain:
        if depth >= _MAX_DEPTH or self._values <= 0:
            return f"<{type(value).__name__}, not shown: the record is too {'deep' if self._values > 0 else 'large'}>"
        if hasattr(type(value), "__undercroft_secret__"):
            return HIDDEN
        if id(value) in self._path:
            return "<cycle>"
        self._path.add(id(value))
        try:
            return self._container(value, depth)
        finally:
            self._path.discard(id(value))

    def _container(self, value: Any, depth: int) -> Plain:
        if isinstance(value, BaseException):
            return describe(value, self, depth)
        if isinstance(value, Mapping):
            return self.mapping(value.items(), depth)
        parts = _named_parts(value)
        if parts is not None:
            return self.mapping(parts, depth)
        if isinstance(value, list | tuple | AbstractSet | deque):
            return self._sequence(value, depth)
        return self.text(repr(value))

    def _sequence(self, items: Iterable[object], depth: int) -> list[Plain]:
        plain: list[Plain] = []
        for item in islice(items, _MAX_ITEMS + 1):
            if len(plain) == _MAX_ITEMS or self._values <= 0:
                plain.append(_MORE)
                break
            plain.append(self._header(item) or self.value(item, depth + 1))
        return plain

    def _header(self, item: object) -> list[Plain] | None:
        # Pairs in a sequence are how headers, cookies and form fields are kept: [(b"authorization", b"Bearer …")].
        if type(item) is not tuple or len(item) != 2 or not isinstance(item[0], str | bytes):
            return None
        name = self.name(item[0])
        return [self.text(name), HIDDEN] if self.redactor.is_secret(name, item[1]) else None

    def name(self, key: object) -> str:
        """Return a mapping's key as the text that names its value. As it is: neither redacted nor cut."""
        if type(key) is str:
            return key
        plain = self.value(key, _MAX_DEPTH - 2)
        return plain if isinstance(plain, str) else str(plain)

    def _integer(self, value: int) -> Plain:
        if LEAST_CARD < value < 2**64:  # card numbers are integers to many
            text = str(value)
            redacted = self.redactor.redact_text(text)
            return value if redacted == text else redacted
        if -(2**63) <= value < 2**64:
            return value
        try:
            return self.text(str(value))
        except ValueError:  # more digits than the interpreter is willing to write
            return f"<integer of {value.bit_length()} bits>"


def _float(value: float) -> Plain:
    # JSON has no word for these.
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _named_parts(value: Any) -> list[tuple[object, object]] | None:
    """Return the fields of a record-like value; `None` for others, and for those that asked to write themselves."""
    kind = type(value)
    if isinstance(value, type):
        return None
    if dataclasses.is_dataclass(value):
        shown = [field.name for field in dataclasses.fields(value) if field.repr]
        return _parts(value, shown) if kind.__dataclass_params__.repr else None
    if isinstance(value, msgspec.Struct):
        return _parts(value, value.__struct_fields__)
    if hasattr(kind, "__attrs_attrs__"):
        return _parts(value, [attribute.name for attribute in kind.__attrs_attrs__ if attribute.repr])
    if hasattr(kind, "__pydantic_fields__"):
        return _parts(value, [name for name, field in kind.__pydantic_fields__.items() if field.repr])
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        return _parts(value, kind._fields)
    return None


def _parts(value: object, names: Iterable[str]) -> list[tuple[object, object]]:
    return [(name, getattr(value, name)) for name in names]


def valid(plain: Plain) -> Plain:
    """Return plain data with lone surrogates spelled out, in a copy where there are any containers."""
    if isinstance(plain, str):
        return without_surrogates(plain)
    if isinstance(plain, list):
        return [valid(item) for item in plain]
    if isinstance(plain, dict):
        return {without_surrogates(name): valid(value) for name, value in plain.items()}
    return plain
