"""Make entries of what is logged: of our own loggers' calls, and of the standard library's records.

A record carries its entry from the moment it is made or first seen: a queue may hand it to another thread, pickled too.
"""

from __future__ import annotations

import logging as stdlib_logging
import re
from collections.abc import Mapping

from undercroft._core.context import correlation
from undercroft.logging._context import with_context
from undercroft.logging._entry import Entry, is_simple
from undercroft.logging._levels import WORDS
from undercroft.logging._message import message_of
from undercroft.logging._plain import STANDARD, Conversion, Plain, Redactor

ATTRIBUTE = "undercroft"
"""The record's attribute that holds its `Entry`."""

# Of a record's own attributes, and those that formatters add, none is a field. uvicorn's `color_message` is its message
# again, with escape codes.
STANDARD_ATTRIBUTES = frozenset(vars(stdlib_logging.makeLogRecord({}))) | {
    "asctime",
    "color_message",
    "message",
    "taskName",
    ATTRIBUTE,
}


_SIMPLE = frozenset({str, int, float, bool, type(None)})
_PLAIN_NAME = re.compile(r"[A-Za-z_.]{1,64}")


def plain_parts(
    fields: Mapping[str, object], exc: BaseException | None, redactor: Redactor
) -> tuple[Mapping[str, Plain], Plain]:
    """Return fields and exception as plain, redacted data. Never raises."""
    try:
        conversion = Conversion(redactor=redactor)
        error = None if exc is None else conversion.value(exc)
        return conversion.fields(fields), error
    except Exception as failure:
        return {"logging_failed": type(failure).__name__}, None


def entry_of(record: stdlib_logging.LogRecord, redactor: Redactor = STANDARD) -> Entry:
    """Return what `record` carries; a record of someone else's logger is captured now, and carries it from now on."""
    there = record.__dict__.get(ATTRIBUTE)
    if isinstance(there, Entry):
        return there
    taken = _captured(record, redactor)
    record.__dict__[ATTRIBUTE] = taken
    return taken


def _captured(record: stdlib_logging.LogRecord, redactor: Redactor) -> Entry:
    fields: Mapping[str, object] = {
        key: value for key, value in record.__dict__.items() if key not in STANDARD_ATTRIBUTES
    }
    if record.stack_info:
        fields = {**fields, "stack_info": record.stack_info}
    fields = with_context(fields)
    exc = record.exc_info[1] if record.exc_info else None
    message = _simple_message(record) if exc is None else None
    is_raw = message is not None and is_simple(message, fields)
    shown, error = (fields, None) if is_raw else plain_parts(fields, exc, redactor)
    return Entry(
        created=float(record.created),
        level=int(record.levelno),
        word=WORDS.get(record.levelno) or _name(str(record.levelname).lower(), redactor),
        logger=_name(str(record.name), redactor),
        module=None,
        message=message if is_raw and message is not None else message_of(record, redactor),
        names=correlation(),
        fields=shown,  # type: ignore[arg-type] # simple values are plain
        error=error,
        is_plain=not is_raw,
    )


def _simple_message(record: stdlib_logging.LogRecord) -> str | None:
    """Return the message, where it can be redacted later: a text, and arguments that are texts and numbers."""
    if type(record.msg) is not str:
        return None
    if not record.args:
        return record.msg
    if type(record.args) is not tuple or not _SIMPLE.issuperset(map(type, record.args)):
        return None
    try:
        return record.msg % record.args
    except (TypeError, ValueError):
        return None


def _name(name: str, redactor: Redactor) -> str:
    return name if _PLAIN_NAME.fullmatch(name) else Conversion(redactor=redactor).text(name)
