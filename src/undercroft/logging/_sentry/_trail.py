"""The last lines of each piece of work, kept until an error in it needs them.

Not in the SDK's scope: that is the same for all tasks of an event loop, unless an integration forks it for each
request, and then an error would come with the lines of strangers.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Any

_Work = tuple[str | None, ...]
_NAMES = ("request_id", "job_id", "trace_id")

MAX_CRUMBS = 50
"""Lines kept of one piece of work; the newest stay."""
MAX_WORKS = 256
"""Pieces of work whose lines are kept; those that were silent longest go first."""


class Trail:
    """Lines by the work that wrote them. Used from any thread."""

    def __init__(self) -> None:
        self._crumbs: OrderedDict[_Work, deque[dict[str, Any]]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, names: Mapping[str, str], crumb: dict[str, Any]) -> None:
        """Keep `crumb` for the work that `names` name; lines of no work are a piece of work of their own."""
        work = _work(names)
        with self._lock:
            crumbs = self._crumbs.get(work)
            if crumbs is None:
                crumbs = self._crumbs[work] = deque(maxlen=MAX_CRUMBS)
                if len(self._crumbs) > MAX_WORKS:
                    self._crumbs.popitem(last=False)
            crumbs.append(crumb)
            self._crumbs.move_to_end(work)

    def of(self, names: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return what was kept for the work that `names` name, the oldest first."""
        with self._lock:
            return list(self._crumbs.get(_work(names), ()))


def _work(names: Mapping[str, str]) -> _Work:
    return tuple(names.get(name) for name in _NAMES)
