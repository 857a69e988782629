"""A bound on how long a call takes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.durations import Duration, format_seconds
from undercroft.resilience._counts import TimeoutCounts
from undercroft.resilience._errors import CallTimeoutError, PolicyError, seconds_text
from undercroft.resilience._policy import Decorating, P, T, name_of, seconds


class Timeout(Decorating):
    """Cancel a call that takes too long. Immutable; for any number of calls at once.

    Only what this policy itself cancelled becomes a `CallTimeoutError`: a cancellation from outside goes through as it
    is, and so does a `TimeoutError` that the function raises by itself. The function may clean up while it is
    cancelled, and may still return: then that is the result. What it had started elsewhere may have been done.

    Args:
        after: Of each call, from its beginning.
        name: In metrics; by default `timeout`.

    Raises:
        PolicyError: `after` is 0.
        DurationError: Not a duration.
    """

    def __init__(self, after: Duration, *, name: str = "timeout", clock: Clock | None = None) -> None:
        self._after_s = seconds(after, name="after")
        if not self._after_s:
            raise PolicyError("a timeout of 0 lets nothing be called", hint="give a duration over 0")
        self._clock = clock or SystemClock()
        self._counts = TimeoutCounts(name)

    def __repr__(self) -> str:
        return f"Timeout({format_seconds(self._after_s)!r})"

    async def call(self, fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `fn`, and cancel it when its time is over.

        Raises:
            CallTimeoutError: It was.
        """
        with self._clock.cancel_after(self._after_s):
            return await fn(*args, **kwargs)
        raise self._cut(fn)

    def _cut(self, fn: object) -> CallTimeoutError:
        self._counts.cut.increment()
        return CallTimeoutError(
            f"{name_of(fn)} took longer than {seconds_text(self._after_s)}, and was cancelled", timeout_s=self._after_s
        )
