"""What one check found, and when that changed."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from datetime import datetime

from undercroft.health._status import HealthStatus


@dataclass(frozen=True, slots=True)
class Measurement:
    """The number that a check looked at. Immutable."""

    name: str
    """As in draft-inadarei-api-health-check-06, section 4: `utilization`, `responseTime`, `connections`, …"""
    value: float | str
    unit: str | None = None
    """`percent`, `ms`, `bytes`, …"""


@dataclass(frozen=True, slots=True)
class HealthFailure:
    """A time when a check was unhealthy. Immutable."""

    message: str | None
    failed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthChange:
    """One change of a check's status. Immutable."""

    check: str
    status: HealthStatus
    """Since then."""
    previous: HealthStatus | None
    """Until then; `None` for the first result."""
    message: str | None
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class HealthResult:
    """What one check found. Immutable.

    A checker may return one: `HealthResult(HealthStatus.DEGRADED, "replica is 40 s behind")`. What comes after
    `measured` is then filled in by whoever ran the check.
    """

    status: HealthStatus
    message: str | None = None
    """For operators: it may quote hosts and SQL."""
    _: KW_ONLY
    measured: Measurement | None = None
    """What the status was decided by, where that is a number."""
    latency_ms: float = 0.0
    """How long the check took, by a monotonic clock."""
    critical: bool = True
    """Whether the application cannot serve when this is unhealthy."""
    component_type: str | None = None
    """`component`, `datastore` or `system`, where it is known."""
    checked_at: datetime | None = None
    """When the check ended; aware, UTC. `None` for a result that nobody ran."""
    age_s: float = 0.0
    """How old this was when it was reported: results are kept for a moment."""
    changed_at: datetime | None = None
    """Since when it has this status."""
    last_failure: HealthFailure | None = None
    """The last time it was unhealthy, be it now."""

    def __post_init__(self) -> None:
        # Words of other systems are taken here too, so that `status` is a HealthStatus whoever made the result.
        object.__setattr__(self, "status", HealthStatus(self.status))
