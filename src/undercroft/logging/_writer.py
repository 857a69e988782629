"""Turn entries into lines, hand them to the output, and account for each of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from undercroft.logging._entry import Entry
from undercroft.logging._format import LineFormatter, our_entry
from undercroft.logging._json import JsonFormatter
from undercroft.logging._output import Output
from undercroft.logging._plain import Plain, valid
from undercroft.logging._report import report_failure
from undercroft.logging._tally import Tally

Also = Callable[[Mapping[str, Plain]], None]
"""Takes each line that was written, as the object of a JSON line, in the thread that wrote it. Must not block."""

_TELL_EVERY_S = 1.0
_WARNING = 30


class LineWriter:
    """Writes entries. Never raises. Calls may come from any thread; their lines do not mix."""

    def __init__(self, output: Output, formatter: LineFormatter, tally: Tally, also: Also | None = None) -> None:
        self._output = output
        self._formatter = formatter
        self._tally = tally
        self._also = also
        self.has_callbacks = also is not None or tally.is_told
        self._json = (
            formatter
            if isinstance(formatter, JsonFormatter)
            else JsonFormatter(redactor=formatter.redactor, static=formatter.static)
        )
        self._told_at = -_TELL_EVERY_S
        self._is_failing = False
        self._calling: set[int] = set()
        self.renew()

    def renew(self) -> None:
        """Take a new lock: after a fork, a thread that is no more may hold the old one."""
        self._lock = threading.RLock()

    @property
    def is_calling_here(self) -> bool:
        """Whether this thread is inside of a callback: a line for each line would have no end."""
        return bool(self._calling) and threading.get_ident() in self._calling

    def write(self, entries: Sequence[Entry]) -> None:
        """Write entries; before them, at most once a second, how many were dropped."""
        if self._tally.untold and time.monotonic() - self._told_at >= _TELL_EVERY_S:
            self.tell_of_dropped()
        lines = [self._formatter.line(entry) for entry in entries]
        with self._lock:
            written, failure = self._output.write(lines)
            self._tally.written += written
        if failure is not None:
            self._failed(failure, len(entries) - written)
        elif self._is_failing:
            self._is_failing = False
        if self.has_callbacks:
            self._call(entries[:written])

    def write_one(self, entry: Entry) -> None:
        """Write an entry, at the least cost."""
        if self.has_callbacks or self._is_failing or self._tally.untold:
            self.write((entry,))
            return
        line = self._formatter.line(entry)
        with self._lock:
            written, failure = self._output.write((line,))
            self._tally.written += written
        if failure is not None:
            self._failed(failure, 1)

    def tell_of_dropped(self) -> None:
        """Write how many lines were dropped since that was last told, if any were."""
        dropped = self._tally.take_untold()
        if not dropped:
            return
        told = our_entry(_WARNING, "warning", f"{dropped} log lines were dropped", {"dropped": dropped})
        with self._lock:
            written, _ = self._output.write([self._formatter.line(told)])
        if written:
            self._told_at = time.monotonic()
        else:
            self._tally.put_back_untold(dropped)

    def _failed(self, failure: Exception, lines: int) -> None:
        self._tally.add_dropped(lines)
        if not self._is_failing:  # reported once, until lines go out again
            self._is_failing = True
            report_failure(failure)

    def _call(self, entries: Sequence[Entry]) -> None:
        here = threading.get_ident()
        self._calling.add(here)
        try:
            for entry in entries:
                self._tally.tell(entry.word)
                if self._also is not None:
                    self._call_also(self._also, entry)
        finally:
            self._calling.discard(here)

    def _call_also(self, also: Also, entry: Entry) -> None:
        try:
            also(cast("dict[str, Plain]", valid(self._json.mapping(entry))))
        except Exception as failure:
            self._tally.add_failed(failure)
