"""The memory check, over control groups of both versions, and without any."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft.health import HealthCheckError, HealthChecks, HealthResult, HealthStatus, memory_health_check
from undercroft.health._memory_usage import memory_usage

pytestmark = pytest.mark.anyio
MB = 1024 * 1024
HOST_MB = 8000


class Machine:
    """A made-up /proc and /sys/fs/cgroup."""

    def __init__(self, base: Path) -> None:
        self.proc = base / "proc"
        self.cgroup = base / "cgroup"
        self.write("proc/meminfo", f"MemTotal:       {HOST_MB * 1024} kB\nMemFree: 1 kB\n", base)
        self.rss(100)

    def write(self, name: str, text: str, base: Path | None = None) -> None:
        path = (base or self.proc.parent) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def rss(self, mb: int) -> None:
        self.write("proc/self/statm", f"999999 {mb * MB // 4096} 1 1 0 1 0\n")

    def v2(self, path: str, *, limit: str, current_mb: int = 0, cache_mb: int = 0, root: str = "cgroup") -> None:
        self.write(f"{root}{path}/memory.max", f"{limit}\n")
        self.write(f"{root}{path}/memory.current", f"{current_mb * MB}\n")
        self.write(f"{root}{path}/memory.stat", f"anon 1\ninactive_file {cache_mb * MB}\n")

    def v1(self, path: str, *, limit: str, usage_mb: int = 0, cache_mb: int = 0) -> None:
        self.write(f"cgroup/memory{path}/memory.limit_in_bytes", f"{limit}\n")
        self.write(f"cgroup/memory{path}/memory.usage_in_bytes", f"{usage_mb * MB}\n")
        self.write(f"cgroup/memory{path}/memory.stat", f"cache 1\ntotal_inactive_file {cache_mb * MB}\n")

    def found(self, threshold: float = 0.9, unhealthy_at: float | None = None) -> HealthResult:
        check = memory_health_check(threshold, unhealthy_at=unhealthy_at, proc=self.proc, cgroup=self.cgroup)
        return check()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def in_v2(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "0::/app\n")
    machine.v2("/app", limit=str(500 * MB), current_mb=515, cache_mb=100)


def in_v1(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "9:cpu:/\n4:cpu,memory:/app\n0::/\n")
    machine.v1("/app", limit=str(500 * MB), usage_mb=515, cache_mb=100)


def in_a_container_that_sees_the_hosts_path(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "4:memory:/docker/0123abcd\n")
    machine.v1("", limit=str(500 * MB), usage_mb=515, cache_mb=100)


def in_a_namespace_of_its_own(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "0::/\n")
    machine.v2("", limit=str(500 * MB), current_mb=515, cache_mb=100)


def above_its_namespace(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "0::/../other\n")
    machine.v2("", limit=str(500 * MB), current_mb=515, cache_mb=100)


def limited_from_above(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "0::/slice/app\n")
    machine.v2("/slice", limit=str(500 * MB), current_mb=515, cache_mb=100)
    machine.v2("/slice/app", limit="max", current_mb=300)


def limited_twice(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "0::/slice/app\n")
    machine.v2("/slice", limit=str(500 * MB), current_mb=515, cache_mb=100)
    machine.v2("/slice/app", limit=str(450 * MB), current_mb=300)


def with_both_versions(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "0::/app\n")
    machine.v2("/app", limit=str(500 * MB), current_mb=515, cache_mb=100, root="cgroup/unified")


@pytest.mark.parametrize(
    "place",
    [
        in_v2,
        in_v1,
        in_a_container_that_sees_the_hosts_path,
        in_a_namespace_of_its_own,
        above_its_namespace,
        limited_from_above,
        limited_twice,
        with_both_versions,
    ],
)
def test_the_nearest_limit_counts_without_the_cache(machine: Machine, place: Callable[[Machine], None]) -> None:
    place(machine)
    assert machine.found().message == "Memory: 83% used (415 MB / 500 MB, cgroup)"


def no_groups(machine: Machine) -> None:
    return


def unlimited_v2(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "0::/app\n")
    machine.v2("/app", limit="max", current_mb=7000)


def unlimited_v1(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "4:memory:/app\n")
    machine.v1("/app", limit="9223372036854771712", usage_mb=7000)


def a_limit_beyond_the_machine(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "0::/app\n")
    machine.v2("/app", limit=str(2 * HOST_MB * MB), current_mb=7000)


def garbage(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "nonsense\n0::/app\n")
    machine.v2("/app", limit="-5", current_mb=7000)


@pytest.mark.parametrize("place", [no_groups, unlimited_v2, unlimited_v1, a_limit_beyond_the_machine, garbage])
def test_without_a_limit_this_process_counts_against_the_machine(
    machine: Machine, place: Callable[[Machine], None]
) -> None:
    place(machine)
    machine.rss(4000)
    assert machine.found().message == "Memory: 50% used (3.9 GB / 7.8 GB, host)"


def test_a_group_that_does_not_tell_its_usage_counts_this_process(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "0::/app\n")
    machine.write("cgroup/app/memory.max", str(200 * MB))
    assert machine.found().message == "Memory: 50% used (100 MB / 200 MB, cgroup)"


@pytest.mark.parametrize(
    ("rss_share", "status"),
    [(0.5, "healthy"), (0.89, "healthy"), (0.91, "degraded"), (0.965, "degraded"), (0.975, "unhealthy")],
)
def test_it_is_degraded_before_it_is_unhealthy(machine: Machine, rss_share: float, status: str) -> None:
    machine.rss(int(HOST_MB * rss_share))
    result = machine.found()
    assert result.status is HealthStatus(status)
    assert result.measured is not None
    assert result.measured.value == pytest.approx(rss_share * 100, abs=0.1)


def test_where_it_turns_unhealthy_can_be_said_and_also_never(machine: Machine) -> None:
    machine.rss(HOST_MB)
    assert machine.found(0.5, 0.6).status is HealthStatus.UNHEALTHY
    assert machine.found(0.5, 1.1).status is HealthStatus.DEGRADED


@pytest.mark.parametrize(("threshold", "unhealthy_at"), [(0, None), (-1, None), (1.5, None), (0.9, 0.8), (2, 3)])
def test_shares_that_are_none_are_refused(threshold: float, unhealthy_at: float | None) -> None:
    with pytest.raises(HealthCheckError, match=r"UC1001 memory(.|\n)*0.9 is 90 %"):
        memory_health_check(threshold, unhealthy_at=unhealthy_at)


def test_on_this_machine_it_finds_something() -> None:
    result = memory_health_check()()
    assert result.status in (HealthStatus.HEALTHY, HealthStatus.DEGRADED)
    assert str(result.message).startswith("Memory: ")
    assert "% used (" in str(result.message)


@pytest.mark.parametrize("checker", [memory_health_check, memory_health_check()], ids=["uncalled", "called"])
async def test_it_is_registered_called_or_not(health: HealthChecks, checker: object) -> None:
    health.register("memory", checker)  # type: ignore[arg-type]
    health.register("live", checker, groups="liveness")  # type: ignore[arg-type]
    health.remove("live")
    added = HealthChecks([checker])  # type: ignore[list-item]
    for report in (await health.run(), await added.run()):
        assert "% used (" in str(report.checks["memory"].message)
        assert report.checks["memory"].component_type == "system"


@given(st.text(), st.text(), st.text(max_size=30))
def test_whatever_the_kernel_says_it_is_read_or_left(groups: str, limit: str, usage: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        machine = Machine(Path(directory))
        for name, text in {
            "proc/self/cgroup": groups + "\n0::/app\n",
            "cgroup/app/memory.max": limit,
            "cgroup/app/memory.current": usage,
        }.items():
            (machine.proc.parent / name).parent.mkdir(parents=True, exist_ok=True)
            (machine.proc.parent / name).write_bytes(text.encode("utf-8", "surrogatepass"))
        found = memory_usage(machine.proc, machine.cgroup)
    assert found is not None
    assert found.limit > 0
