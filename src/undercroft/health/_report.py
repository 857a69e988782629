"""What a check found, and what all of them found together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from datetime import datetime

from undercroft._core.errors import near_names
from undercroft.health._errors import HealthDialectError
from undercroft.health._status import HealthStatus

_DIALECTS: Mapping[str, Mapping[HealthStatus, str]] = {
    "healthy": {status: status.value for status in HealthStatus},
    "ok": {HealthStatus.HEALTHY: "ok", HealthStatus.DEGRADED: "degraded", HealthStatus.UNHEALTHY: "error"},
}


@dataclass(frozen=True, slots=True)
class HealthResult:
    """What one check found. Immutable.

    A checker may return one: `HealthResult(HealthStatus.DEGRADED, "replica is 40 s behind")`. Latency and criticality
    are then filled in by whoever ran the check.
    """

    status: HealthStatus
    message: str | None = None
    """For operators: it may quote hosts and SQL."""
    _: KW_ONLY
    latency_ms: float = 0.0
    """How long the check took, by a monotonic clock."""
    critical: bool = True
    """Whether the application cannot serve when this is unhealthy."""

    def __post_init__(self) -> None:
        # Words of other systems are taken here too, so that `status` is a HealthStatus whoever made the result.
        object.__setattr__(self, "status", HealthStatus(self.status))


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthReport:
    """What all checks found in one run. Immutable."""

    status: HealthStatus
    checks: Mapping[str, HealthResult]
    """By name, in the order of registration."""
    timestamp: datetime
    """When the run ended; aware, UTC."""
    uptime_seconds: float
    """Since the checks' owner was made."""

    @property
    def is_ready(self) -> bool:
        """Whether requests may be sent here: no critical check is unhealthy. Degraded is ready."""
        return self.status is not HealthStatus.UNHEALTHY

    def to_dict(self, *, dialect: str = "healthy", details: bool = True) -> dict[str, object]:
        """Return the report as plain JSON data.

        `{status, checks: {name: {status, critical, latency_ms, message?}}, timestamp, uptime_seconds}`; `timestamp` is
        RFC 3339 in UTC, `uptime_seconds` whole.

        Args:
            dialect: The words for a status: `"healthy"` (healthy, degraded, unhealthy) or `"ok"` (ok, degraded, error).
            details: Whether messages are shown. Say no to strangers: messages quote hosts, SQL and exceptions.

        Raises:
            HealthDialectError: There is no such dialect.
        """
        words = _DIALECTS.get(dialect)
        if words is None:
            raise HealthDialectError(
                f"there is no health dialect {dialect!r}",
                near=near_names(dialect, _DIALECTS),
                hint=f"dialects: {', '.join(_DIALECTS)}",
            )
        return {
            "status": words[self.status],
            "checks": {name: _entry(result, words, details=details) for name, result in self.checks.items()},
            "timestamp": self.timestamp.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "uptime_seconds": int(self.uptime_seconds),
        }


def overall(results: Iterable[HealthResult]) -> HealthStatus:
    """Return the worst that matters: unhealthy if a critical one is, degraded if any other is not healthy.

    Healthy when there are none.
    """
    status = HealthStatus.HEALTHY
    for result in results:
        if result.status is HealthStatus.UNHEALTHY and result.critical:
            return HealthStatus.UNHEALTHY
        if result.status is not HealthStatus.HEALTHY:
            status = HealthStatus.DEGRADED
    return status


def _entry(result: HealthResult, words: Mapping[HealthStatus, str], *, details: bool) -> dict[str, object]:
    entry: dict[str, object] = {
        "status": words[result.status],
        "critical": result.critical,
        "latency_ms": result.latency_ms,
    }
    if details and result.message is not None:
        entry["message"] = result.message
    return entry
