"""The checks of the disk and of the event loop."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from undercroft._core.durations import DurationError
from undercroft.health import (
    HealthCheckError,
    HealthChecks,
    HealthStatus,
    LoopLag,
    disk_health_check,
    loop_lag_health_check,
)

pytestmark = pytest.mark.anyio


def told(**more: int) -> Any:
    """Return a statvfs that tells of a disk of 1000 blocks of 1 MB, 50 of them kept for root."""
    full = {"f_frsize": 1024 * 1024, "f_blocks": 1000, "f_bfree": 500, "f_bavail": 450, "f_flag": 0}
    inodes = {"f_files": 1000, "f_ffree": 900, "f_favail": 900}
    stat = SimpleNamespace(**(full | inodes | more))
    return lambda path: stat


@pytest.mark.parametrize(
    ("told_of", "status", "message"),
    [
        ({}, "healthy", "Disk: 53% used (500 MB / 950 MB at /data)"),
        ({"f_bfree": 100, "f_bavail": 50}, "degraded", "Disk: 95% used (900 MB / 950 MB at /data)"),
        ({"f_bfree": 50, "f_bavail": 0}, "unhealthy", "Disk: 100% used (950 MB / 950 MB at /data)"),
        ({"f_ffree": 10, "f_favail": 10}, "unhealthy", "Disk: 99% of the inodes used (at /data)"),
        ({"f_files": 0, "f_ffree": 0, "f_favail": 0}, "healthy", "Disk: 53% used (500 MB / 950 MB at /data)"),
        ({"f_blocks": 0, "f_bfree": 0, "f_bavail": 0}, "healthy", "Disk: 10% of the inodes used (at /data)"),
        ({"f_flag": os.ST_RDONLY}, "unhealthy", "Disk: read-only (at /data)"),
    ],
)
def test_a_disk_is_as_full_as_df_says(told_of: dict[str, int], status: str, message: str) -> None:
    result = disk_health_check("/data", stat=told(**told_of))()
    assert (result.status, result.message) == (HealthStatus(status), message)


def test_a_disk_that_need_not_be_written_may_be_read_only() -> None:
    check = disk_health_check("/data", writable=False, stat=told(f_flag=os.ST_RDONLY))
    assert check().status is HealthStatus.HEALTHY


async def test_a_real_disk_is_found_and_one_that_is_not_there_is_unhealthy(tmp_path: Path) -> None:
    health = HealthChecks([disk_health_check(tmp_path, unhealthy_at=1.1), disk_health_check("/nowhere", name="none")])
    report = await health.run()
    assert "% used" in str(report.checks["disk"].message) or "inodes" in str(report.checks["disk"].message)
    assert report.checks["none"].status is HealthStatus.UNHEALTHY
    assert "FileNotFoundError" in str(report.checks["none"].message)


def test_a_disk_is_nothing_for_liveness(health: HealthChecks) -> None:
    with pytest.raises(HealthCheckError, match="UC1003"):
        health.register("disk", disk_health_check, groups="liveness")


async def test_an_idle_loop_is_healthy_and_is_measured_when_it_is_asked(health: HealthChecks) -> None:
    health.register("loop", loop_lag_health_check("5s", unhealthy_at="10s"), groups=("readiness", "liveness"))
    result = (await health.run()).checks["loop"]
    assert result.status is HealthStatus.HEALTHY
    assert str(result.message).startswith("Event loop: up to ")
    assert result.measured is not None
    assert result.measured.unit == "ms"


async def test_a_loop_that_was_blocked_is_remembered(health: HealthChecks) -> None:
    async with LoopLag() as lag:
        health.register("loop", loop_lag_health_check("200ms", unhealthy_at="1h", lag=lag))
        assert (await health.run()).status is HealthStatus.HEALTHY
        time.sleep(0.6)
        assert lag.worst_s >= 0.3
        await anyio.sleep(0)
        assert (await health.run()).status is HealthStatus.DEGRADED
    assert lag.worst_s == 0


async def test_a_loop_that_is_blocked_for_too_long_is_unhealthy(health: HealthChecks) -> None:
    async with LoopLag() as lag:
        health.register("loop", loop_lag_health_check("10ms", unhealthy_at="200ms", lag=lag))
        time.sleep(0.5)
        assert (await health.run()).status is HealthStatus.UNHEALTHY


async def test_a_measure_can_be_entered_again() -> None:
    lag = LoopLag()
    for _ in range(2):
        async with lag:
            assert lag.worst_s >= 0
    assert lag.worst_s == 0


@pytest.mark.parametrize(("threshold", "unhealthy_at"), [("0s", "1s"), ("2s", "1s")])
def test_times_out_of_order_are_refused(threshold: str, unhealthy_at: str) -> None:
    with pytest.raises(HealthCheckError, match="not in order"):
        loop_lag_health_check(threshold, unhealthy_at=unhealthy_at)
    with pytest.raises(DurationError):
        loop_lag_health_check("soon")
