"""What this process uses: memory, processor time, files, and how late its event loop runs.

The names are those of Prometheus's clients
(https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics); each process has its own `worker`.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio

from undercroft._core.clock import Clock
from undercroft.health import LoopLag
from undercroft.monitoring import Counter, Gauge, get_counter

_EACH_S = 5.0
_CPU = "process_cpu_seconds_total"


class Vitals:
    """Sets the metrics of this process every five seconds, from the event loop, while its `Infra` is open."""

    def __init__(self, clock: Clock, *, proc: Path = Path("/proc")) -> None:
        self.lag = LoopLag()
        self._clock = clock
        self._proc = proc
        self._memory = Gauge(
            "process_resident_memory_bytes", help="Resident memory in bytes.", unit="bytes", across="each"
        )
        self._files = Gauge("process_open_fds", help="Open file descriptors.", across="each")
        self._started = Gauge(
            "process_start_time_seconds",
            help="When the process was started, in seconds since the Unix epoch.",
            unit="seconds",
            across="each",
        )
        self._lag = Gauge(
            "undercroft_event_loop_lag_seconds",
            help="The longest time in the last ten seconds or so by which the event loop ran too late.",
            unit="seconds",
            across="each",
        )
        self._cpu = Counter(_CPU, help="Processor time of all processes together, user and system.", unit="seconds")

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Set them for the block."""
        async with self.lag, anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch, name="undercroft vitals")
            yield
            tasks.cancel_scope.cancel()

    async def _watch(self) -> None:
        while True:
            self.look()
            await self._clock.sleep(_EACH_S)

    def look(self) -> None:
        """Set them now. What the system does not tell (there is no `/proc`) is not set."""
        own = self._proc / "self"
        with suppress(OSError, ValueError, IndexError):
            self._memory.set(int((own / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
            self._files.set(sum(1 for _ in (own / "fd").iterdir()))
            self._started.set(_started_at((own / "stat").read_text()))
        self._lag.set(self.lag.worst_s)
        # What is counted already is asked of the process's own registry: several `Infra`s may do this one by one.
        self._cpu.increment(max(0.0, time.process_time() - get_counter(_CPU)))


def _started_at(stat: str) -> float:
    """Return when this process was started, from its `/proc/self/stat`: field 22 of proc(5), in ticks since boot."""
    ticks = int(stat.rpartition(")")[2].split()[19])
    ago_s = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return round(time.time() - ago_s, 2)
