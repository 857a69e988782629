"""From log records to breadcrumbs and events."""

from __future__ import annotations

import logging as stdlib_logging
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from undercroft.logging._captured import entry_of
from undercroft.logging._hiding import Hiding
from undercroft.logging._plain import Redactor
from undercroft.logging._sentry._outlet import Outlet
from undercroft.logging._sentry._trail import Trail

_OF_THE_SDK = ("sentry_sdk", "urllib3.connection", "urllib3.connectionpool")
# An access line without an exception says that a request failed; the server, or whoever answered, says why.
_TOLD_ELSEWHERE = "undercroft.access"
_LEVELS = ((50, "fatal"), (40, "error"), (30, "warning"), (20, "info"), (0, "debug"))


class SentryHandler(stdlib_logging.Handler):
    """Keeps each record as a breadcrumb, and reports those from `events` up. Lives as long as its bridge is open."""

    def __init__(self, outlet: Outlet, trail: Trail, redactor: Redactor, *, breadcrumbs: int, events: int) -> None:
        super().__init__(min(breadcrumbs, events))
        self._redactor = redactor
        self._hiding = Hiding(redactor)
        self._outlet = outlet
        self._trail = trail
        self._breadcrumbs, self._events = breadcrumbs, events
        self._inside = threading.local()

    def handle(self, record: stdlib_logging.LogRecord) -> bool:
        """Emit `record` without the handler's lock: threads need not wait for each other's stack traces."""
        if not self.filter(record):
            return False
        self.emit(record)
        return True

    def emit(self, record: stdlib_logging.LogRecord) -> None:
        """Take `record`. Never raises; what fails is counted."""
        # A line written while a line is being reported, by the SDK or by a hook of the application, would never end.
        if getattr(self._inside, "is_busy", False) or record.name.startswith(_OF_THE_SDK):
            return
        self._inside.is_busy = True
        try:
            self._take(record)
        except Exception:
            self._outlet.note_failure()
        finally:
            self._inside.is_busy = False

    def _take(self, record: stdlib_logging.LogRecord) -> None:
        entry = entry_of(record, self._redactor)
        message, fields = self._hiding.of(entry)
        names = entry.names.fields()
        exc = record.exc_info[1] if record.exc_info else None
        if record.levelno >= self._events and (exc is not None or record.name != _TOLD_ELSEWHERE):
            self._outlet.send(_event(record, message, names, fields), exc)
        if record.levelno >= self._breadcrumbs:
            self._trail.add(names, _breadcrumb(record, message, fields))


def tags_of(names: Mapping[str, str]) -> dict[str, str]:
    """Return the names to find events by: request, trace and job; a span is in the event's trace context."""
    return {name: value for name, value in names.items() if name != "span_id"}


def _event(
    record: stdlib_logging.LogRecord, message: str, names: Mapping[str, str], fields: Mapping[str, object]
) -> dict[str, Any]:
    template = record.msg if isinstance(record.msg, str) else message  # redacted with the rest of the event
    return {
        "level": _level(record),
        "logger": record.name,
        # Sentry groups by the template, so that the same line about two orders is one issue.
        "logentry": {"message": template, "formatted": message},
        "timestamp": _moment(record),
        "tags": tags_of(names),
        "extra": dict(fields),
    }


def _breadcrumb(record: stdlib_logging.LogRecord, message: str, fields: Mapping[str, object]) -> dict[str, Any]:
    crumb: dict[str, Any] = {
        "type": "default",
        "category": record.name,
        "level": _level(record),
        "message": message,
        "timestamp": _moment(record).isoformat(timespec="microseconds").replace("+00:00", "Z"),  # as the SDK writes it
    }
    if fields:
        crumb["data"] = dict(fields)
    return crumb


def _moment(record: stdlib_logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, tz=UTC)


def _level(record: stdlib_logging.LogRecord) -> str:
    return next(word for number, word in _LEVELS if record.levelno >= number)
