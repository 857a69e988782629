"""A health check as a value."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeAlias, cast

from undercroft._core.durations import Duration, to_seconds
from undercroft.health._errors import HealthCheckError
from undercroft.health._group import Groups, HealthGroup, read_groups
from undercroft.health._outcome import CheckOutcome

Checker: TypeAlias = Callable[[], CheckOutcome | Awaitable[CheckOutcome]]
"""A function without arguments, `async` or not."""

P = ParamSpec("P")

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
    groups: tuple[HealthGroup, ...] = (HealthGroup.READINESS,)
    """Which questions it answers."""
    local: bool = False
    """Whether it asks nothing outside of this process: no server, no disk, no other process."""
    component_type: str | None = None
    """For `application/health+json`: `component`, `datastore` or `system`."""

    def __post_init__(self) -> None:
        if not str(self.name).strip():
            raise HealthCheckError(f"a health check needs a name, and {self.name!r} is none")
        if not callable(self.function):
            raise HealthCheckError(
                f"health check {self.name!r}: the checker is a {type(self.function).__name__}, not a function",
                hint="give the function itself, without calling it",
            )
        _refuse_parameters(self.name, self.function)
        object.__setattr__(self, "groups", read_groups(self.groups, name=self.name, local=self.local))

    def __call__(self) -> R_co:
        """Run the function, with no timeout and no report."""
        return self.function()


def health_check(
    name: str,
    *,
    critical: bool = True,
    timeout: Duration | None = None,
    groups: Groups = HealthGroup.READINESS,
    local: bool = False,
    component_type: str | None = None,
) -> Callable[[Callable[[], R_co]], HealthCheck[R_co]]:
    """Make a function without arguments a health check.

        @health_check("database", timeout="2s")
        async def database() -> None:
            await pool.execute("SELECT 1")

    Args:
        critical: `False` for what the application can serve without: when it fails, the whole is degraded.
        timeout: More than zero; `None` takes the default of whoever runs it, which is 5 seconds.
        groups: `"readiness"`, `"liveness"`, `"startup"`, or several of them; see `HealthGroup`.
        local: `True` for what asks nothing outside of this process. Liveness takes no others.
        component_type: For `application/health+json`: `component`, `datastore` or `system`.

    Raises:
        HealthCheckError: The name is empty, the function needs arguments, the timeout is zero, or a group is unknown.
        HealthGroupError: It is meant for liveness, and not local.
        DurationError: The timeout is not a duration.
    """
    if callable(name):
        raise HealthCheckError(
            "@health_check needs the check's name", hint=f'@health_check("{getattr(name, "__name__", "database")}")'
        )

    timeout_s = None if timeout is None else timeout_seconds(timeout, what=name)

    def define(function: Callable[[], R_co]) -> HealthCheck[R_co]:
        return HealthCheck(
            name=name,
            function=function,
            critical=critical,
            timeout_s=timeout_s,
            groups=read_groups(groups, name=name, local=local),
            local=local,
            component_type=component_type,
        )

    return define


D_co = TypeVar("D_co", bound=HealthCheck[Any], covariant=True)


class HealthCheckFactory(Generic[P, D_co]):
    """A function that makes a check, and that can be registered itself, without calling it, for its defaults.

    `register("memory", memory_health_check)` and `register("memory", memory_health_check(0.8))` both do what they look
    like. Holds nothing; lives as long as its module.
    """

    def __init__(self, make: Callable[P, D_co]) -> None:
        functools.update_wrapper(self, make)
        self._make = make

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> D_co:
        """Make the check."""
        return self._make(*args, **kwargs)

    def make_default(self) -> D_co:
        """Make the check with the defaults of all arguments."""
        return cast("Callable[[], D_co]", self._make)()


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
