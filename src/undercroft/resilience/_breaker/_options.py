"""The arguments of a breaker, checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypedDict

from undercroft._core.durations import Duration
from undercroft._core.errors import Kind, UndercroftError
from undercroft.resilience._breaker._protocol import StateChange
from undercroft.resilience._breaker._window import Rules
from undercroft.resilience._errors import PolicyError
from undercroft.resilience._policy import seconds, share, whole

_MOST = 100
_MOST_WINDOW = 100_000
_HOUR_S = 3600.0
_WINDOW = 100
_MINIMUM_CALLS = 10
_LEASE_S = 30.0


class BreakerOptions(TypedDict, total=False):
    """The options of `CircuitBreaker`, for functions that pass them on; see there."""

    failure_threshold: int | None
    reset_timeout: Duration | None
    half_open_max: int
    success_threshold: int
    window: int | str | timedelta | None
    failure_rate: float | None
    minimum_calls: int | None
    slow_call: Duration | None
    slow_rate: float | None
    is_failure: Callable[[Exception], bool] | None
    call_timeout: Duration | None
    probe_lease: Duration | None
    on_state_change: Callable[[StateChange], object] | None
    threshold: int | None
    timeout: Duration | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a breaker goes by."""

    rules: Rules
    reset_s: float
    half_open_max: int
    success_threshold: int
    slow_s: float | None
    call_timeout_s: float | None
    lease_s: float
    is_failure: Callable[[Exception], bool]
    on_state_change: Callable[[StateChange], object] | None


def settings_of(options: BreakerOptions) -> Settings:
    """Check the options.

    Raises:
        PolicyError: One is out of range, or two contradict each other.
        DurationError: Not a duration.
    """
    _refuse_both(options, "failure_threshold", "threshold")
    _refuse_both(options, "reset_timeout", "timeout")
    threshold = options.get("failure_threshold") if options.get("threshold") is None else options.get("threshold")
    reset = options.get("reset_timeout") if options.get("timeout") is None else options.get("timeout")
    call_timeout_s = _positive(options.get("call_timeout"), "call_timeout")
    return Settings(
        rules=_rules(options, threshold),
        reset_s=30.0 if reset is None else seconds(reset, name="reset_timeout", least=0.001, most=_HOUR_S),
        half_open_max=whole(options.get("half_open_max", 1), name="half_open_max", least=1, most=_MOST),
        success_threshold=whole(options.get("success_threshold", 1), name="success_threshold", least=1, most=_MOST),
        slow_s=_positive(options.get("slow_call"), "slow_call"),
        call_timeout_s=call_timeout_s,
        lease_s=_lease_s(options.get("probe_lease"), call_timeout_s),
        is_failure=options.get("is_failure") or is_failure_of_service,
        on_state_change=options.get("on_state_change"),
    )


def is_failure_of_service(error: Exception) -> bool:
    """Tell whether an error says something about the service that was called.

    All do but undercroft's of the kinds *misuse* and *refused*: those are answers to what the caller did.
    """
    return not isinstance(error, UndercroftError) or error.kind is Kind.UNAVAILABLE


def _rules(options: BreakerOptions, threshold: int | None) -> Rules:
    failure_rate, slow_rate = options.get("failure_rate"), options.get("slow_rate")
    slow_call, window = options.get("slow_call"), options.get("window")
    if slow_rate is not None and slow_call is None:
        raise PolicyError("slow_rate needs to know what is slow", hint='slow_call="2s"')
    if failure_rate is not None and threshold is not None:
        raise PolicyError(
            f"failure_threshold={threshold} and failure_rate={failure_rate} are two ways to say when it opens",
            hint="a number of failures, or a share of the calls in the window",
        )
    has_window = window is not None
    if window is None and (failure_rate is not None or slow_call is not None):
        window = _WINDOW
    count = whole(5 if threshold is None else threshold, name="failure_threshold", least=1, most=_MOST)
    calls, span_s = _window(window)
    rate = None if failure_rate is None else share(failure_rate, name="failure_rate")
    return Rules(
        in_row=count if rate is None and not has_window else None,
        in_window=count if rate is None and has_window else None,
        failure_rate=rate,
        slow_rate=None if slow_call is None else share(0.5 if slow_rate is None else slow_rate, name="slow_rate"),
        minimum_calls=_minimum(options.get("minimum_calls"), calls),
        window_calls=calls,
        window_s=span_s,
    )


def _window(window: int | str | timedelta | None) -> tuple[int | None, float | None]:
    if window is None:
        return None, None
    if isinstance(window, bool | float):
        raise PolicyError(
            f"window={window!r} is neither calls nor time",
            hint='the last 100 calls: window=100; a minute: window="60s"',
        )
    if isinstance(window, int):
        return whole(window, name="window", least=1, most=_MOST_WINDOW), None
    return None, seconds(window, name="window", least=1.0, most=_HOUR_S)


def _minimum(given: int | None, calls: int | None) -> int:
    most = _MOST_WINDOW if calls is None else calls
    if given is None:
        return min(_MINIMUM_CALLS, most)
    return whole(given, name="minimum_calls", least=1, most=most)


def _lease_s(lease: Duration | None, call_timeout_s: float | None) -> float:
    if lease is not None:
        return seconds(lease, name="probe_lease", least=0.001, most=_HOUR_S)
    return _LEASE_S if call_timeout_s is None else call_timeout_s + 5.0


def _positive(value: Duration | None, name: str) -> float | None:
    return None if value is None else seconds(value, name=name, least=0.001)


def _refuse_both(options: BreakerOptions, name: str, alias: str) -> None:
    if options.get(name) is not None and options.get(alias) is not None:
        raise PolicyError(f"{name} and {alias} are two names of one thing", hint=f"give {name} alone")
