"""From a share of something that is used to a status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from undercroft.health._errors import HealthCheckError
from undercroft.health._result import HealthResult, Measurement
from undercroft.health._status import HealthStatus

_UNIT = 1024
_SHARE_LEFT = 0.3


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From which share on something is degraded, and from which it is unhealthy."""

    degraded: float
    unhealthy: float

    @classmethod
    def of(cls, threshold: float, unhealthy_at: float | None, *, what: str) -> Self:
        """Return them from arguments; without `unhealthy_at`, 30 % of what the threshold leaves: 0.97 for 0.9.

        Raises:
            HealthCheckError: They are not above 0 and in order.
        """
        unhealthy = 1 - (1 - threshold) * _SHARE_LEFT if unhealthy_at is None else unhealthy_at
        if not 0 < threshold <= unhealthy or threshold > 1:
            raise HealthCheckError(
                f"{what}: degraded from {threshold!r} and unhealthy from {unhealthy!r} are no shares in this order",
                hint="0 < threshold <= unhealthy_at, and threshold <= 1: 0.9 is 90 %",
            )
        return cls(threshold, unhealthy)

    def result(self, share: float, message: str) -> HealthResult:
        """Return the result for a share that is used."""
        measured = Measurement("utilization", round(share * 100, 1), "percent")
        return HealthResult(self.status(share), message, measured=measured)

    def status(self, value: float) -> HealthStatus:
        """Return the status for a value."""
        if value >= self.unhealthy:
            return HealthStatus.UNHEALTHY
        return HealthStatus.DEGRADED if value >= self.degraded else HealthStatus.HEALTHY


def shown_bytes(size: float) -> str:
    """Write a size for people: `415 MB`, `1.5 GB`; a kilobyte is 1024 bytes."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if abs(size) < _UNIT:
            return f"{size:.0f} {unit}" if unit != "GB" or size >= 100 else f"{size:.1f} {unit}"
        size /= _UNIT
    return f"{size:.1f} TB"
