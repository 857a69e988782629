"""A health check as a value."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeAlias

from undercroft._core.durations import Duration, to_seconds
from undercroft.health._errors import HealthCheckError
from undercroft.health._outcome import CheckOutcome

Checker: TypeAlias = Callable[[], CheckOutcome | Awaitable[CheckOutcome]]
"""A function without arguments, `async` or not."""

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    R_co = TypeVar("R_co", bound=CheckOutcome | Awaitable[CheckOutcome], covariant=True, default=Any)
else:
    from typing import TypeVar

    R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck(Generic[R_co]):
    """What to check, under which name. Immutable, registered nowhere; calling it calls the function."""

    name: str
    function: Callable[[], R_co]
    critical: bool = True
    """Whether the application cannot serve when this is unhealthy."""
    timeout_s: float | None = None
    """Seconds after which it is unhealthy; `None` takes the default of whoever runs it."""

    def __post_init__(self) -> None:
        if not str(self.name).strip():
            raise HealthCheckError(f"a health check needs a name, and {self.name!r} is none")
        if not callable(self.function):
            raise HealthCheckError(
                f"health check {self.name!r}: the checker is a {type(self.function).__name__}, not a function",
                hint="give the function itself, without calling it",
            )
        _refuse_parameters(self.name, self.function)

    def __call__(self) -> R_co:
        """Run the function, with no timeout and no report."""
        return self.function()


def health_check(
    name: str, *, critical: bool = True, timeout: Duration | None = None
) -> Callable[[Callable[[], R_co]], HealthCheck[R_co]]:
    """Make a function without arguments a health check.

        @health_check("database", timeout="2s")
        async def database() -> None:
            await pool.execute("SELECT 1")

    Args:
        critical: `False` for what the application can serve without: when it fails, the whole is degraded.
        timeout: More than zero; `None` takes the default of whoever runs it, which is 5 seconds.

    Raises:
        HealthCheckError: The name is empty, the function needs arguments, or the timeout is zero.
        DurationError: The timeout is not a duration.
    """
    if callable(name):
        raise HealthCheckError(
            "@health_check needs the check's name", hint=f'@health_check("{getattr(name, "__name__", "database")}")'
        )

    timeout_s = None if timeout is None else timeout_seconds(timeout, what=name)

    def define(function: Callable[[], R_co]) -> HealthCheck[R_co]:
        return HealthCheck(name=name, function=function, critical=critical, timeout_s=timeout_s)

    return define


def timeout_seconds(timeout: Duration, *, what: str) -> float:
    """Return the timeout of a check in seconds, more than zero."""
    seconds = to_seconds(timeout, name=f"timeout of health check {what!r}")
    if not seconds:
        raise HealthCheckError(f"health check {what!r}: a timeout of zero leaves no time to check")
    return seconds


def _refuse_parameters(name: str, function: Callable[..., object]) -> None:
    try:
        inspect.signature(function).bind()
    except ValueError:
        return  # a builtin that does not say what it takes
    except TypeError as exc:
        raise HealthCheckError(
            f"health check {name!r}: the checker is called without arguments ({exc})",
            hint="bind them first: functools.partial(check, pool), or a lambda",
        ) from None
