"""The message of a record, whoever made it."""

from __future__ import annotations

import logging as stdlib_logging
from collections.abc import Mapping

import msgspec

from undercroft._core.url import HIDDEN
from undercroft.logging._plain import STANDARD, Conversion, Redactor, valid


def message_of(record: stdlib_logging.LogRecord, redactor: Redactor = STANDARD) -> str:
    """Return the record's text with its arguments filled in, redacted and capped.

    Containers among the arguments, or as the message itself, are redacted by key, as fields are. Arguments that do not
    fit the text are left out, and the message says so.
    """
    conversion = Conversion(redactor=redactor)
    try:
        return conversion.text(_filled_in(record, conversion))
    except Exception as failure:
        text = record.msg if isinstance(record.msg, str) else f"<message of type {type(record.msg).__name__}>"
        return conversion.text(f"{text} (its arguments do not fit: {type(failure).__name__})")


def text_of(message: object, conversion: Conversion) -> str:
    """Return a message as it may be shown; one that is no text as JSON, redacted by key. Never raises."""
    if type(message) is str:
        return conversion.text(message)
    plain = conversion.value(message)
    return plain if isinstance(plain, str) else msgspec.json.encode(valid(plain)).decode()


def _filled_in(record: stdlib_logging.LogRecord, conversion: Conversion) -> str:
    if not isinstance(record.msg, str) and not record.args:
        return text_of(record.msg, conversion)
    template, arguments = str(record.msg), record.args
    if not arguments:
        return template
    if isinstance(arguments, Mapping):  # "%(name)s": the standard library unpacks a single mapping
        return template % {key: _safe(value, conversion, str(key)) for key, value in arguments.items()}
    return template % tuple(_safe(value, conversion) for value in arguments)


def _safe(value: object, conversion: Conversion, key: str = "") -> object:
    # Scalars and other objects stay themselves: "%d" and "%.2f" need the number, "%s" the object's own text.
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        value = conversion.value(value)
    return HIDDEN if key and conversion.redactor.is_secret(key, value) else value
