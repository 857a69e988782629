"""Which trace a bucket's last value belongs to, so that a slow request on a chart can be opened.

Source: https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md#exemplars
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from undercroft._core.context import correlation

_EACH_S = 1.0
_NONE_EACH_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemplar:
    """One value and the span that observed it."""

    value: float
    trace_id: str
    span_id: str
    at_s: float
    """Seconds since the Unix epoch."""


class Exemplars:
    """The last exemplar of each bucket of one series. At most one a second is taken, so that observing stays cheap."""

    __slots__ = ("_time", "due", "kept", "monotonic")

    def __init__(self, count: int, monotonic: Callable[[], float], time: Callable[[], float]) -> None:
        self.monotonic = monotonic
        self._time = time
        self.due = [0.0] * count
        """From when on, by the monotonic clock, a bucket takes the next; by the bucket's cell."""
        self.kept: dict[int, Exemplar] = {}

    def offer(self, bucket: int, value: float) -> None:
        """Keep `value`, if it was observed within a sampled trace."""
        trace = correlation().trace
        is_kept = trace is not None and trace.is_sampled
        # Where there is none, it is asked for again soon, but not each time: a few traces among many are sampled.
        self.due[bucket] = self.monotonic() + (_EACH_S if is_kept else _NONE_EACH_S)
        if trace is not None and is_kept:
            self.kept[bucket] = Exemplar(value=value, trace_id=trace.trace_id, span_id=trace.span_id, at_s=self._time())

    def clear(self) -> None:
        """Forget them."""
        self.kept.clear()
        self.due = [0.0] * len(self.due)
