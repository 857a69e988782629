"""SIGTERM and SIGINT: the first asks to stop, a second insists, unless it comes with the first.

Handlers are set explicitly and early, since for process 1 of a container the kernel ignores a signal that has none.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from types import FrameType, TracebackType
from typing import Self

from undercroft.cli._exit_codes import ExitCode, forced_by
from undercroft.cli._report import Interrupted

SAME_REQUEST_S = 0.3
"""One request to stop may arrive as several signals: `timeout`, make and terminals signal a process and its group."""
_LAST_S = 1.0
_LAST_AFTER_ERROR_S = 5.0
BOTH = (signal.SIGTERM, signal.SIGINT)


def end_on_signals(numbers: tuple[signal.Signals, ...] = BOTH) -> None:
    """Until something better is in place, end at once with the signal's exit code: nothing is open yet."""
    for number in numbers:
        signal.signal(number, _end)


class StopRequests:
    """The signals this process got, for the block, inside a running event loop: the last thing that a process does.

    When the block is left, the process has about a second to end by itself.

    Args:
        numbers: The signals to listen to.
    """

    def __init__(self, numbers: tuple[signal.Signals, ...] = BOTH) -> None:
        self._numbers = numbers
        self.asked = asyncio.Event()
        """Set by the first."""
        self.forced = asyncio.Event()
        """Set by the second."""
        self._last: int = signal.SIGINT
        self._asked_at = 0.0

    @property
    def exit_code(self) -> ExitCode:
        """How the process should end: 0, unless it was forced."""
        return forced_by(self._last) if self.forced.is_set() else ExitCode.OK

    def stop(self) -> None:
        """Ask to stop, as a first signal does."""
        self.asked.set()

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in self._numbers:
            loop.add_signal_handler(number, self._receive, number)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop = asyncio.get_running_loop()
        for number in self._numbers:
            loop.remove_signal_handler(number)
            # Everything is closed and the process is about to end: another signal must not spoil its exit code.
            signal.signal(number, signal.SIG_IGN if exc is None else _end)
        if exc is None:
            _end_within(_LAST_S, self.exit_code)
        else:
            _end_within(_LAST_AFTER_ERROR_S, ExitCode.FAILED)

    def _receive(self, number: int) -> None:
        self._last = number
        if not self.asked.is_set():
            self._asked_at = time.monotonic()
            self.asked.set()
        elif time.monotonic() - self._asked_at > SAME_REQUEST_S:
            self.forced.set()


def _end(number: int, _: FrameType | None) -> None:
    raise Interrupted(number)


def _end_within(seconds: float, code: int) -> None:
    # A thread that is left, such as a plain function's that could not be cancelled, would keep the interpreter waiting
    # for as long as it likes, while its job runs again elsewhere.
    timer = threading.Timer(seconds, _leave, [code])
    timer.daemon = True
    timer.start()


def _leave(code: int) -> None:
    left = sorted(
        thread.name for thread in threading.enumerate() if not thread.daemon and thread is not threading.main_thread()
    )
    print(
        f"undercroft: ending without waiting for what cannot be cancelled: {', '.join(left) or 'the event loop'}",
        file=sys.stderr,
        flush=True,
    )
    sys.stdout.flush()
    os._exit(code)
