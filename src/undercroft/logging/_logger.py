"""The logger users hold."""

from __future__ import annotations

import logging as stdlib_logging
import sys
from collections.abc import Callable, Mapping
from time import time
from typing import Any, Self

from undercroft._core.context import correlation
from undercroft._core.durations import Duration, to_seconds
from undercroft.logging._captured import ATTRIBUTE, plain_parts
from undercroft.logging._context import with_context
from undercroft.logging._entry import Entry, is_simple
from undercroft.logging._errors import LogContextError
from undercroft.logging._handler import redactor_in_force, sole_handler
from undercroft.logging._json import JsonFormatter
from undercroft.logging._levels import TRACE, WORDS, Level, level_number
from undercroft.logging._message import text_of
from undercroft.logging._plain import STANDARD, Conversion, Redactor
from undercroft.logging._report import report_failure
from undercroft.logging._timed import Timed

Details = Mapping[str, object] | BaseException | None
"""What may follow a message: fields, or the exception that the line is about."""
Sink = Callable[[str], object]
"""Takes one JSON line, without its end."""

DEFAULT_NAME = "undercroft.app"
"""The standard library's logger that a `Logger` without a module writes to."""

# What `findCaller` skips to find who logged: `_record`, `_log` and the method of the level.
_OUR_FRAMES = 3
_TEXT = frozenset({str})


class _ToSink:
    """Takes entries as a handler does, and gives their lines to a sink."""

    redactor = STANDARD

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._formatter = JsonFormatter()

    def take(self, entry: Entry) -> None:
        self._sink(self._formatter.line(entry))


class Logger:
    """Writes messages with fields, through the standard library's logging. Immutable; safe from any thread and task.

    Each line carries the context given here, the fields of the call, and the request, trace and job going on. Writing
    never raises. Values are taken as they are at the call, redacted, and never changed.
    """

    __slots__ = ("_context", "_is_common", "_known", "_level", "_module", "_module_shown", "_name", "_sink", "_to_sink")

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
        self._module_shown = None if self._module is None else Conversion().text(self._module)
        self._name = self._module_shown or DEFAULT_NAME
        self._known: stdlib_logging.Logger | None = None
        self._context = fields
        self._level = None if level is None else level_number(level)
        self._sink = sink
        self._to_sink = None if sink is None else _ToSink(sink)
        self._is_common = level is None and sink is None

    @property
    def context(self) -> dict[str, object]:
        """The fields of every line, as a copy."""
        return dict(self._context)

    @property
    def module(self) -> str | None:
        """The module, where one was given."""
        return self._module

    def child(self, context: Mapping[str, object] | None = None, /, **fields: object) -> Self:
        """Return a logger with more context; what is given here wins. A `module` among it replaces the module."""
        added = {**_checked(context), **fields}
        module = added.pop("module", None) or self._module
        return type(self)(
            {**self._context, **added},
            module=str(module) if module else None,
            level=self._level,
            sink=self._sink,
        )

    def is_level_enabled(self, level: Level) -> bool:
        """Tell whether a line of `level` would be written; ask before collecting expensive fields.

        Raises:
            LogLevelError: There is no such level.
        """
        return self._is_enabled(level_number(level))

    def trace(self, message: str, details: Details = None, /, **fields: object) -> None:
        """Write a single step, for whoever looks at that step alone."""
        self._log(TRACE, message, details, fields)

    def debug(self, message: str, details: Details = None, /, **fields: object) -> None:
        """Write what helps to find a mistake."""
        self._log(stdlib_logging.DEBUG, message, details, fields)

    def info(self, message: str, details: Details = None, /, **fields: object) -> None:
        """Write what happened as it should."""
        self._log(stdlib_logging.INFO, message, details, fields)

    def warning(self, message: str, details: Details = None, /, **fields: object) -> None:
        """Write what went wrong and was coped with."""
        self._log(stdlib_logging.WARNING, message, details, fields)

    warn = warning

    def error(self, message: str, details: Details = None, /, **fields: object) -> None:
        """Write what went wrong and needs someone. `details` may be the exception, and `fields` go beside it."""
        self._log(stdlib_logging.ERROR, message, details, fields)

    def exception(self, message: str, details: Details = None, /, **fields: object) -> None:
        """Write an error with the exception that is being handled."""
        fields.setdefault("exc_info", True)
        self._log(stdlib_logging.ERROR, message, details, fields)

    def critical(self, message: str, details: Details = None, /, **fields: object) -> None:
        """Write what the program cannot go on after. Waits until it is written, for at most 100 ms."""
        self._log(stdlib_logging.CRITICAL, message, details, fields)

    fatal = critical

    def timed(self, message: str, *, slow: Duration | None = None, **fields: object) -> Timed:
        """Write how long the block took, when it is over: `with log.timed("import", slow="1s"): …`.

        Info level with `duration_ms`; warning when it took as long as `slow` or longer; error with the exception when
        one left the block, which it still does.

        Raises:
            DurationError: `slow` is no duration.
        """
        return Timed(self, message, fields, slow_s=None if slow is None else to_seconds(slow, name="slow"))

    def _set_level(self, number: int) -> None:
        if self._is_common:
            self._target().setLevel(number)
        else:
            self._level = number

    def _is_enabled(self, number: int) -> bool:
        if self._level is None and self._sink is None:
            return self._target().isEnabledFor(number)
        least = stdlib_logging.INFO if self._level is None else self._level
        return number >= least and number > self._target().manager.disable

    def _log(self, number: int, message: str, details: Details, fields: dict[str, object]) -> None:
        target = self._known or self._target()
        if not (target.isEnabledFor(number) if self._is_common else self._is_enabled(number)):
            return
        try:
            exc: BaseException | None = None
            if details is not None or "exc_info" in fields:
                exc, fields = _sorted_out(details, fields)
            if self._context:
                fields = {**self._context, **fields}
            shown = with_context(fields)
            taker = self._to_sink or sole_handler(target)
            if taker is None:
                target.handle(self._record(target, number, message, shown, exc))
            elif exc is None and is_simple(message, shown):
                # In the order in which they are declared: by name takes twice as long.
                module, names = self._module_shown, correlation()
                taker.take(Entry(time(), number, WORDS[number], self._name, module, message, names, shown))  # type: ignore[arg-type] # simple values are plain
            else:
                taker.take(self._plain_entry(number, message, shown, exc, taker.redactor))
        except Exception as failure:
            report_failure(failure)

    def _plain_entry(
        self, number: int, message: str, fields: Mapping[str, object], exc: BaseException | None, redactor: Redactor
    ) -> Entry:
        text = text_of(message, Conversion(redactor=redactor))
        shown, error = plain_parts(fields, exc, redactor)
        names = correlation()
        module = self._module_shown
        return Entry(time(), number, WORDS[number], self._name, module, text, names, shown, error, is_plain=True)

    def _record(
        self,
        target: stdlib_logging.Logger,
        number: int,
        message: str,
        fields: Mapping[str, object],
        exc: BaseException | None,
    ) -> stdlib_logging.LogRecord:
        """Return a record of the standard library that carries its entry, and its fields as attributes."""
        entry = self._plain_entry(number, message, fields, exc, redactor_in_force())
        path, line, function, _ = target.findCaller(stacklevel=_OUR_FRAMES + 1)
        exc_info = None if exc is None else (type(exc), exc, exc.__traceback__)
        record = target.makeRecord(target.name, number, path, line, message, (), exc_info, function)
        if number == TRACE:
            record.levelname = "TRACE"
        for name, value in entry.fields.items():
            if name not in ("message", "asctime"):  # which formatters of the standard library fill in
                record.__dict__.setdefault(name, value)
        record.__dict__[ATTRIBUTE] = entry
        return record

    def _target(self) -> stdlib_logging.Logger:
        # At the first line: importing this module, or making a logger, registers nothing.
        if self._known is None:
            self._known = stdlib_logging.getLogger(self._module or DEFAULT_NAME)
        return self._known

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
    return _named(context)


def _sorted_out(details: object, fields: dict[str, object]) -> tuple[BaseException | None, dict[str, object]]:
    """Return the exception that the line is about, and all fields of the call."""
    handled = fields.pop("exc_info", None)
    if details is None:
        return _exception_of(handled), fields
    if isinstance(details, BaseException):
        return details, fields
    # Not declared, so a mistake; but a line that is written beats an error in the middle of someone's request.
    given = _named(details) if isinstance(details, Mapping) else {"details": details}
    return _exception_of(handled), {**given, **fields}


def _named(fields: Mapping[Any, object]) -> dict[str, object]:
    """Return `fields` as a dictionary of text to values."""
    if _TEXT.issuperset(map(type, fields)):
        return dict(fields)
    conversion = Conversion()
    return {conversion.name(key): value for key, value in fields.items()}


def _exception_of(exc_info: object) -> BaseException | None:
    """Return the exception of the standard library's `exc_info`: `True`, an exception, or `sys.exc_info()`."""
    if isinstance(exc_info, tuple):
        exc_info = exc_info[1]
    if isinstance(exc_info, BaseException):
        return exc_info
    return sys.exc_info()[1] if exc_info else None
