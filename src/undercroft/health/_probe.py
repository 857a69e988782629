"""What `/livez`, `/readyz`, `/startupz` and `/health` are answered, over whichever protocol they come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from undercroft.health._checks import HealthChecks
from undercroft.health._group import HealthGroup
from undercroft.health._health_json import HEALTH_JSON
from undercroft.health._report import HealthReport

PROBE_PATHS = ("/livez", "/readyz", "/startupz", "/health")
"""The paths that `answer_probe` knows."""

_JSON = "application/json"
_GROUPS = {
    "/livez": HealthGroup.LIVENESS,
    "/readyz": HealthGroup.READINESS,
    "/startupz": HealthGroup.STARTUP,
    "/health": None,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeAnswer:
    """An answer, ready to be written as JSON. Immutable."""

    status: int
    """Of HTTP."""
    document: Mapping[str, object]
    """Plain JSON data."""
    content_type: str = _JSON


async def answer_probe(
    path: str, checks: HealthChecks, *, is_open: bool, details: bool, query: str = "", accept: str = ""
) -> ProbeAnswer:
    """Return the answer to one of `PROBE_PATHS`.

    - `/livez`: the local checks that were registered for liveness, mostly none; it asks no dependency, ever.
    - `/readyz`: 503 when a critical check is unhealthy, while a critical check for startup has not passed yet, or while
      opening and closing.
    - `/startupz`: 503 until it is open and every critical check for startup has passed once.
    - `/health`: the whole report; as `application/health+json` for those who accept that and do not like JSON more.

    The first three say `{"status"}` and no more, unless the query has `verbose`.

    Args:
        is_open: Whether what the checks look at is open.
        details: Whether messages are shown: not to strangers.
        query: The query string, without `?`.
        accept: The header `Accept`; the lines joined by commas where there are several.
    """
    group = _GROUPS[path]
    as_health_json = group is None and wants_health_json(accept)
    if not is_open and group is not HealthGroup.LIVENESS:
        return _closed(as_health_json=as_health_json)
    report = await checks.report(group)
    if as_health_json:
        document = report.to_health_json(details=details)
        return ProbeAnswer(status=report.http_status, document=document, content_type=HEALTH_JSON)
    status = _startup_status(checks) if group is HealthGroup.STARTUP else report.http_status
    return ProbeAnswer(status=status, document=_document(report, group, status, query, details=details))


def wants_health_json(accept: str) -> bool:
    """Tell whether an `Accept` header (RFC 9110, section 12.5.1) names the format, and likes JSON no better.

    `*/*` does not name it: tools that take anything are given plain JSON.
    """
    weights = {media_type: weight for media_type, weight in map(_media_range, accept.lower().split(",")) if media_type}
    wanted = weights.get(HEALTH_JSON, 0.0)
    return wanted > 0 and wanted >= weights.get(_JSON, 0.0)


def _media_range(text: str) -> tuple[str, float]:
    media_type, *parameters = [part.strip() for part in text.split(";")]
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return media_type, min(1.0, max(0.0, float(value)))
            except ValueError:
                return media_type, 0.0
    return media_type, 1.0


def _closed(*, as_health_json: bool) -> ProbeAnswer:
    message = "not open: starting, stopping, or never opened"
    if as_health_json:
        return ProbeAnswer(status=503, document={"status": "fail", "output": message}, content_type=HEALTH_JSON)
    return ProbeAnswer(status=503, document={"status": "unhealthy", "message": message})


def _startup_status(checks: HealthChecks) -> int:
    # Not the report's own: what has started stays started, however degraded it was then.
    return 200 if checks.has_started else 503


def _document(
    report: HealthReport, group: HealthGroup | None, status: int, query: str, *, details: bool
) -> dict[str, object]:
    document = report.to_dict(details=details)
    if group is HealthGroup.STARTUP:
        document["status"] = "healthy" if status == 200 else "unhealthy"
    return document if group is None or _is_verbose(query) else {"status": document["status"]}


def _is_verbose(query: str) -> bool:
    for pair in query.split("&"):
        name, has_value, value = pair.partition("=")
        if name == "verbose":
            return not has_value or value.lower() not in ("0", "false", "no")
    return False
