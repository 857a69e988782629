"""The one handler that `setup_logging` puts on the root logger, and how it comes and goes."""

from __future__ import annotations

import atexit
import logging as stdlib_logging
import os
import weakref
from dataclasses import dataclass

from undercroft.logging._buffer import CLOSE_S, EntryBuffer
from undercroft.logging._captured import entry_of
from undercroft.logging._drivers import HeldLogger, hold_drivers
from undercroft.logging._entry import Entry
from undercroft.logging._format import LineFormatter
from undercroft.logging._output import Output
from undercroft.logging._plain import STANDARD, Redactor
from undercroft.logging._sampling import Sampler
from undercroft.logging._servers import RedirectedLogger, redirect_server_loggers
from undercroft.logging._tally import Tally
from undercroft.logging._writer import LineWriter

_CRITICAL_S = 0.1
_JOIN_S = 0.5

# Whoever replaced one of these wants to see each record: then there must be one.
_CALL_HANDLERS = stdlib_logging.Logger.callHandlers
_HANDLE = stdlib_logging.Logger.handle
_MAKE_RECORD = stdlib_logging.Logger.makeRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What a handler found when it was installed."""

    level: int
    """The root logger's."""
    handler: LineHandler | None
    """The one it replaced."""
    redirected: tuple[RedirectedLogger, ...]
    held: tuple[HeldLogger, ...] = ()

    def restore(self) -> None:
        """Put back the level and the server's loggers; not the handler, which may be released by now."""
        stdlib_logging.getLogger().setLevel(self.level)
        for redirected in self.redirected:
            redirected.restore()
        for held in self.held:
            held.restore()


class LineHandler(stdlib_logging.Handler):
    """Writes each record as one line. Lives as long as its `LoggingSetup`; its stream is not its own.

    What a record carries is captured in the thread and context that logged. A `Logger` hands its entries over
    directly, without a record, where no other handler would see it.
    """

    before: Before | None = None
    is_released = False

    def __init__(
        self,
        output: Output,
        formatter: LineFormatter,
        writer: LineWriter,
        tally: Tally,
        *,
        buffer_size: int,
        sampler: Sampler | None = None,
    ) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.redactor = formatter.redactor
        self.tally = tally
        self._output = output
        self._writer = writer
        self._sampler = sampler
        self._buffer: EntryBuffer | None = None
        if buffer_size:
            self._buffer = EntryBuffer(writer.write, size=buffer_size, drop=tally.add_dropped)

    def handle(self, record: stdlib_logging.LogRecord) -> bool:
        """Take `record`, without the handler's lock: the writer has its own."""
        if not self.filter(record):
            return False
        self.emit(record)
        return True

    def emit(self, record: stdlib_logging.LogRecord) -> None:
        """Take `record`. Never raises."""
        try:
            self.take(entry_of(record, self.redactor))
        except Exception:
            self.tally.add_dropped()
            self.handleError(record)

    def take(self, entry: Entry) -> None:
        """Have `entry` written: at once, or soon by the writer's thread; critical ones within 100 ms if that can be."""
        if self._sampler is not None and not self._sampler.keeps(entry.level, entry.names):
            self.tally.add_sampled()
        elif self._writer.has_callbacks and self._writer.is_calling_here:
            self.tally.add_dropped()
        elif self._buffer is None:
            self._writer.write_one(entry)
        else:
            self._buffer.put(entry)
            if entry.level >= stdlib_logging.CRITICAL:
                self._buffer.flush(_CRITICAL_S)

    def flush_within(self, timeout_s: float) -> bool:
        """Wait until all lines so far are written; return whether they are."""
        return self._buffer is None or self._buffer.flush(timeout_s)

    def flush(self) -> None:
        """Wait until all lines so far are written, for at most two seconds."""
        self.flush_within(CLOSE_S)

    def finish(self) -> None:
        """Write what waits, for at most two seconds; drop and count the rest. Lines after that are written at once."""
        if self._buffer is not None:
            if not self._buffer.close(CLOSE_S):
                self._output.give_up()
            self._buffer.join(_JOIN_S)
        self._writer.tell_of_dropped()

    def close(self) -> None:
        """Finish, and be gone; before it is released, only flush.

        `logging.config.dictConfig` closes every handler there is, those too that stay where they are.
        """
        if not self.is_released:
            self.flush()
            return
        atexit.unregister(self.finish)
        self.finish()
        self._output.close()
        super().close()

    def renew(self) -> None:
        """Take new locks."""
        self.tally.renew()
        self._writer.renew()


def _renew_after_forks(handler: LineHandler) -> None:
    """Have a forked child take new locks: threads that are no more may hold the old ones."""
    known = weakref.ref(handler)  # a registration cannot be taken back

    def renew() -> None:
        there = known()
        if there is not None:
            there.renew()

    os.register_at_fork(after_in_child=renew)


def sole_handler(logger: stdlib_logging.Logger) -> LineHandler | None:
    """Return the handler in force, where nothing else of the standard library's logging would see a record."""
    kind = type(logger)
    if (
        logger.filters
        or kind.callHandlers is not _CALL_HANDLERS
        or kind.handle is not _HANDLE
        or kind.makeRecord is not _MAKE_RECORD
        or stdlib_logging.getLogRecordFactory() is not stdlib_logging.LogRecord
    ):
        return None
    while not logger.handlers:
        if not logger.propagate or logger.parent is None:
            return None
        logger = logger.parent
    handler = logger.handlers[0]
    is_sole = logger.parent is None and len(logger.handlers) == 1 and type(handler) is LineHandler
    return handler if is_sole and not handler.filters and not handler.level else None  # type: ignore[return-value]


def redactor_in_force() -> Redactor:
    """Return what the handler in force hides by, else the standard rules."""
    handler = _in_force(stdlib_logging.getLogger())
    return STANDARD if handler is None else handler.redactor


def install(handler: LineHandler, level: int) -> None:
    """Put `handler` on the root logger in the place of the one in force, if there is one."""
    root = stdlib_logging.getLogger()
    replaced = _in_force(root)
    handler.before = Before(
        level=root.level, handler=replaced, redirected=redirect_server_loggers(), held=hold_drivers()
    )
    if replaced is not None:
        root.removeHandler(replaced)
    root.addHandler(handler)
    root.setLevel(level)
    _renew_after_forks(handler)
    # Not at the standard library's own shutdown, which comes after other functions of `atexit` that may still log.
    atexit.register(handler.finish)


def release(handler: LineHandler) -> None:
    """Undo `install`; twice does nothing.

    Handlers that replaced each other may be released in any order: the newest that is not released is in force.
    """
    if handler.is_released:
        return
    handler.is_released = True
    root = stdlib_logging.getLogger()
    if _in_force(root) not in (handler, None):
        handler.flush()
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
