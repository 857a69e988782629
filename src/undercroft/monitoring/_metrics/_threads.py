"""How counting stays exact over threads.

Where Python has its global lock, a thread gives way only at a call, at a function's beginning and at a jump back (the
places where CPython 3.11 and later look whether somebody waits): never inside `series.own += value`, as long as both
are plain numbers. So counting needs no lock of its own there, is twice as fast, and may happen in signal handlers
and finalizers. `tests/monitoring/metrics/test_threads.py` counts with eight threads that give way as often as they can.
Where there is no global lock, `exact` puts one around each function that counts.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_LOCK = threading.RLock()  # one for all: the same series are counted by several functions


def exact(function: Callable[P, R]) -> Callable[P, R]:
    """Return `function`, or where threads run at the same time, one that lets them in one by one."""
    return function if _has_global_lock() else locked(function)


def locked(function: Callable[P, R]) -> Callable[P, R]:
    """Return `function` behind the lock that all such functions share."""

    @functools.wraps(function)
    def alone(*args: P.args, **kwargs: P.kwargs) -> R:
        with _LOCK:
            return function(*args, **kwargs)

    return alone


def _has_global_lock() -> bool:
    return getattr(sys, "_is_gil_enabled", lambda: True)()
