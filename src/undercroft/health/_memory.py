"""Whether the memory is enough."""

from __future__ import annotations

from pathlib import Path

from undercroft.health._definition import HealthCheck, HealthCheckFactory
from undercroft.health._memory_usage import memory_usage
from undercroft.health._result import HealthResult
from undercroft.health._status import HealthStatus
from undercroft.health._thresholds import Thresholds, shown_bytes


@HealthCheckFactory
def memory_health_check(
    threshold: float = 0.9,
    *,
    unhealthy_at: float | None = None,
    name: str = "memory",
    proc: str | Path = "/proc",
    cgroup: str | Path = "/sys/fs/cgroup",
) -> HealthCheck[HealthResult]:
    """Make a check of how much memory is used, of the control group's limit or, without one, of the machine's.

    Says `Memory: 83% used (415 MB / 500 MB, cgroup)`. With a limit, `cgroup`, it counts all processes of the group,
    without the file cache that the kernel would give back: by that the kernel decides whom to kill. Without one,
    `host`, it counts this process. It is local, so that liveness takes it too. Where the system does not tell, it is
    degraded and says so.

    May be registered without calling it: `register_health_check("memory", memory_health_check)`.

    Args:
        threshold: The share from which on it is degraded; above 0, at most 1.
        unhealthy_at: The share from which on it is unhealthy; more than 1 for never. When `None`, 30 % of what the
            threshold leaves: 0.97 for 0.9.
        proc, cgroup: Where the kernel tells it.

    Raises:
        HealthCheckError: The shares are not above 0 and in order.
    """
    thresholds = Thresholds.of(threshold, unhealthy_at, what=name)

    def check() -> HealthResult:
        usage = memory_usage(Path(proc), Path(cgroup))
        if usage is None:
            return HealthResult(HealthStatus.DEGRADED, "Memory: this system does not tell how much there is")
        sizes = f"{shown_bytes(usage.used)} / {shown_bytes(usage.limit)}, {usage.place}"
        return thresholds.result(usage.share, f"Memory: {usage.share:.0%} used ({sizes})")

    return HealthCheck(name=name, function=check, local=True, component_type="system")
