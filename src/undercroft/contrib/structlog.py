"""structlog's events as lines of ours: with request id, trace and job id, redacted, in one format with all the others.

import structlog
from undercroft.contrib.structlog import to_undercroft

structlog.configure(processors=[structlog.contextvars.merge_contextvars, to_undercroft])
structlog.get_logger("shop.http").info("order paid", order_id=7)

Who wants to keep structlog's own output puts `processor` before its renderer instead.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from functools import lru_cache
from typing import Any, NoReturn

import msgspec
import structlog

from undercroft.logging import Logger

__all__ = ["processor", "to_undercroft"]

EventDict = MutableMapping[str, Any]

_DEFAULT_NAME = "structlog"
_METHODS = {
    "debug": "debug",
    "warn": "warning",
    "warning": "warning",
    "err": "error",
    "error": "error",
    "exception": "exception",
    "failure": "error",
    "critical": "critical",
    "fatal": "critical",
}
"""Every method of structlog's loggers; others, like `msg`, are info."""


def processor(logger: object, method_name: str, event_dict: EventDict) -> EventDict:
    """Turn an event into the object of a JSON line of ours; for `structlog.processors.JSONRenderer()` to write.

    That is `timestamp`, `level`, `logger`, `message`, the names of the request, trace and job that apply, `error` for
    `exc_info`, and the fields, redacted and bounded. What earlier processors put under `timestamp` and `level` is
    replaced; `logger` is kept. The event dictionary is not changed.
    """
    lines: list[str] = []
    name, message, fields = _parts(logger, event_dict)
    _write(Logger(module=name, level="trace", sink=lines.append), method_name, message, fields)
    line: dict[str, Any] = msgspec.json.decode(lines[0])
    line.pop("module", None)  # which only says the name again
    return line


def to_undercroft(logger: object, method_name: str, event_dict: EventDict) -> NoReturn:
    """Write an event as a line of ours, and end structlog's own way with it; the last processor.

    The line goes where all lines go, through the standard library's logger of structlog's logger's name (`structlog`
    without one), whose level holds.

    Raises:
        structlog.DropEvent: Always; structlog takes it as the end.
    """
    name, message, fields = _parts(logger, event_dict)
    _write(_named(name), method_name, message, fields)
    raise structlog.DropEvent


def _parts(logger: object, event_dict: EventDict) -> tuple[str, object, dict[str, Any]]:
    fields = dict(event_dict)
    message = fields.pop("event", "")
    fields.pop("timestamp", None)
    fields.pop("level", None)
    name = fields.pop("logger", None) or getattr(logger, "name", None) or _DEFAULT_NAME
    return str(name), message, fields


def _write(log: Logger, method_name: str, message: object, fields: dict[str, Any]) -> None:
    exc_info = fields.pop("exc_info", None)
    write = getattr(log, _METHODS.get(method_name, "info"))
    if exc_info is None:
        write(message, fields)
    else:
        write(message, fields, exc_info=exc_info)


@lru_cache(maxsize=1_024)
def _named(name: str) -> Logger:
    return Logger(module=name)
