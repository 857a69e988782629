"""How long to wait before a job is tried again."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Literal, cast

import msgspec

from undercroft._core.durations import Duration, to_seconds
from undercroft._core.errors import near_names
from undercroft.queue._errors import JobDefinitionError

Kind = Literal["fixed", "linear", "exponential"]
_KINDS: tuple[Kind, ...] = ("exponential", "fixed", "linear")


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """A delay that depends on the number of failures. Immutable; stored with the job.

    Make one with `Backoff.fixed`, `Backoff.linear` or `Backoff.exponential`.
    """

    kind: Kind
    base_s: float
    factor: float = 2.0
    max_s: float | None = None
    has_jitter: bool = False

    @classmethod
    def fixed(cls, delay: Duration) -> Backoff:
        """Wait `delay` each time."""
        return cls(kind="fixed", base_s=to_seconds(delay, name="backoff delay"))

    @classmethod
    def linear(cls, delay: Duration, *, limit: Duration = "1h") -> Backoff:
        """Wait `delay`, twice `delay`, three times `delay`, …, never more than `limit`."""
        return cls(kind="linear", base_s=to_seconds(delay, name="backoff delay"), max_s=to_seconds(limit))

    @classmethod
    def exponential(
        cls,
        base: Duration = 1.0,
        *,
        factor: float = 2.0,
        limit: Duration = "60s",
        jitter: bool = True,
    ) -> Backoff:
        """Wait `base`, then `factor` times as long each time, never more than `limit`.

        With `jitter` (the default) each wait is drawn evenly from 0 up to that, so that jobs which failed together do
        not come back together ("full jitter", AWS Architecture Blog, 2015).
        """
        return cls(
            kind="exponential", base_s=to_seconds(base), factor=factor, max_s=to_seconds(limit), has_jitter=jitter
        )

    def delay_s(self, failures: int, *, draw: Callable[[], float] = random.random) -> float:
        """Return the seconds to wait after failure number `failures`, counted from 1."""
        if self.kind == "exponential":
            # 64 doublings are more than any cap; beyond, a float overflows.
            delay = self.base_s * self.factor ** min(failures - 1, 64)
        else:
            delay = self.base_s * (failures if self.kind == "linear" else 1)
        if self.max_s is not None:
            delay = min(delay, self.max_s)
        return delay * draw() if self.has_jitter else delay


BackoffFunction = Callable[[int, Exception], Duration]
"""`(failures, error) -> delay`: lives with the job's definition in the worker; it is not stored with the job."""
BackoffLike = Backoff | BackoffFunction | Duration | Mapping[str, object]


def to_backoff(value: BackoffLike) -> Backoff | BackoffFunction:
    """Normalise every spelling of a backoff.

    `"exponential"`, `"linear"`, `"fixed"` start at 1 second; a duration is a fixed delay; a mapping is
    `{"type": …, "delay": duration}` or `{"type": …, "delay_ms": milliseconds}`.

    Raises:
        JobDefinitionError: Anything else.
    """
    if isinstance(value, Backoff) or callable(value):
        return value
    if isinstance(value, Mapping):
        return _from_mapping(value)
    if isinstance(value, str) and value.isalpha():
        return _of_kind(value, 1.0)
    if isinstance(value, int | float | str | timedelta):
        return Backoff.fixed(value)
    raise JobDefinitionError(f"backoff {value!r} is not a backoff", hint="use Backoff.exponential(), a kind or a delay")


def _from_mapping(value: Mapping[str, object]) -> Backoff:
    unknown = sorted(value.keys() - {"type", "delay", "delay_ms"})
    if unknown or "type" not in value or {"delay", "delay_ms"} <= value.keys():
        raise JobDefinitionError(
            f"backoff {dict(value)!r} is not {{'type': …, 'delay': …}}",
            near=near_names(unknown[0], ("type", "delay", "delay_ms")) if unknown else (),
            hint="'delay' is a duration (seconds or text), 'delay_ms' milliseconds; give one of them",
        )
    if "delay_ms" in value:
        return _of_kind(str(value["type"]), to_seconds(cast("Duration", value["delay_ms"]), name="delay_ms") / 1000)
    return _of_kind(str(value["type"]), to_seconds(cast("Duration", value.get("delay", 1.0)), name="backoff delay"))


def _of_kind(kind: str, delay_s: float) -> Backoff:
    if kind == "exponential":
        return Backoff.exponential(delay_s)
    if kind == "linear":
        return Backoff.linear(delay_s)
    if kind == "fixed":
        return Backoff.fixed(delay_s)
    raise JobDefinitionError(
        f"backoff kind {kind!r} is unknown", near=near_names(kind, _KINDS), hint=f"kinds: {', '.join(_KINDS)}"
    )
