"""Redact an entry's simple values when its line is written. Cheap where there is nothing to hide, as nearly always."""

from __future__ import annotations

import re
from collections.abc import Mapping

from undercroft._core.context import Correlation
from undercroft._core.url import HIDDEN
from undercroft.logging._entry import Entry
from undercroft.logging._plain import LEAST_CARD, NO_REDACTION, Conversion, Plain, Redactor

_MAX_KNOWN = 4_096
_PLAIN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Hiding:
    """What one handler hides. Remembers the names of fields that hide nothing; used by any thread."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._redact = None if redactor is NO_REDACTION else redactor.redact_text
        self._harmless: set[str] = set()

    def of(self, entry: Entry) -> tuple[str, Mapping[str, Plain]]:
        """Return message and fields as they may be shown; there may be lone surrogates in them."""
        redact = self._redact
        if entry.is_plain or redact is None:
            return entry.message, entry.fields
        message, fields, harmless = entry.message, entry.fields, self._harmless
        texts = [message]
        for name, value in fields.items():
            if name not in harmless:
                return self._one_by_one(message, fields)
            kind = type(value)
            if kind is str:
                texts.append(value)  # type: ignore[arg-type] # its type is known by `is`, which mypy does not follow
            elif kind is int and value > LEAST_CARD:  # type: ignore[operator] # as above
                return self._one_by_one(message, fields)
        # All in one look: what hides nothing in lines of its own hides nothing alone.
        joined = "\n".join(texts)
        return (message, fields) if redact(joined) == joined else self._one_by_one(message, fields)

    def names(self, names: Correlation) -> dict[str, Plain]:
        """Return those that apply of `request_id`, `trace_id`, `span_id` and `job_id`, in this order."""
        # Whoever set them may have let anything through.
        return {
            name: value if _PLAIN_ID.fullmatch(str(value)) else self._text(str(value))
            for name, value in names.fields().items()
        }

    def _one_by_one(self, message: str, fields: Mapping[str, Plain]) -> tuple[str, Mapping[str, Plain]]:
        shown: dict[str, Plain] = {}
        for key, value in fields.items():
            name = self._text(key)
            if self._redactor.is_secret(key, value):
                shown[name] = HIDDEN
            else:
                shown[name] = self._value(value)
                self._remember(key, name)
        return self._redactor.redact_text(message), shown

    def _value(self, value: Plain) -> Plain:
        if isinstance(value, str):
            return self._redactor.redact_text(value)
        return Conversion(redactor=self._redactor).value(value)

    def _remember(self, key: str, name: str) -> None:
        # Whatever its value is: `max_tokens` hides no number, but a text.
        if name == key and not self._redactor.is_secret(key, "a text"):
            if len(self._harmless) >= _MAX_KNOWN:
                self._harmless.clear()
            self._harmless.add(key)

    def _text(self, text: str) -> str:
        return Conversion(redactor=self._redactor).text(text)
