"""Whether the event loop comes to its work in time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

from undercroft._core.durations import Duration, format_seconds, to_seconds
from undercroft.health._definition import HealthCheck, HealthCheckFactory
from undercroft.health._errors import HealthCheckError
from undercroft.health._result import HealthResult, Measurement
from undercroft.health._thresholds import Thresholds

_TICK_S = 0.25
_REMEMBERED = 40
_SAMPLES = 5
_SAMPLE_S = 0.01


class LoopLag:
    """Measures by how much the event loop runs late, with a timer of its own, four times a second.

        async with LoopLag() as lag:
            lag.worst_s

    A loop that computes, or calls something that blocks, comes late to everything else: requests, timeouts, probes.
    Lives from entering to leaving, in one loop, without a task; `worst_s` may be read from any thread. Time is the
    loop's own, since that is what is measured.
    """

    def __init__(self) -> None:
        self._lags: deque[float] = deque(maxlen=_REMEMBERED)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due_s = 0.0

    @property
    def worst_s(self) -> float:
        """The longest time in the last ten seconds or so by which the loop was late, be it now. 0 when not entered."""
        if self._loop is None:
            return 0.0
        return max(0.0, self._loop.time() - self._due_s, *self._lags)

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._lags.clear()
        self._wait()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._loop = self._timer = None

    def _wait(self) -> None:
        assert self._loop is not None
        self._due_s = self._loop.time() + _TICK_S
        self._timer = self._loop.call_at(self._due_s, self._tick)

    def _tick(self) -> None:
        assert self._loop is not None
        self._lags.append(self._loop.time() - self._due_s)
        self._wait()


@HealthCheckFactory
def loop_lag_health_check(
    threshold: Duration = "250ms",
    *,
    unhealthy_at: Duration = "2s",
    lag: LoopLag | None = None,
    name: str = "event loop",
) -> HealthCheck[Coroutine[Any, Any, HealthResult]]:
    """Make a check of how late the event loop runs.

    Says `Event loop: up to 3ms late`. It is local, so that liveness takes it too; a loop that is blocked for good never
    answers at all, which the platform's own timeout notices.

    Args:
        threshold: From how long on it is degraded.
        unhealthy_at: From how long on it is unhealthy.
        lag: Whose measure of the last ten seconds is taken. When `None`, the check looks for itself, for a twentieth of
            a second: it then sees a loop that is busy all the time, and not one that was blocked a second ago.

    Raises:
        DurationError: One of them is not a duration.
        HealthCheckError: They are not above zero and in order.
    """
    degraded_s, unhealthy_s = to_seconds(threshold, name="threshold"), to_seconds(unhealthy_at, name="unhealthy_at")
    if not 0 < degraded_s <= unhealthy_s:
        raise HealthCheckError(
            f"{name}: degraded from {threshold!r} and unhealthy from {unhealthy_at!r} are not in order",
            hint="0 < threshold <= unhealthy_at",
        )
    thresholds = Thresholds(degraded_s, unhealthy_s)

    async def check() -> HealthResult:
        worst_s = await _sampled_s() if lag is None else lag.worst_s
        measured = Measurement("lag", round(worst_s * 1000, 3), "ms")
        return HealthResult(
            thresholds.status(worst_s), f"Event loop: up to {format_seconds(round(worst_s, 3))} late", measured=measured
        )

    return HealthCheck(name=name, function=check, local=True, component_type="system")


async def _sampled_s() -> float:
    loop = asyncio.get_running_loop()
    lags = []
    for _ in range(_SAMPLES):
        due_s = loop.time() + _SAMPLE_S
        await asyncio.sleep(_SAMPLE_S)
        lags.append(loop.time() - due_s)
    return max(0.0, *lags)
