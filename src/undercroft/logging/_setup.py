"""Send every logger of the process to one handler, and undo it."""

from __future__ import annotations

import logging as stdlib_logging
import os
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Self, TextIO

from undercroft._core.durations import Duration, to_seconds
from undercroft._core.errors import near_names
from undercroft.logging._errors import LogBufferError, LogFileError, LogFormatError
from undercroft.logging._file import FileOutput, LogFile
from undercroft.logging._format import LineFormatter
from undercroft.logging._handler import LineHandler, install, release
from undercroft.logging._json import JsonFormatter
from undercroft.logging._levels import Level, level_number
from undercroft.logging._output import Output, StreamOutput, has_descriptor, output_for
from undercroft.logging._plain import Conversion, Plain, Redactor, redactor_of
from undercroft.logging._redact import Redaction
from undercroft.logging._sampling import Sampler, Sampling
from undercroft.logging._standards import EcsFormatter, OtelFormatter
from undercroft.logging._tally import Count, Tally
from undercroft.logging._text import TextFormatter
from undercroft.logging._uncaught import UncaughtHooks
from undercroft.logging._writer import Also, LineWriter

_FORMATS = ("auto", "text", "json", "ecs", "otel")
_BUFFER = 10_000


class LoggingSetup:
    """One call of `setup_logging`, in force until `close`, or until the next call. Whoever called it closes it."""

    def __init__(self, handler: LineHandler, hooks: UncaughtHooks | None) -> None:
        self._handler = handler
        self._hooks = hooks

    @property
    def written_count(self) -> int:
        """How many lines were written."""
        return self._handler.tally.written

    @property
    def dropped_count(self) -> int:
        """How many lines were lost: there was no room for them, or they could not be written."""
        return self._handler.tally.dropped

    @property
    def sampled_count(self) -> int:
        """How many lines were left out by sampling."""
        return self._handler.tally.sampled

    @property
    def failed_count(self) -> int:
        """How often `also` or `count` raised."""
        return self._handler.tally.failed

    def set_level(self, level: Level) -> None:
        """Write lines from `level` up from now on, of all loggers that have no level of their own; until closed.

        Raises:
            LogLevelError: There is no such level.
        """
        number = level_number(level)
        if not self._handler.is_released:
            stdlib_logging.getLogger().setLevel(number)

    def flush(self, timeout: Duration = 2.0) -> bool:
        """Wait until all lines so far are written; return whether they are. Blocks: not for an event loop's thread."""
        return self._handler.flush_within(to_seconds(timeout, name="timeout"))

    def close(self) -> None:
        """Write what waits, and restore handler, level and server loggers as they were. Closing twice does nothing.

        A stream that does not take what waits within two seconds loses it; those lines are counted. Setups that
        replaced each other may be closed in any order: the newest that is not closed is in force.
        """
        if self._hooks is not None:
            self._hooks.restore()
        release(self._handler)

    async def aclose(self) -> None:
        """Close without holding up the event loop: it is another thread that waits for what waits to be written."""
        import anyio.to_thread

        await anyio.to_thread.run_sync(self._handler.finish)
        self.close()

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
    file: LogFile | str | os.PathLike[str] | None = None,
    no_color: bool = False,
    fields: Mapping[str, object] | None = None,
    buffer: int | None = None,
    sampling: Sampling | None = None,
    redaction: Redaction | Redactor | None = None,
    also: Also | None = None,
    count: Count | None = None,
    uncaught: bool | None = None,
) -> LoggingSetup:
    """Write every record of every logger of this process as one line. Call it once, at the start, from one thread.

    Puts one handler on the root logger and sets the root's level. Calling it again replaces that handler; handlers of
    others stay. What uvicorn put on its own loggers for the console is set aside, so that its lines come once, here.
    Nothing is read from the environment.

    Args:
        level: The least level written; info when `None`.
        format: `"text"`, `"json"`, `"ecs"` (Elastic Common Schema), `"otel"` (OpenTelemetry's log data model), or
            `"auto"`: text when the stream is a terminal, JSON otherwise.
        stream: Where lines go; what `sys.stderr` is now when `None`. It is flushed, never closed.
        file: Where lines go instead: a path, or a `LogFile` that says when a new one begins. Opened now, closed by the
            setup, and opened again when it was renamed or removed, as logrotate does.
        no_color: Write no colours; text is coloured on a terminal only.
        fields: For every line, such as `{"service": "shop"}`; a line's own fields win. The text format leaves them out.
        buffer: How many lines may wait for the thread that writes them. When so many wait, a thread that runs an event
            loop drops its line, and counts it; another waits up to a second. A tenth more may wait that are warnings
            or worse. 0 writes each line in the thread that logged it. `None` is 10,000 for files and pipes, and 0 for
            terminals and streams in memory.
        sampling: Which lines are written; all when `None`.
        redaction: What is hidden besides, or shown; the standard rules when `None`. `NO_REDACTION` hides nothing.
        also: Called with each line that was written, as the object of a JSON line, in the thread that wrote it.
        count: Called with the level of each line that was written, and with `dropped` or `sampled` for each that was
            not.
        uncaught: Whether exceptions that nobody caught (of the program, of threads, and those Python ignores) and
            warnings come as lines, instead of how Python prints them. `None`: unless lines are text on a terminal.

    Returns:
        What was set up. Closing it, or leaving it as a context manager, restores what was there before.

    Raises:
        LogLevelError: There is no such level.
        LogFormatError: There is no such format.
        LogBufferError: `buffer` is not a whole number from 0 up.
        LogFileError: `file` cannot be opened, or a `stream` was given too.
        RedactionError: A setting of `redaction` is wrong.
    """
    number = level_number("info" if level is None else level)
    if file is not None and stream is not None:
        raise LogFileError("lines go to a stream or to a file, and both were given", hint="leave one of them out")
    target = sys.stderr if stream is None else stream
    redactor = redactor_of(redaction)
    static = Conversion(redactor=redactor).fields(fields or {})
    is_terminal = file is None and target.isatty()
    formatter = _formatter(format, is_terminal=is_terminal, no_color=no_color, redactor=redactor, static=static)
    can_block = file is not None or (has_descriptor(target) and not is_terminal)
    size = _buffer_size(buffer, can_block=can_block)
    output = _output(file, target, is_buffered=size > 0)
    tally = Tally(count)
    writer = LineWriter(output, formatter, tally, also)
    sampler = None if sampling is None else Sampler(sampling)
    handler = LineHandler(output, formatter, writer, tally, buffer_size=size, sampler=sampler)
    install(handler, number)
    is_for_people = is_terminal and isinstance(formatter, TextFormatter)
    takes_hooks = not is_for_people if uncaught is None else uncaught
    return LoggingSetup(handler, UncaughtHooks() if takes_hooks else None)


def _output(file: LogFile | str | os.PathLike[str] | None, stream: TextIO, *, is_buffered: bool) -> Output:
    if file is not None:
        return FileOutput(file if isinstance(file, LogFile) else LogFile(path=file))
    return output_for(stream) if is_buffered else StreamOutput(stream)


def _buffer_size(buffer: int | None, *, can_block: bool) -> int:
    if buffer is None:
        # What is written to memory blocks nobody, and on a terminal lines come in order with what else is printed.
        return _BUFFER if can_block else 0
    if type(buffer) is not int or buffer < 0:
        raise LogBufferError(f"a buffer is a number of lines from 0 up, not {buffer!r}")
    return buffer


def _formatter(
    name: str, *, is_terminal: bool, no_color: bool, redactor: Redactor, static: Mapping[str, Plain]
) -> LineFormatter:
    chosen = name.strip().lower()
    if chosen not in _FORMATS:
        near = near_names(chosen, _FORMATS)
        raise LogFormatError(f"format {name!r} is not a log format", near=near, hint=f"formats: {', '.join(_FORMATS)}")
    if chosen == "text" or (chosen == "auto" and is_terminal):
        return TextFormatter(colors=is_terminal and not no_color, redactor=redactor, static=static)
    kinds = {"ecs": EcsFormatter, "otel": OtelFormatter}
    return kinds.get(chosen, JsonFormatter)(redactor=redactor, static=static)
