"""What all checks found together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from undercroft._core.errors import near_names
from undercroft.health._errors import HealthDialectError
from undercroft.health._result import HealthResult
from undercroft.health._status import HealthStatus

_DIALECTS: Mapping[str, Mapping[HealthStatus, str]] = {
    "healthy": {status: status.value for status in HealthStatus},
    "ok": {HealthStatus.HEALTHY: "ok", HealthStatus.DEGRADED: "degraded", HealthStatus.UNHEALTHY: "error"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceInfo:
    """What a report in `application/health+json` says of the application itself. Immutable."""

    service_id: str | None = None
    version: str | None = None
    """Of the API, as its clients know it."""
    release_id: str | None = None
    """Of the build: `1.4.2`, a commit."""
    description: str | None = None


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
    degraded_status: int = 200
    """The HTTP status for degraded."""
    service: ServiceInfo | None = None

    @property
    def http_status(self) -> int:
        """The HTTP status to answer with: 200 for healthy, 503 for unhealthy, `degraded_status` for degraded."""
        if self.status is HealthStatus.DEGRADED:
            return self.degraded_status
        return 503 if self.status is HealthStatus.UNHEALTHY else 200

    @property
    def is_ready(self) -> bool:
        """Whether requests may be sent here: no critical check is unhealthy.

        Degraded is ready, unless `degraded_status` says otherwise.
        """
        return self.http_status < 400

    def to_dict(self, *, dialect: str = "healthy", details: bool = True) -> dict[str, object]:
        """Return the report as plain JSON data.

        `{status, checks: {name: entry}, timestamp, uptime_seconds}`, and an entry is `{status, critical, latency_ms,
        checked_at?, age_ms?, changed_at?, message?, last_failure?: {failed_at, message?}}`. Instants are RFC 3339 in
        UTC, `uptime_seconds` is whole.

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
            "timestamp": iso(self.timestamp),
            "uptime_seconds": int(self.uptime_seconds),
        }

    def to_health_json(self, *, details: bool = True) -> dict[str, object]:
        """Return the report as `application/health+json`, draft-inadarei-api-health-check-06.

        `{status, version?, releaseId?, serviceId?, description?, checks: {"component:measurement": [{status,
        componentType?, observedValue, observedUnit?, time?, output?}]}}`; `status` is `pass`, `warn` or `fail`. A check
        that measures nothing tells its `responseTime`. `output` is a message of one that does not pass.

        Args:
            details: Whether messages are shown.
        """
        from undercroft.health._health_json import health_json

        return health_json(self, details=details)


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


def iso(instant: datetime) -> str:
    """Write an instant in UTC to the millisecond."""
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _entry(result: HealthResult, words: Mapping[HealthStatus, str], *, details: bool) -> dict[str, object]:
    entry: dict[str, object] = {
        "status": words[result.status],
        "critical": result.critical,
        "latency_ms": result.latency_ms,
    }
    if result.checked_at is not None:
        entry |= {"checked_at": iso(result.checked_at), "age_ms": round(result.age_s * 1000)}
    if result.changed_at is not None:
        entry["changed_at"] = iso(result.changed_at)
    if details and result.message is not None:
        entry["message"] = result.message
    if details and result.last_failure is not None:
        failure = result.last_failure
        entry["last_failure"] = {"failed_at": iso(failure.failed_at)} | (
            {} if failure.message is None else {"message": failure.message}
        )
    return entry
