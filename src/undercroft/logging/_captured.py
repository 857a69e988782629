"""What a record carries beside the standard library's attributes, taken when and where the record was made.

Plain data already: a record may be formatted much later, in another thread, or be pickled by a queue on the way, and by
then the context is another one and the caller's objects have changed.
"""

from __future__ import annotations

import logging as stdlib_logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from undercroft._core.context import correlation
from undercroft.logging._plain import Conversion, Plain

ATTRIBUTE = "undercroft"
"""The record's attribute that holds a `Captured`."""

# Of a record's own attributes, and those that formatters add, none is a field. uvicorn's `color_message` is its message
# again, with escape codes.
STANDARD = frozenset(vars(stdlib_logging.makeLogRecord({}))) | {
    "asctime",
    "color_message",
    "message",
    "taskName",
    ATTRIBUTE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """Module, names of the work going on, fields and error of one record."""

    module: str | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    """Those that apply of `request_id`, `trace_id`, `span_id` and `job_id`, in this order."""
    fields: Mapping[str, Plain] = field(default_factory=dict)
    """Plain and redacted."""
    error: Plain = None


def capture(fields: Mapping[str, object], *, module: str | None = None, exc: BaseException | None = None) -> Captured:
    """Take fields, exception and the names of the work going on here. Never raises."""
    try:
        conversion = Conversion()
        error = None if exc is None else conversion.value(exc)
        names = {name: conversion.text(str(value)) for name, value in correlation().fields().items()}
        return Captured(module=module, names=names, fields=conversion.fields(fields), error=error)
    except Exception as failure:
        return Captured(module=module, fields={"logging_failed": type(failure).__name__})


def captured(record: stdlib_logging.LogRecord) -> Captured:
    """Return what `record` carries; a record of someone else's logger is captured now, and carries it from now on."""
    there = record.__dict__.get(ATTRIBUTE)
    if isinstance(there, Captured):
        return there
    extra = {key: value for key, value in record.__dict__.items() if key not in STANDARD}
    if record.stack_info:
        extra.setdefault("stack_info", record.stack_info)
    taken = capture(extra, exc=record.exc_info[1] if record.exc_info else None)
    record.__dict__[ATTRIBUTE] = taken
    return taken
