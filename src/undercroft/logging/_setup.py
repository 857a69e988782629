"""Send every logger of the process to one handler, and undo it."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self, TextIO

from undercroft._core.errors import near_names
from undercroft.logging._errors import LogFormatError
from undercroft.logging._format import JsonFormatter, LineFormatter, TextFormatter
from undercroft.logging._handler import LineHandler, install, release
from undercroft.logging._levels import Level, level_number

_FORMATS = ("auto", "text", "json")


class LoggingSetup:
    """One call of `setup_logging`, in force until `close`, or until the next call. Whoever called it closes it."""

    def __init__(self, handler: LineHandler) -> None:
        self._handler = handler

    @property
    def dropped_count(self) -> int:
        """How many lines could not be written."""
        return self._handler.dropped_count

    def close(self) -> None:
        """Restore handler, level and server loggers as they were before. Closing twice does nothing.

        Setups that replaced each other may be closed in any order: the newest that is not closed is in force.
        """
        release(self._handler)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def setup_logging(
    *,
    level: Level | None = None,
    format: str = "auto",  # noqa: A002 - the plainest word, and the setting's name
    stream: TextIO | None = None,
    no_color: bool = False,
) -> LoggingSetup:
    """Write every record of every logger of this process as one line. Call it once, at the start, from one thread.

    Puts one handler on the root logger and sets the root's level. Calling it again replaces that handler; handlers of
    others stay. What uvicorn put on its own loggers for the console is set aside, so that its lines come once, here.
    Nothing is read from the environment.

    Args:
        level: The least level written; info when `None`.
        format: `"text"`, `"json"`, or `"auto"`: text when the stream is a terminal, JSON otherwise.
        stream: Where lines go; what `sys.stderr` is now when `None`. It is flushed, never closed.
        no_color: Write no colours; text is coloured on a terminal only.

    Returns:
        What was set up. Closing it, or leaving it as a context manager, restores what was there before.

    Raises:
        LogLevelError: There is no such level.
        LogFormatError: There is no such format.
    """
    number = level_number("info" if level is None else level)
    target = sys.stderr if stream is None else stream
    handler = LineHandler(target, _formatter(format, target, no_color=no_color))
    install(handler, number)
    return LoggingSetup(handler)


def _formatter(name: str, stream: TextIO, *, no_color: bool) -> LineFormatter:
    chosen = name.strip().lower()
    if chosen not in _FORMATS:
        near = near_names(chosen, _FORMATS)
        raise LogFormatError(f"format {name!r} is not a log format", near=near, hint=f"formats: {', '.join(_FORMATS)}")
    is_terminal = stream.isatty()
    if chosen == "text" or (chosen == "auto" and is_terminal):
        return TextFormatter(colors=is_terminal and not no_color)
    return JsonFormatter()
