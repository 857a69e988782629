"""Have what Python itself prints come as lines: errors that nobody caught, and warnings.

asyncio's "Task exception was never retrieved" is a record of the logger `asyncio` already.
"""

from __future__ import annotations

import sys
import threading
import warnings
from types import TracebackType
from typing import Any, TextIO

from undercroft.logging._logger import Logger

_log = Logger(module="undercroft.uncaught")
_warnings = Logger(module="py.warnings")


class UncaughtHooks:
    """Takes over four hooks of Python; `restore` gives back those that nobody else has taken since.

    `sys.excepthook` (critical, written before the process ends), `threading.excepthook` and `sys.unraisablehook`
    (error), `warnings.showwarning` (warning). Ctrl-C is left to the hook that was there.
    """

    def __init__(self) -> None:
        self.is_on = True
        self.before = (sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning)
        # Bound once: each look at a method makes another object, and none would be recognised.
        self._ours = (self._main, self._thread, self._unraisable, self._warning)
        sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning = self._ours

    def restore(self) -> None:
        """Give the hooks back. One that someone else wrapped passes on to the one before from now on."""
        self.is_on = False
        if sys.excepthook is self._ours[0]:
            sys.excepthook = self._left(0)
        if threading.excepthook is self._ours[1]:
            threading.excepthook = self._left(1)
        if sys.unraisablehook is self._ours[2]:
            sys.unraisablehook = self._left(2)
        if warnings.showwarning is self._ours[3]:
            warnings.showwarning = self._left(3)

    def _left(self, which: int) -> Any:
        """Return the hook before this one, past those of setups that were closed before."""
        hook: Any = self.before[which]
        owner = getattr(hook, "__self__", None)
        while isinstance(owner, UncaughtHooks) and not owner.is_on:
            hook = owner.before[which]
            owner = getattr(hook, "__self__", None)
        return hook

    def _main(self, kind: type[BaseException], exc: BaseException, trace: TracebackType | None) -> None:
        if self.is_on and isinstance(exc, Exception):
            _log.critical("uncaught exception", exc)
        else:
            self.before[0](kind, exc, trace)

    def _thread(self, args: threading.ExceptHookArgs) -> None:
        if self.is_on and args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
            name = None if args.thread is None else args.thread.name
            _log.error("uncaught exception in a thread", args.exc_value, thread=name)
        else:
            self.before[1](args)

    def _unraisable(self, unraisable: sys.UnraisableHookArgs) -> None:
        if self.is_on and unraisable.exc_value is not None:
            said = unraisable.err_msg or "exception ignored"
            # Not the object itself: it is about to go, and must not be held.
            _log.error(said, unraisable.exc_value, object_type=type(unraisable.object).__qualname__)
        else:
            self.before[2](unraisable)

    def _warning(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> Any:
        if self.is_on and file is None:
            _warnings.warning(str(message), category=category.__name__, at=f"{filename}:{lineno}")
        else:
            self.before[3](message, category, filename, lineno, file, line)
