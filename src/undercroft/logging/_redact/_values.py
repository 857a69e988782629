"""Redaction of whole values: what comes back is new, and the caller's value is never touched."""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, TypeVar, overload
from uuid import UUID

from undercroft._core.url import HIDDEN
from undercroft.logging._redact._redactor import Redaction, Redactor

T = TypeVar("T")
_MAX_DEPTH = 100
_LEAST_CARD = 10**13
_SCALARS = (bool, float, date, time, timedelta, Decimal, UUID, Enum, complex)


class ValueRedactor:
    """Redacts values by one set of rules. Immutable, for any number of threads."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    def value(self, value: Any, path: frozenset[int] = frozenset()) -> Any:
        """Return `value` redacted. See `redact`."""
        if value is None or isinstance(value, _SCALARS):
            return value
        if isinstance(value, str):
            return self._redactor.text(str.__str__(value))
        if isinstance(value, int):
            return self._integer(value)
        if isinstance(value, bytes | bytearray | memoryview):
            return self._bytes(bytes(value))
        if hasattr(type(value), "__undercroft_secret__"):
            return HIDDEN
        if id(value) in path:
            return "<cycle>"
        if len(path) >= _MAX_DEPTH:
            return f"<{type(value).__name__}, not shown: it is too deep>"
        return self._container(value, path | {id(value)})

    def _container(self, value: Any, path: frozenset[int]) -> Any:
        if isinstance(value, Mapping):
            return {self.value(key, path): self._under(key, item, path) for key, item in value.items()}
        if isinstance(value, tuple):
            return self._tuple(value, path)
        if isinstance(value, list):
            return [self.value(item, path) for item in value]
        if isinstance(value, AbstractSet):
            kind = frozenset if isinstance(value, frozenset) else set
            return kind(self.value(item, path) for item in value)
        return self._object(value, path)

    def _under(self, key: object, item: object, path: frozenset[int]) -> Any:
        name = key if isinstance(key, str) else key.decode("latin-1") if isinstance(key, bytes) else None
        return HIDDEN if name is not None and self._redactor.is_secret(name, item) else self.value(item, path)

    def _tuple(self, value: tuple[Any, ...], path: frozenset[int]) -> Any:
        names = getattr(type(value), "_fields", None)
        if names is not None:  # a named tuple: by the names of its fields
            return type(value)(*(self._under(name, item, path) for name, item in zip(names, value, strict=True)))
        if len(value) == 2 and isinstance(value[0], str | bytes):  # a header or form field
            return (self.value(value[0], path), self._under(*value, path))
        return tuple(self.value(item, path) for item in value)

    def _object(self, value: Any, path: frozenset[int]) -> Any:
        # Late: it redacts what it converts, by this module.
        from undercroft.logging._plain import Conversion

        plain = Conversion().value(value)
        return self.value(plain, path)

    def _integer(self, value: int) -> int | str:
        if -_LEAST_CARD < value < _LEAST_CARD or value.bit_length() > 128:
            return value
        text = str(int(value))
        redacted = self._redactor.text(text)
        return value if redacted == text else redacted

    def _bytes(self, value: bytes) -> bytes:
        # One byte, one character and back: nothing is lost, and what is put in is ASCII.
        return self._redactor.text(value.decode("latin-1")).encode("latin-1")


STANDARD = Redactor()
_VALUES = ValueRedactor(STANDARD)
_PERSONAL = ValueRedactor(Redactor(Redaction(hide_ips=True)))


@overload
def redact(value: str, redaction: Redaction | None = None) -> str: ...
@overload
def redact(value: T, redaction: Redaction | None = None) -> T: ...
def redact(value: Any, redaction: Redaction | None = None) -> Any:
    """Return a copy of `value` with what a log line would not show replaced; `value` itself is never changed.

    Mappings become dicts, and lists, tuples, named tuples, sets, texts and bytes what they were; the values of secret
    keys become `***`. Numbers, dates, UUIDs, enums, booleans and `None` stay, but for an integer that is a payment
    card. Any other object becomes what a log line shows of it: its fields as a dict, or its redacted `repr`. A cycle
    becomes the text `<cycle>`; what is nested more than 100 deep becomes a text that says so. Takes time in proportion
    to the size.

    Args:
        redaction: Your additions to the rules; the standard rules when `None`.
    """
    return (_VALUES if redaction is None else ValueRedactor(Redactor(redaction))).value(value)


@overload
def redact_pii(value: str, custom: Mapping[str, str | re.Pattern[str]] | None = None) -> str: ...
@overload
def redact_pii(value: T, custom: Mapping[str, str | re.Pattern[str]] | None = None) -> T: ...
def redact_pii(value: Any, custom: Mapping[str, str | re.Pattern[str]] | None = None) -> Any:
    """Return a copy of `value` as `redact` does, with IP addresses replaced as well, and what you look for yourself.

    Args:
        value: A text, or any mapping, sequence or other value.
        custom: Patterns by name; what matches `custom["order"]` becomes `[ORDER]`. Their speed is yours to keep.

    Raises:
        RedactionError: A pattern does not compile or matches an empty text, or its name is no name.
    """
    if not custom:
        return _PERSONAL.value(value)
    return ValueRedactor(Redactor(Redaction(hide_ips=True, patterns=custom))).value(value)
