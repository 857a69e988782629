"""Count what became of lines, exactly, from any thread."""

from __future__ import annotations

import threading
from collections.abc import Callable

from undercroft.logging._report import report_failure

Count = Callable[[str], None]
"""Takes one word for each line: its level when it was written, `dropped` or `sampled` when not. Must not block."""


class Tally:
    """How many lines were written, dropped, and left out by sampling; how often a callback failed."""

    def __init__(self, count: Count | None = None) -> None:
        self._count = count
        self.written = 0
        """Changed by the writer alone, which has a lock."""
        self.dropped = 0
        self.sampled = 0
        self.failed = 0
        self.untold = 0
        """How many were dropped that no line has told of."""
        self.renew()

    def renew(self) -> None:
        """Take a new lock: after a fork, a thread that is no more may hold the old one."""
        # Reentrant: a signal's handler may log too, in the middle of this.
        self._lock = threading.RLock()

    @property
    def is_told(self) -> bool:
        """Whether there is a callback that counts too."""
        return self._count is not None

    def add_dropped(self, lines: int = 1) -> None:
        """Count lines that could not be written."""
        with self._lock:
            self.dropped += lines
            self.untold += lines
        for _ in range(lines if self.is_told else 0):
            self.tell("dropped")

    def add_sampled(self) -> None:
        """Count a line that was left out."""
        with self._lock:
            self.sampled += 1
        self.tell("sampled")

    def add_failed(self, failure: Exception) -> None:
        """Count a callback that raised; the first time is reported."""
        with self._lock:
            self.failed += 1
            is_first = self.failed == 1
        if is_first:
            report_failure(failure)

    def take_untold(self) -> int:
        """Return how many were dropped that no line has told of; the next line does."""
        with self._lock:
            untold, self.untold = self.untold, 0
        return untold

    def put_back_untold(self, lines: int) -> None:
        """Take back what `take_untold` returned: the line that was to tell of them could not be written."""
        with self._lock:
            self.untold += lines

    def tell(self, word: str) -> None:
        """Call the callback, if there is one."""
        if self._count is None:
            return
        try:
            self._count(word)
        except Exception as failure:
            self.add_failed(failure)
