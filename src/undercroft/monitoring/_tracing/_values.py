"""Make attributes that every exporter can write of whatever a caller gives.

OpenTelemetry's attributes are texts, bools, ints of 64 bits, floats, and lists of one of these
(https://opentelemetry.io/docs/specs/otel/common/#attribute). Anything else becomes text. Nothing here raises.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from undercroft.monitoring._tracing._protocol import AttributeValue

MAX_ATTRIBUTES = 128
MAX_EVENTS = 128
MAX_LINKS = 128
MAX_TEXT = 4_096
_MAX_ITEMS = 128
_INT64 = 2**63


def put_all(target: dict[str, AttributeValue], attributes: Mapping[str, object]) -> int:
    """Set each of `attributes` in `target`; return how many had no room. `None` sets nothing, as in OpenTelemetry."""
    dropped = 0
    for key, value in attributes.items():
        kind = type(value)
        if kind is str and len(value) <= MAX_TEXT and value.isascii():  # type: ignore[arg-type,attr-defined]
            clean: Any = value
        elif kind is bool or (kind is int and -_INT64 <= value < _INT64):  # type: ignore[operator]
            clean = value
        elif value is None:
            continue
        else:
            clean = clean_value(value)
        name = key if type(key) is str and key.isascii() else clean_text(key)
        if name in target or len(target) < MAX_ATTRIBUTES:
            target[name] = clean
        else:
            dropped += 1
    return dropped


def clean_value(value: object) -> AttributeValue:
    """Return `value` as an attribute; a list or tuple as a list whose items are of one type, the first 128 of them."""
    if isinstance(value, list | tuple):
        items = [_scalar(item) for item in value[:_MAX_ITEMS]]
        kinds = {type(item) for item in items}
        return items if len(kinds) < 2 else [clean_text(item) for item in items]
    return _scalar(value)


def clean_text(value: object, *, keep_end: bool = False) -> str:
    """Return `value` as text of at most 4,096 characters that UTF-8 can carry: lone surrogates are escaped.

    Args:
        keep_end: Cut at the front instead: what matters in a traceback is its end.
    """
    text = value if type(value) is str else _text_of(value)
    if len(text) > MAX_TEXT:
        text = "…" + text[1 - MAX_TEXT :] if keep_end else text[: MAX_TEXT - 1] + "…"
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return clean_text(text.encode(errors="backslashreplace").decode(), keep_end=keep_end)
    return text


def _scalar(value: object) -> str | bool | int | float:
    if isinstance(value, bool):
        return value
    if type(value) is int and -_INT64 <= value < _INT64:
        return value
    if type(value) is float and math.isfinite(value):
        return value
    return clean_text(value)


def _text_of(value: object) -> str:
    try:
        if isinstance(value, bytes | bytearray | memoryview):
            return bytes(value[:MAX_TEXT]).decode(errors="backslashreplace")
        # A subclass of str may say anything in its __str__; what the value is, is its characters.
        return str.__str__(value) if isinstance(value, str) else str(value)
    except Exception:  # a caller's own __str__ must not break what is only measured
        return f"<{type(value).__name__} whose text cannot be made>"
