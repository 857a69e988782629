"""What was taken and is not written yet: bounded, filled from any thread, emptied by one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from undercroft.monitoring._tracing._protocol import FinishedSpan

Item: TypeAlias = FinishedSpan | Mapping[str, Any]


class Buffer:
    """First in, first out. When it is full, what comes is dropped and counted, and what is there stays.

    Args:
        limit: How many items it holds.
        wake_at: `wake` is called once when so many wait, in the thread of whoever brought the last.
    """

    def __init__(self, *, limit: int, wake_at: int, wake: Callable[[], None]) -> None:
        self._items: deque[Item] = deque()
        self._limit = limit
        self._wake_at = min(wake_at, limit)
        self._wake = wake
        self._has_woken = False
        self._is_closed = False
        self._lock = threading.Lock()
        self._dropped_count = 0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def dropped_count(self) -> int:
        """Items that were not written: there was no room, the file did not take them, or they came too late."""
        return self._dropped_count

    def add(self, item: Item) -> None:
        """Take `item`, or drop it. Never blocks for longer than another thread's count, never raises."""
        waiting = len(self._items)
        if waiting >= self._limit or self._is_closed:
            self.count_dropped(1)
            return
        self._items.append(item)  # atomic; threads at the same moment may exceed the limit by one each
        if waiting + 1 >= self._wake_at and not self._has_woken:
            self._has_woken = True
            self._wake()

    def take(self, limit: int) -> list[Item]:
        """Return the first items, in order, and forget them."""
        self._has_woken = False
        count = min(limit, len(self._items))
        return [self._items.popleft() for _ in range(count)]

    def count_dropped(self, count: int) -> None:
        """Count items as dropped."""
        with self._lock:
            self._dropped_count += count

    def open(self) -> None:
        """Take items: so it is from the beginning."""
        self._is_closed = False

    def close(self) -> None:
        """Drop and count what waits and what comes from now on."""
        self._is_closed = True
        self.count_dropped(len(self.take(len(self._items))))
