"""The logger users hold."""

from __future__ import annotations

import logging as stdlib_logging
import sys
import traceback
from collections.abc import Callable, Mapping

from undercroft.logging._captured import ATTRIBUTE, capture
from undercroft.logging._errors import LogContextError
from undercroft.logging._format import JsonFormatter
from undercroft.logging._levels import Level, level_number

Details = Mapping[str, object] | BaseException | None
"""What may follow a message: fields, or the exception that the line is about."""
Sink = Callable[[str], object]
"""Takes one JSON line, without its end."""

DEFAULT_NAME = "undercroft.app"
"""The standard library's logger that a `Logger` without a module writes to."""

# What `findCaller` skips to find who logged: `_record`, `_write` and the method of the level.
_OUR_FRAMES = 3


class Logger:
    """Writes messages with fields, through the standard library's logging. Immutable; safe from any thread and task.

    Each line carries the context given here, the fields of the call, and the request, trace and job going on. Writing
    never raises. Values are converted and redacted when the line is written, and never changed.
    """

    __slots__ = ("_context", "_level", "_module", "_sink")

    def __init__(
        self,
        context: Mapping[str, object] | None = None,
        *,
        module: str | None = None,
        level: Level | None = None,
        sink: Sink | None = None,
    ) -> None:
        """Make a logger.

        Args:
            context: Fields for every line. A `"module"` among them is the module, if `module` is not given.
            module: The name of the standard library's logger to write to; `undercroft.app` when `None`.
            level: The least level written, whatever the standard library's level of that name says; `None` leaves it
                to the standard library.
            sink: Gets the JSON lines instead of the standard library; from info up, unless `level` says otherwise.

        Raises:
            LogContextError: `context` is not a mapping.
            LogLevelError: There is no such level.
        """
        fields = _checked(context)
        named = fields.pop("module", None)
        self._module = module or (None if named is None else str(named)) or None
        self._context = fields
        self._level = None if level is None else level_number(level)
        self._sink = sink

    @property
    def context(self) -> dict[str, object]:
        """The fields of every line, as a copy."""
        return dict(self._context)

    @property
    def module(self) -> str | None:
        """The module, where one was given."""
        return self._module

    def child(self, context: Mapping[str, object] | None = None, /, **fields: object) -> Logger:
        """Return a logger with more context; what is given here wins. A `module` among it replaces the module."""
        added = {**_checked(context), **fields}
        module = added.pop("module", None) or self._module
        return Logger(
            {**self._context, **added}, module=str(module) if module else None, level=self._level, sink=self._sink
        )

    def is_level_enabled(self, level: Level) -> bool:
        """Tell whether a line of `level` would be written; ask before collecting expensive fields.

        Raises:
            LogLevelError: There is no such level.
        """
        return self._is_enabled(level_number(level))

    def debug(self, message: str, details: Details = None, /, **fields: object) -> None:
        """Write what helps to find a mistake."""
        if self._is_enabled(stdlib_logging.DEBUG):
            self._write(stdlib_logging.DEBUG, message, details, fields)

    def info(self, message: str, details: Details = None, /, **fields: object) -> None:
        """Write what happened as it should."""
        if self._is_enabled(stdlib_logging.INFO):
            self._write(stdlib_logging.INFO, message, details, fields)

    def warning(self, message: str, details: Details = None, /, **fields: object) -> None:
        """Write what went wrong and was coped with."""
        if self._is_enabled(stdlib_logging.WARNING):
            self._write(stdlib_logging.WARNING, message, details, fields)

    warn = warning

    def error(self, message: str, details: Details = None, /, **fields: object) -> None:
        """Write what went wrong and needs someone. `details` may be the exception, and `fields` go beside it."""
        if self._is_enabled(stdlib_logging.ERROR):
            self._write(stdlib_logging.ERROR, message, details, fields)

    def exception(self, message: str, details: Details = None, /, **fields: object) -> None:
        """Write an error with the exception that is being handled."""
        if self._is_enabled(stdlib_logging.ERROR):
            fields.setdefault("exc_info", True)
            self._write(stdlib_logging.ERROR, message, details, fields)

    def critical(self, message: str, details: Details = None, /, **fields: object) -> None:
        """Write what the program cannot go on after."""
        if self._is_enabled(stdlib_logging.CRITICAL):
            self._write(stdlib_logging.CRITICAL, message, details, fields)

    def _is_enabled(self, number: int) -> bool:
        if self._level is None and self._sink is None:
            return self._target().isEnabledFor(number)
        least = stdlib_logging.INFO if self._level is None else self._level
        return number >= least and number > self._target().manager.disable

    def _write(self, number: int, message: str, details: Details, fields: dict[str, object]) -> None:
        try:
            record = self._record(number, message, details, fields)
            if self._sink is None:
                self._target().handle(record)
            else:
                self._sink(JsonFormatter().format(record))
        except Exception:
            _report_failure()

    def _record(
        self, number: int, message: str, details: Details, fields: dict[str, object]
    ) -> stdlib_logging.LogRecord:
        handled = fields.pop("exc_info", None)
        exc = details if isinstance(details, BaseException) else _exception_of(handled)
        fields = {**self._context, **_fields_of(details), **fields}
        carried = capture(fields, module=self._module, exc=exc)
        target = self._target()
        path, line, function, _ = target.findCaller(stacklevel=_OUR_FRAMES + 1)
        exc_info = None if exc is None else (type(exc), exc, exc.__traceback__)
        record = target.makeRecord(target.name, number, path, line, message, (), exc_info, function)
        for name, value in carried.fields.items():
            if name not in ("message", "asctime"):  # which formatters of the standard library fill in
                record.__dict__.setdefault(name, value)
        record.__dict__[ATTRIBUTE] = carried
        return record

    def _target(self) -> stdlib_logging.Logger:
        # Looked up each time: importing this module, or making a logger, registers nothing.
        return stdlib_logging.getLogger(self._module or DEFAULT_NAME)

    def __repr__(self) -> str:
        return f"Logger(module={self._module!r}, context={sorted(self._context)})"


def create_logger(
    context: Mapping[str, object] | None = None,
    *,
    module: str | None = None,
    level: Level | None = None,
    sink: Sink | None = None,
) -> Logger:
    """Return `Logger(context, module=…, level=…, sink=…)`."""
    return Logger(context, module=module, level=level, sink=sink)


def _checked(context: Mapping[str, object] | None) -> dict[str, object]:
    if context is None:
        return {}
    if not isinstance(context, Mapping):
        raise LogContextError(
            f"a logger's context is a mapping of field names to values, not {type(context).__name__}",
            hint='Logger({"service": "shop"}) for fields on every line, Logger(module="shop.http") for a name',
        )
    return dict(context)


def _fields_of(details: object) -> dict[str, object]:
    if details is None or isinstance(details, BaseException):
        return {}
    # Not declared, so a mistake; but a line that is written beats an error in the middle of someone's request.
    return dict(details) if isinstance(details, Mapping) else {"details": details}


def _exception_of(exc_info: object) -> BaseException | None:
    """Return the exception of the standard library's `exc_info`: `True`, an exception, or `sys.exc_info()`."""
    if isinstance(exc_info, tuple):
        exc_info = exc_info[1]
    if isinstance(exc_info, BaseException):
        return exc_info
    return sys.exc_info()[1] if exc_info else None


def _report_failure() -> None:
    """Do what the standard library's handlers do with their own failures: standard error, if `raiseExceptions`."""
    if not stdlib_logging.raiseExceptions or sys.stderr is None:
        return
    try:
        traceback.print_exc(file=sys.stderr)
    except (OSError, ValueError):
        return  # standard error is gone or closed: nobody is left to tell
