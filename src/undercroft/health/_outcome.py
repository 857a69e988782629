"""Read what a checker returned or raised. Whatever is not clearly healthy is unhealthy, and says why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from undercroft._core.errors import UndercroftError
from undercroft.health._result import HealthResult
from undercroft.health._status import HealthStatus
from undercroft.logging import redact_text

CheckOutcome: TypeAlias = HealthResult | HealthStatus | Mapping[str, object] | bool | str | None
"""What a checker may return: a result; `{"status": …, "message": …}`; a status word or boolean; `None` for healthy."""

_MAX_MESSAGE = 500
_WORDS_HINT = "return None, a boolean, 'healthy', 'degraded', 'unhealthy', a HealthResult, or raise"


def read_outcome(outcome: object) -> HealthResult:
    """Return what a checker returned as a result.

    Other keys of a mapping than `status` and `message` are not read.
    """
    if outcome is None:
        return HealthResult(HealthStatus.HEALTHY)
    if isinstance(outcome, HealthResult):
        return HealthResult(outcome.status, _message(outcome.message), measured=outcome.measured)
    if isinstance(outcome, Mapping):
        return _read_mapping(outcome)
    if callable(outcome):
        return unhealthy(f"the checker returned {_name_of(outcome)} instead of a result: {_FACTORY}")
    return _read_word(outcome, None)


def read_failure(exc: BaseException) -> HealthResult:
    """Return what a checker raised as a result: our errors' own message, or the type and message of others."""
    if isinstance(exc, UndercroftError):
        return unhealthy(exc.message)
    try:
        text = str(exc)
    except Exception as failure:
        text = f"its message cannot be shown: {type(failure).__name__}"
    return unhealthy(f"{type(exc).__name__}: {text}" if text else type(exc).__name__)


def unhealthy(message: str) -> HealthResult:
    """Return an unhealthy result."""
    return HealthResult(HealthStatus.UNHEALTHY, _message(message))


_FACTORY = "it is a factory, so register what it returns, checker() and not checker"


def _read_mapping(outcome: Mapping[str, object]) -> HealthResult:
    if "status" not in outcome:
        return unhealthy(f"the checker returned a mapping without 'status' (its keys: {sorted(map(str, outcome))})")
    return _read_word(outcome["status"], _message(outcome.get("message")))


def _read_word(word: object, message: str | None) -> HealthResult:
    try:
        status = HealthStatus(word)  # type: ignore[arg-type]  # any value; those without a meaning are a ValueError
    except ValueError:
        said = repr(word) if isinstance(word, str | int | float) else f"a {type(word).__name__}"
        return unhealthy(
            f"the checker said {said}, which is not a status; {_WORDS_HINT}{f' ({message})' if message else ''}"
        )
    return HealthResult(status, message)


def _message(message: object) -> str | None:
    if message is None:
        return None
    text = redact_text(str(message))
    return text if len(text) <= _MAX_MESSAGE else f"{text[:_MAX_MESSAGE]}…"


def _name_of(function: Callable[..., object]) -> str:
    return f"the function {getattr(function, '__qualname__', type(function).__name__)!r}"
