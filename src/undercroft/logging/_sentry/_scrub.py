"""Redaction of everything that goes to Sentry: every key and every text of an event, wherever it is.

By the rules of log lines: what stands under a key that sounds like a secret is hidden, and texts lose what looks like
one. Events are rebuilt, never changed in place: the SDK shares parts of them with the application.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from undercroft._core.url import HIDDEN
from undercroft.logging._plain import Conversion, Redactor

_MAX_DEPTH = 40
_TOO_DEEP = "<not shown: too deep>"
# The SDK's and the operator's own words, read by machines: a chance hit among their digits must not break them.
_OWN_WORDS = frozenset(
    {"dist", "environment", "level", "platform", "release", "sdk", "server_name", "type"}
) | frozenset({"debug_meta", "modules", "start_timestamp", "timestamp"})
_ID_KEYS = frozenset({"event_id", "trace_id", "span_id", "parent_span_id"})
_ID = re.compile(r"[0-9a-f]{16}|[0-9a-f]{32}|[0-9a-f-]{36}")
_QUERY_KEYS = frozenset({"query_string", "fragment"})
_QUOTED = re.compile(r"""b?(['"])(.*)\1""", re.DOTALL)
_LEAST_LONG_NUMBER = 10**9


class Scrubber:
    """Redacts events, breadcrumbs and whatever else the SDK sends. Stateless; used from any thread."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    def event(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return an event, a transaction, a log, a metric or a span that may be sent; `event` stays as it is.

        It is serialised already: made of what JSON has.
        """
        kept = {key: value for key, value in event.items() if key in _OWN_WORDS and value not in ("", None)}
        # `_meta` repeats the event's keys to say what was cut where; `params` are the arguments of `formatted` without
        # the words that tell what they are.
        rest = {key: value for key, value in event.items() if key not in _OWN_WORDS and key != "_meta"}
        if isinstance(rest.get("logentry"), Mapping):
            rest["logentry"] = {key: value for key, value in rest["logentry"].items() if key != "params"}
        return {**kept, **self._mapping(rest, 0)}

    def breadcrumb(self, crumb: Mapping[str, Any]) -> dict[str, Any]:
        """Return a breadcrumb that may be kept. Its data are the application's objects still, and become plain here."""
        conversion = Conversion(redactor=self._redactor)
        plain: dict[str, Any] = {}
        for key, value in crumb.items():
            plain[key] = value if key in _OWN_WORDS else conversion.mapping([(key, value)]).popitem()[1]
        return {**plain, **self._mapping({key: value for key, value in plain.items() if key not in _OWN_WORDS}, 0)}

    def _mapping(self, mapping: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        return {self._text(str(key)): self._item(str(key), value, depth) for key, value in mapping.items()}

    def _item(self, key: str, value: Any, depth: int) -> Any:
        if self._redactor.is_secret(key, value):
            return HIDDEN
        if key in _ID_KEYS and isinstance(value, str) and _ID.fullmatch(value):
            return value
        if key in _QUERY_KEYS and isinstance(value, str):
            return self._text(f"?{value}").removeprefix("?")
        return self._value(value, depth + 1)

    def _value(self, value: Any, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            return _TOO_DEEP
        if isinstance(value, Mapping):
            return self._mapping(value, depth)
        if isinstance(value, list | tuple):
            return self._sequence(value, depth)
        if isinstance(value, str):
            return self._text(value)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float):
            return self._number(value)
        if type(value).__name__ == "AnnotatedValue":  # the SDK's own wrapper, where it has cut something
            return self._value(value.value, depth)
        return self._text(str(value))

    def _sequence(self, items: Iterable[Any], depth: int) -> list[Any]:
        items = list(items)
        # Headers and form fields are kept as pairs, a command's arguments as a row: the name stands before the value.
        is_pair = len(items) == 2
        scrubbed: list[Any] = []
        named = ""
        for item in items:
            is_hidden = named and not isinstance(item, list | tuple | Mapping) and self._redactor.is_secret(named, item)
            scrubbed.append(HIDDEN if is_hidden else self._value(item, depth + 1))
            named = _name_in(item, is_pair=is_pair)
        return scrubbed

    def _number(self, value: float) -> object:
        # A card's number is a secret without its quotes too.
        if not isinstance(value, int) or abs(value) < _LEAST_LONG_NUMBER:
            return value
        text = str(value)
        redacted = self._text(text)
        return value if redacted == text else redacted

    def _text(self, text: str) -> str:
        return self._redactor.redact_text(text)


def _name_in(item: object, *, is_pair: bool) -> str:
    if not isinstance(item, str):
        return ""
    quoted = _QUOTED.fullmatch(item)  # in frames' variables every text is its repr
    name = quoted[2] if quoted else item
    return name if is_pair or (name.startswith("-") and "=" not in name) else ""
