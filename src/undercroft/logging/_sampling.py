"""Write only a share of the lines, and of whole requests rather than of lines."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from undercroft._core.context import Correlation
from undercroft.logging._errors import LogSamplingError
from undercroft.logging._levels import Level, level_number


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Which lines are written. The same id gives the same answer in every process.

    Raises:
        LogSamplingError: `rate` is not between 0 and 1, or `per` is neither word.
        LogLevelError: `keep` is no level.
    """

    rate: float
    """The share of traces, or requests, whose lines are written: 0.1 is every tenth."""
    per: Literal["trace", "request"] = "trace"
    """What is kept or left out as a whole. Where there is no such id, the other is taken, then the job's; lines of no
    request, trace or job are drawn one by one."""
    keep: Level = "warning"
    """Lines of this level and above are always written."""

    def __post_init__(self) -> None:
        if type(self.rate) not in (int, float) or not 0 <= self.rate <= 1:
            raise LogSamplingError(f"a sampling rate is a share between 0 and 1, not {self.rate!r}")
        if self.per not in ("trace", "request"):
            raise LogSamplingError(f'lines are sampled per "trace" or per "request", not per {self.per!r}')
        level_number(self.keep, what="keep")


class Sampler:
    """Applies a `Sampling`."""

    def __init__(self, sampling: Sampling, draw: Callable[[], float] = random.random) -> None:
        self._rate = sampling.rate
        self._is_per_trace = sampling.per == "trace"
        self._keep = level_number(sampling.keep)
        self._draw = draw

    def keeps(self, level: int, names: Correlation) -> bool:
        """Tell whether a line of `level` is written, made by the work of these names."""
        if level >= self._keep:
            return True
        share = self._share(names)
        return (self._draw() if share is None else share) < self._rate

    def _share(self, names: Correlation) -> float | None:
        trace_id = None if names.trace is None else names.trace.trace_id
        first, second = (trace_id, names.request_id) if self._is_per_trace else (names.request_id, trace_id)
        key = first or second or names.job_id
        # Spreads any ids evenly, counted-up ones too, and gives the same share in every process.
        return None if key is None else zlib.crc32(key.encode("utf-8", "replace")) / 2**32
