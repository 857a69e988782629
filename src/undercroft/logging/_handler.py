"""The one handler that `setup_logging` puts on the root logger, and how it comes and goes."""

from __future__ import annotations

import logging as stdlib_logging
from dataclasses import dataclass
from typing import TextIO

from undercroft.logging._captured import captured
from undercroft.logging._escape import escape_non_ascii
from undercroft.logging._format import LineFormatter
from undercroft.logging._servers import RedirectedLogger, redirect_server_loggers


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What a handler found when it was installed."""

    level: int
    """The root logger's."""
    handler: LineHandler | None
    """The one it replaced."""
    redirected: tuple[RedirectedLogger, ...]

    def restore(self) -> None:
        """Put back the level and the server's loggers; not the handler, which may be released by now."""
        stdlib_logging.getLogger().setLevel(self.level)
        for redirected in self.redirected:
            redirected.restore()


class LineHandler(stdlib_logging.StreamHandler[TextIO]):
    """Writes each record as one line, in one write. Lives as long as its `LoggingSetup`; the stream is not its own.

    What a record carries is captured in the thread and context that logged, by a filter, which runs there.
    """

    before: Before | None = None
    is_released = False

    def __init__(self, stream: TextIO, formatter: LineFormatter) -> None:
        super().__init__(stream)
        self.setFormatter(formatter)
        self.addFilter(_capture)
        self.dropped_count = 0
        encoding = getattr(stream, "encoding", None) or "utf-8"
        self._is_unicode = encoding.lower().startswith("utf")

    def format(self, record: stdlib_logging.LogRecord) -> str:
        """Return the line, in characters that the stream can write."""
        line = super().format(record)
        return line if self._is_unicode else escape_non_ascii(line)

    def handleError(self, record: stdlib_logging.LogRecord) -> None:  # noqa: N802 - the standard library's name
        """Count a line that could not be written; report it as the standard library does (`raiseExceptions`)."""
        self.dropped_count += 1
        super().handleError(record)


def install(handler: LineHandler, level: int) -> None:
    """Put `handler` on the root logger in the place of the one in force, if there is one."""
    root = stdlib_logging.getLogger()
    replaced = _in_force(root)
    handler.before = Before(level=root.level, handler=replaced, redirected=redirect_server_loggers())
    if replaced is not None:
        root.removeHandler(replaced)
    root.addHandler(handler)
    root.setLevel(level)


def release(handler: LineHandler) -> None:
    """Undo `install`; twice does nothing.

    Handlers that replaced each other may be released in any order: the newest that is not released is in force.
    """
    if handler.is_released:
        return
    handler.is_released = True
    root = stdlib_logging.getLogger()
    if _in_force(root) not in (handler, None):
        return  # replaced by a newer one, which undoes this one too when its turn comes
    root.removeHandler(handler)
    undone: LineHandler | None = handler
    while undone is not None and undone.is_released:
        before, undone.before = undone.before, None
        if before is not None:
            before.restore()
        undone.close()
        undone = before.handler if before is not None else None
    if undone is not None:
        root.addHandler(undone)


def _in_force(root: stdlib_logging.Logger) -> LineHandler | None:
    return next((handler for handler in root.handlers if isinstance(handler, LineHandler)), None)


def _capture(record: stdlib_logging.LogRecord) -> bool:
    captured(record)
    return True
