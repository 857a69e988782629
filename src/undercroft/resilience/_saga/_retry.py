"""How often a step is tried, and how long it waits in between."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from undercroft._core.durations import Duration, to_seconds
from undercroft._core.errors import UndercroftError
from undercroft.resilience._saga._checks import check_count
from undercroft.resilience._saga._errors import SagaDefinitionError, SagaStepResultError, StepRefusedError


@dataclass(frozen=True, slots=True, init=False)
class StepRetry:
    """How a step, or a compensation, is tried again. Immutable; part of a definition, never stored.

    Waits grow as powers of two from `base` up to `cap`; each is drawn evenly from 0 up to that ("full jitter", AWS
    Architecture Blog, 2015), unless `jitter` is false. An error that asks for a longer wait by its `retry_after` gets
    it.

    Args:
        attempts: Runs in all, 1 to 1000. A run that ended with its process is not counted as one that failed.
        on: Which errors are worth another try. `StepRefusedError` never is.
    """

    attempts: int
    base_s: float
    cap_s: float
    has_jitter: bool
    on: tuple[type[Exception], ...]

    def __init__(
        self,
        attempts: int = 3,
        *,
        base: Duration = "1s",
        cap: Duration = "60s",
        jitter: bool = True,
        on: type[Exception] | Iterable[type[Exception]] = Exception,
    ) -> None:
        kinds = (on,) if isinstance(on, type) else tuple(on)
        if not kinds or not all(issubclass(kind, Exception) for kind in kinds):
            raise SagaDefinitionError(f"on={on!r} does not name classes of exceptions")
        object.__setattr__(self, "attempts", check_count(attempts, what="attempts"))
        object.__setattr__(self, "base_s", to_seconds(base, name="base"))
        object.__setattr__(self, "cap_s", to_seconds(cap, name="cap"))
        object.__setattr__(self, "has_jitter", jitter)
        object.__setattr__(self, "on", kinds)

    def delay_s(self, failures: int, exc: Exception, *, draw: Callable[[], float] = random.random) -> float | None:
        """Return the seconds to wait after failure number `failures`, counted from 1; `None`: do not try again."""
        is_final = isinstance(exc, StepRefusedError | SagaStepResultError) or not isinstance(exc, self.on)
        if is_final or failures >= self.attempts:
            return None
        # 64 doublings are more than any cap; beyond, a float overflows.
        delay = min(self.base_s * 2.0 ** min(failures - 1, 64), self.cap_s)
        asked = exc.retry_after if isinstance(exc, UndercroftError) else None
        return max(delay * draw() if self.has_jitter else delay, asked or 0.0)


ONCE = StepRetry(1)
"""The default of actions: to repeat an effect is for the author of the step to allow."""
PATIENT = StepRetry(3)
"""The default of compensations: they must be idempotent, and they must get through."""
RetryLike = StepRetry | int
"""A policy, or a number of attempts."""


def to_retry(value: RetryLike | None, default: StepRetry) -> StepRetry:
    """Normalise every spelling of a policy."""
    if value is None:
        return default
    if isinstance(value, StepRetry):
        return value
    if isinstance(value, int):
        return StepRetry(value)
    raise SagaDefinitionError(
        f"retry {value!r} is not a policy", hint='give a number of attempts, or StepRetry(5, base="1s", cap="60s")'
    )
