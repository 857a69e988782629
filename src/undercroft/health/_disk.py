"""Whether there is room on a disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from undercroft.health._definition import HealthCheck, HealthCheckFactory
from undercroft.health._result import HealthResult
from undercroft.health._status import HealthStatus
from undercroft.health._thresholds import Thresholds, shown_bytes


@HealthCheckFactory
def disk_health_check(
    path: str | Path = ".",
    *,
    threshold: float = 0.9,
    unhealthy_at: float | None = None,
    writable: bool = True,
    name: str = "disk",
    stat: Callable[[Path], os.statvfs_result] = os.statvfs,
) -> HealthCheck[HealthResult]:
    """Make a check of how full the file system is that holds `path`.

    Says `Disk: 83% used (415 GB / 500 GB at /var/lib/shop)`, and counts as `df` does: what is kept for root is not
    free. Running out of inodes counts likewise: `Disk: 99% of the inodes used`. A path that is not there is unhealthy.

    Args:
        path: Any file or directory on it. A relative one is found from the directory where the check runs.
        threshold: The share from which on it is degraded; above 0, at most 1.
        unhealthy_at: The share from which on it is unhealthy; more than 1 for never. When `None`, 30 % of what the
            threshold leaves: 0.97 for 0.9.
        writable: Whether a file system that is mounted read-only is unhealthy.
        name: One for each disk, where several are checked.
        stat: Asks the system.

    Raises:
        HealthCheckError: The shares are not above 0 and in order.
    """
    thresholds = Thresholds.of(threshold, unhealthy_at, what=name)
    place = Path(path)

    def check() -> HealthResult:
        found = stat(place)
        if writable and found.f_flag & os.ST_RDONLY:
            return HealthResult(HealthStatus.UNHEALTHY, f"Disk: read-only (at {place})")
        used = found.f_blocks - found.f_bfree
        may_be_used = used + found.f_bavail
        blocks, inodes = _share(used, may_be_used), _inodes_share(found)
        if inodes > blocks:
            return thresholds.result(inodes, f"Disk: {inodes:.0%} of the inodes used (at {place})")
        sizes = f"{shown_bytes(used * found.f_frsize)} / {shown_bytes(may_be_used * found.f_frsize)}"
        return thresholds.result(blocks, f"Disk: {blocks:.0%} used ({sizes} at {place})")

    return HealthCheck(name=name, function=check, component_type="system")


def _inodes_share(found: os.statvfs_result) -> float:
    used = found.f_files - found.f_ffree
    return _share(used, used + found.f_favail)


def _share(used: int, may_be_used: int) -> float:
    """Return the part that is used. A file system without a size, such as an overlay of a cloud, is never full."""
    return used / may_be_used if may_be_used > 0 else 0.0
