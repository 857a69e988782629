"""A report as `application/health+json`.

The format is draft-inadarei-api-health-check-06, "Health Check Response Format for HTTP APIs": an individual draft that
has expired and that tools read all the same. So it is given to those who ask for it by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from undercroft.health._report import iso
from undercroft.health._result import HealthResult, Measurement
from undercroft.health._status import HealthStatus

if TYPE_CHECKING:
    from undercroft.health._report import HealthReport, ServiceInfo

HEALTH_JSON = "application/health+json"
_WORDS = {HealthStatus.HEALTHY: "pass", HealthStatus.DEGRADED: "warn", HealthStatus.UNHEALTHY: "fail"}


def health_json(report: HealthReport, *, details: bool) -> dict[str, object]:
    """Return `report` in the draft's words and shape."""
    checks: dict[str, list[dict[str, object]]] = {}
    for name, result in report.checks.items():
        measured = result.measured or Measurement("responseTime", result.latency_ms, "ms")
        # Neither part of a key may have a colon (section 4); two names that differ in one then share a list.
        key = f"{name.replace(':', '.')}:{measured.name.replace(':', '.')}"
        checks.setdefault(key, []).append(_entry(name, result, measured, details=details))
    uptime = {"componentType": "system", "observedValue": round(report.uptime_seconds, 3), "observedUnit": "s"}
    checks.setdefault("uptime", []).append({"status": "pass", **uptime, "time": iso(report.timestamp)})
    return {"status": _status(report), **_service(report.service), "checks": checks}


def _status(report: HealthReport) -> str:
    # A warning must be answered with 2xx or 3xx (section 3.1), so what is answered otherwise is a failure.
    return _WORDS[report.status] if report.is_ready else "fail"


def _entry(name: str, result: HealthResult, measured: Measurement, *, details: bool) -> dict[str, object]:
    entry: dict[str, object] = {"status": _WORDS[result.status], "componentId": name}
    if result.component_type is not None:
        entry["componentType"] = result.component_type
    entry["observedValue"] = measured.value
    if measured.unit is not None:
        entry["observedUnit"] = measured.unit
    if result.checked_at is not None:
        entry["time"] = iso(result.checked_at)
    if details and result.message is not None and result.status is not HealthStatus.HEALTHY:
        entry["output"] = result.message
    return entry


def _service(service: ServiceInfo | None) -> dict[str, object]:
    if service is None:
        return {}
    said = {
        "serviceId": service.service_id,
        "version": service.version,
        "releaseId": service.release_id,
        "description": service.description,
    }
    return {key: value for key, value in said.items() if value is not None}
