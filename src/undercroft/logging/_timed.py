"""A block, and how long it took."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from undercroft.logging._logger import Logger


class Timed:
    """One block of `Logger.timed`. Made for each block; what is added to `fields` meanwhile is on the line."""

    def __init__(
        self,
        log: Logger,
        message: str,
        fields: dict[str, object],
        *,
        slow_s: float | None,
        now: Callable[[], float] = perf_counter,
    ) -> None:
        self.fields = fields
        self._log = log
        self._message = message
        self._slow_s = slow_s
        self._now = now
        self._began = 0.0

    def __enter__(self) -> Self:
        self._began = self._now()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        took_s = self._now() - self._began
        fields = {**self.fields, "duration_ms": round(took_s * 1000, 3)}
        if isinstance(exc, Exception):
            self._log.error(self._message, exc, **fields)
        elif exc is not None or (self._slow_s is not None and took_s >= self._slow_s):
            # Not an error: whoever cancelled the block, or ends the program, wanted that.
            self._log.warning(self._message, {"is_cut_off": True} if exc is not None else None, **fields)
        else:
            self._log.info(self._message, **fields)
