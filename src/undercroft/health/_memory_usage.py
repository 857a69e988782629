"""How much memory is used, of how much: by the limit of the control group, else by what the machine has.

Sources: proc(5) and cgroups(7); kernel.org, "Control Group v2" (`memory.max`, `memory.current`, `memory.stat`) and
"Memory Resource Controller" of version 1 (`memory.limit_in_bytes`, `memory.usage_in_bytes`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class MemoryUsage:
    """Bytes that are used, and bytes that may be. `place` is whose limit it is: `cgroup` or `host`."""

    used: int
    limit: int
    place: str

    @property
    def share(self) -> float:
        """The part that is used."""
        return self.used / self.limit


@dataclass(frozen=True, slots=True)
class _Controller:
    """Where a version of control groups says it."""

    folders: tuple[str, ...]
    limit: str
    usage: str
    cache: str
    """The key in `memory.stat` of what the kernel gives back before it kills anybody: kubelet's working set is less
    that, too."""


_V2 = _Controller(folders=("", "unified"), limit="memory.max", usage="memory.current", cache="inactive_file")
_V1 = _Controller(
    folders=("memory",),
    limit="memory.limit_in_bytes",
    usage="memory.usage_in_bytes",
    cache="total_inactive_file",
)


def memory_usage(proc: Path, cgroup: Path) -> MemoryUsage | None:
    """Return the usage that is nearest to its limit; `None` where the system does not tell.

    In a control group with a limit, it is what all processes of the group use: the kernel kills by that. Without one,
    what this process uses, of what the machine has: that others use the rest is not its fault.
    """
    total, resident = _host_bytes(proc), resident_bytes(proc)
    groups = [group for group in _groups(proc, cgroup, resident) if total is None or group.limit < total]
    if groups:
        return max(groups, key=lambda group: group.share)
    if total is None or resident is None:
        return None
    return MemoryUsage(resident, total, "host")


def resident_bytes(proc: Path) -> int | None:
    """Return the memory of this process that is resident now; where the system does not tell, the most it ever was."""
    try:
        pages = int((proc / "self" / "statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return _peak_bytes()
    return pages * os.sysconf("SC_PAGE_SIZE")


def _peak_bytes() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _groups(proc: Path, cgroup: Path, resident: int | None) -> Iterator[MemoryUsage]:
    """Yield the control groups of this process that have a limit: its own, and those around it."""
    for line in _text(proc / "self" / "cgroup").splitlines():
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        controller = _V1 if "memory" in names.split(",") else _V2
        if controller is _V2 and (number, names) != ("0", ""):
            continue
        usages = [_usage(directory, controller, resident) for directory in _directories(cgroup, controller, path)]
        yield from (usage for usage in usages if usage is not None)


def _directories(cgroup: Path, controller: _Controller, path: str) -> Iterator[Path]:
    # A container may see the path that the host has for it, and only the root of its own: what is not there is skipped.
    parts = [part for part in path.split("/") if part]
    if ".." in parts:
        parts = []
    for folder in controller.folders:
        for count in range(len(parts), -1, -1):
            yield cgroup.joinpath(folder, *parts[:count])


def _usage(directory: Path, controller: _Controller, resident: int | None) -> MemoryUsage | None:
    limit = _number(_text(directory / controller.limit))
    if not limit:
        return None
    usage = _number(_text(directory / controller.usage))
    if usage is None:
        return None if resident is None else MemoryUsage(resident, limit, "cgroup")
    return MemoryUsage(max(0, usage - _cache_bytes(directory, controller.cache)), limit, "cgroup")


def _cache_bytes(directory: Path, key: str) -> int:
    for line in _text(directory / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name == key:
            return _number(value) or 0
    return 0


def _host_bytes(proc: Path) -> int | None:
    for line in _text(proc / "meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return (_number(line.split()[1]) or 0) * 1024 or None
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None


def _number(text: str) -> int | None:
    """Return a number, and `None` for `max`, and for nothing."""
    text = text.strip()
    return int(text) if text.isdecimal() and text.isascii() else None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""
