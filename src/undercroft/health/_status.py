"""The three states of health, and every word that means one of them."""

from __future__ import annotations

from enum import StrEnum


class HealthStatus(StrEnum):
    """How well something works.

    Also made from the words of others, in any case: `HealthStatus("ok")`, `HealthStatus(True)`. A word that is not
    known is a `ValueError`; the result of a checker that says one is unhealthy.
    """

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    """It works, and someone should look."""
    UNHEALTHY = "unhealthy"

    @classmethod
    def _missing_(cls, value: object) -> HealthStatus | None:
        if isinstance(value, bool):
            return cls.HEALTHY if value else cls.UNHEALTHY
        return _WORDS.get(value.strip().lower()) if isinstance(value, str) else None


# ok/degraded/error, ok/fail, up/down and pass/warn/fail (draft-inchausti-health-check-response, section 3.1).
_WORDS = {
    "healthy": HealthStatus.HEALTHY,
    "ok": HealthStatus.HEALTHY,
    "up": HealthStatus.HEALTHY,
    "pass": HealthStatus.HEALTHY,
    "true": HealthStatus.HEALTHY,
    "degraded": HealthStatus.DEGRADED,
    "warn": HealthStatus.DEGRADED,
    "warning": HealthStatus.DEGRADED,
    "unhealthy": HealthStatus.UNHEALTHY,
    "error": HealthStatus.UNHEALTHY,
    "fail": HealthStatus.UNHEALTHY,
    "down": HealthStatus.UNHEALTHY,
    "false": HealthStatus.UNHEALTHY,
}
