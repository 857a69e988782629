"""One run of an action or a compensation: its limit, its end, and what is said of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import msgspec

from undercroft._core.clock import Clock
from undercroft._core.durations import format_seconds
from undercroft.monitoring import start_span
from undercroft.resilience._saga._errors import SagaStepResultError, SagaStepTimeoutError
from undercroft.resilience._saga._records import encode_result


async def attempt(
    call: Callable[[], Awaitable[Any]],
    *,
    what: str,
    span: str,
    limit_s: float | None,
    clock: Clock,
    on_cancel: Callable[[], Awaitable[None]],
) -> msgspec.Raw | Exception:
    """Return what `call` came to: what it returned, as JSON, or its error.

    Args:
        what: Names the step, in errors.
        on_cancel: Awaited, shielded, when this run is cancelled from outside; the cancellation then goes on.
    """
    try:
        with clock.cancel_after(limit_s) as scope, start_span(span):
            outcome = _encoded(await call(), what)
    except Exception as exc:  # noqa: BLE001,RUF100 - the action is the user's, and its error is recorded
        return exc
    except asyncio.CancelledError as exc:
        task = asyncio.current_task()
        if task is not None and not task.cancelling():
            return _StrayCancellationError(f"{what}: something that it waited for was cancelled: {exc}")
        with anyio.CancelScope(shield=True):
            await on_cancel()
        raise
    if scope.cancelled_caught:
        return SagaStepTimeoutError(f"{what} took longer than its limit of {format_seconds(limit_s or 0)}")
    return outcome


def is_unknown(exc: Exception) -> bool:
    """Tell whether a run that ended by this error may have had its effect, whatever its author says of errors."""
    return isinstance(exc, SagaStepTimeoutError | SagaStepResultError | _StrayCancellationError)


class _StrayCancellationError(RuntimeError):
    """A `CancelledError` that nobody meant for this run."""


def _encoded(result: Any, what: str) -> msgspec.Raw:
    try:
        return encode_result(result)
    except TypeError as exc:
        raise SagaStepResultError(
            f"{what} returned what has no JSON form: {exc}", hint="return plain values, a dataclass or a model; or None"
        ) from exc
