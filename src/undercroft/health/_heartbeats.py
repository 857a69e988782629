"""What the processes of this machine wrote down of themselves, read without any of them.

Imports the standard library's lightest modules only: `undercroft health` must answer a probe in a few milliseconds.

A file is `<kind>-<pid>-<namespace>.json` in the directory `health` of the home, replaced as a whole, and one JSON
object: `{"v": 1, "kind", "pid", "process_started", "host", "started_at", "interval_s", "beat_at", "beat_epoch_s",
"beat_s", "loop_lag_ms", "status", "report", "work"}`. `process_started` is the process's start in the kernel's ticks,
so that another process with the same pid is not taken for it. `beat_s` is the machine's monotonic time of the beat.
`report` is `HealthReport.to_dict()`; `null`, with the status `starting`, before the first. `work` is what the process
says of its work.
"""

# Importing pathlib would take longer than all that is done here.
# ruff: noqa: PTH110, PTH116, PTH118, PTH119, PTH123, PTH208

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

VERSION = 1
MAX_AGE_S = 15.0
"""A beat that is older is too old, unless told otherwise."""

_LARGEST = 1 << 20


class Heartbeat(NamedTuple):
    """What one process wrote down, and what can be seen of it from outside."""

    kind: str
    """`api`, `worker` or `all`."""
    pid: int
    status: str
    """What its checks said: `healthy`, `degraded`, `unhealthy`, or `starting`."""
    is_live: bool
    """Whether it runs, and its event loop turns."""
    problem: str | None
    """Why it is not live, or what its checks found; `None` when nothing is wrong."""
    age_s: float
    """How long ago its last beat was."""
    is_here: bool
    """Whether it runs on this machine, in this container: only then can be seen whether it lives."""
    document: Mapping[str, Any]
    """All that it wrote; see the module."""

    @property
    def is_healthy(self) -> bool:
        """Whether it is live, and no critical check is unhealthy. Degraded is healthy, starting is not."""
        return self.is_live and self.status in ("healthy", "degraded")


def read_heartbeats(
    directory: str | os.PathLike[str],
    *,
    kind: str | None = None,
    max_age_s: float = MAX_AGE_S,
    proc: str = "/proc",
    monotonic_s: float | None = None,
    time_s: float | None = None,
) -> list[Heartbeat]:
    """Return what the processes wrote into `directory`, by kind and pid. An empty list when there is none.

    Args:
        kind: Of this kind only.
        max_age_s: From which age on a beat is too old, and its process not live.
        proc: Where the kernel tells of processes.
        monotonic_s, time_s: The time; the machine's when `None`.

    Raises:
        OSError: The directory is there, and cannot be read.
    """
    now_s = time.monotonic() if monotonic_s is None else monotonic_s
    epoch_s = time.time() if time_s is None else time_s
    found = []
    for path in _paths(directory):
        document, error = _read(path)
        if document is None or kind not in (None, document["kind"]):
            continue
        if error is None:
            found.append(_heartbeat(document, max_age_s, proc, now_s, epoch_s))
        else:
            found.append(Heartbeat(document["kind"], 0, "unhealthy", False, error, 0.0, True, document))
    return sorted(found, key=lambda beat: (beat.kind, beat.pid))


def this_host(proc: str = "/proc") -> str:
    """Return the name of this machine and, on Linux, of this process's view of pids: a pid means nothing elsewhere."""
    return f"{os.uname().nodename}/{pid_namespace(proc)}"


def pid_namespace(proc: str = "/proc") -> int:
    """Return the number of this process's pid namespace; 0 where there is none."""
    try:
        return os.stat(f"{proc}/self/ns/pid").st_ino
    except OSError:
        return 0


def process_started(pid: int, proc: str = "/proc") -> int | None:
    """Return when a process started, in the kernel's ticks since the boot; `None` when there is no such process.

    A zombie is none. Where the system has no `/proc`, 0 for every process there is. Field 22 of proc(5)'s `stat`.
    """
    try:
        with open(f"{proc}/{pid}/stat", "rb") as file:
            # The name, in brackets, may hold anything.
            fields = file.read().rpartition(b")")[2].split()
        return None if fields[0] in (b"Z", b"X") else int(fields[19])
    except (OSError, ValueError, IndexError):
        return None if os.path.exists(f"{proc}/self/stat") else _exists(pid)


def _exists(pid: int) -> int | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return 0
    return 0


def _paths(directory: str | os.PathLike[str]) -> Iterator[str]:
    try:
        names = sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        if name.endswith(".json") and not name.startswith("."):
            yield os.path.join(directory, name)


def _read(path: str) -> tuple[Mapping[str, Any] | None, str | None]:
    """Return what a file says, and what is wrong with it; nothing when its process has just taken it away."""
    try:
        with open(path, "rb") as file:
            document = json.loads(file.read(_LARGEST))
    except FileNotFoundError:
        return None, None
    except (OSError, ValueError, RecursionError) as exc:
        return _unreadable(path, type(exc).__name__)
    if not isinstance(document, dict) or document.get("v") != VERSION:
        return _unreadable(path, "written by another version")
    is_whole = all(
        isinstance(document.get(key), kind) and not isinstance(document[key], bool) for key, kind in _FIELDS.items()
    )
    return (document, None) if is_whole else _unreadable(path, "incomplete")


_FIELDS: Mapping[str, type | tuple[type, ...]] = {
    "kind": str,
    "pid": int,
    "host": str,
    "status": str,
    "beat_s": (int, float),
    "beat_epoch_s": (int, float),
}


def _unreadable(path: str, reason: str) -> tuple[Mapping[str, Any], str]:
    name = os.path.basename(path)
    return {"kind": name.partition("-")[0]}, f"{name} cannot be read: {reason}"


def _heartbeat(document: Mapping[str, Any], max_age_s: float, proc: str, now_s: float, epoch_s: float) -> Heartbeat:
    is_here = document["host"] == this_host(proc)
    # The same process means the same boot, and then the monotonic time is the same; the clock may have been set.
    is_running = is_here and _is_running(document, proc)
    age_s = max(0.0, now_s - document["beat_s"] if is_running else epoch_s - document["beat_epoch_s"])
    wrong = _gone(document, is_here=is_here, is_running=is_running) or _late(age_s, max_age_s)
    return Heartbeat(
        kind=document["kind"],
        pid=document["pid"],
        status=document["status"],
        is_live=wrong is None,
        problem=wrong or _found(document),
        age_s=age_s,
        is_here=is_here,
        document=document,
    )


def _is_running(document: Mapping[str, Any], proc: str) -> bool:
    started = process_started(document["pid"], proc)
    return started is not None and started == document.get("process_started")


def _gone(document: Mapping[str, Any], *, is_here: bool, is_running: bool) -> str | None:
    return f"process {document['pid']} is gone" if is_here and not is_running else None


def _late(age_s: float, max_age_s: float) -> str | None:
    if age_s <= max_age_s:
        return None
    return f"no beat for {age_s:.0f} s: its event loop is blocked, or it is stopped"


def _found(document: Mapping[str, Any]) -> str | None:
    """Return what its checks found, in one line."""
    if document["status"] == "starting":
        return "starting: its checks have not been run yet"
    report = document.get("report")
    checks = report.get("checks") if isinstance(report, dict) else None
    if not isinstance(checks, dict):
        return None
    found = [
        f"{name}: {check.get('message') or check.get('status')}"
        for name, check in checks.items()
        if isinstance(check, dict) and check.get("status") != "healthy"
    ]
    return "; ".join(found) or None
