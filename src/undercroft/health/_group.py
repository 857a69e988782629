"""What a check is asked for: whether to restart the process, whether to send it requests, whether it has started."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import TypeAlias

from undercroft._core.errors import near_names
from undercroft.health._errors import HealthCheckError, HealthGroupError


class HealthGroup(StrEnum):
    """The questions that a platform asks (Kubernetes, "Configure Liveness, Readiness and Startup Probes")."""

    LIVENESS = "liveness"
    """Shall this process be restarted? Takes local checks only: a restart mends nothing outside of the process."""
    READINESS = "readiness"
    """Shall requests be sent here? The default."""
    STARTUP = "startup"
    """Has it started? Asked until every critical one has passed once, and never again. Until then such a check also
    counts for readiness."""


Groups: TypeAlias = str | Iterable[str]
"""One group or several, by name: `"readiness"`, `("liveness", "readiness")`."""


def read_groups(groups: Groups, *, name: str, local: bool) -> tuple[HealthGroup, ...]:
    """Return the groups of the check called `name`, in the order of the enumeration.

    Raises:
        HealthCheckError: There is no such group, or none is given.
        HealthGroupError: A check that is not local is meant for liveness.
    """
    words = [groups] if isinstance(groups, str) else list(groups)
    found = {read_group(word, of=f"health check {name!r}") for word in words}
    if not found:
        raise HealthCheckError(f"health check {name!r} is in no group", hint=f"groups: {', '.join(HealthGroup)}")
    if HealthGroup.LIVENESS in found and not local:
        raise HealthGroupError(
            f"health check {name!r} may depend on something outside of this process, and liveness takes no such check: "
            "when that is away, every process would be restarted, again and again",
            hint="register it for readiness; or with local=True, if it asks nothing but this process",
        )
    return tuple(group for group in HealthGroup if group in found)


def read_group(word: str, *, of: str) -> HealthGroup:
    """Return the group that is called `word`.

    Raises:
        HealthCheckError: There is none.
    """
    try:
        return HealthGroup(word)
    except ValueError:
        raise HealthCheckError(
            f"{of}: there is no group {word!r}",
            near=near_names(str(word), HealthGroup),
            hint=f"groups: {', '.join(HealthGroup)}",
        ) from None
