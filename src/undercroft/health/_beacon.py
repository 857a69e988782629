"""What this process is doing, in a small file that others can read without asking it."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
import anyio.to_thread

from undercroft._core.background import InBackground
from undercroft._core.clock import Clock, SystemClock, utc
from undercroft._core.codec import to_json
from undercroft._core.durations import Duration, to_seconds
from undercroft.health._beacon_files import remove_file, sweep, write_file
from undercroft.health._checks import HealthChecks
from undercroft.health._errors import HealthCheckError
from undercroft.health._heartbeats import VERSION, pid_namespace, process_started, this_host
from undercroft.health._loop_lag import LoopLag
from undercroft.health._report import HealthReport, iso
from undercroft.logging import Logger

_DISK_S = 5.0
"""What a disk may take for so little."""
_HURRY_S = 1.0
"""And what it may take at the start and the end, which others wait for."""
_KIND = re.compile(r"[a-z0-9_]{1,32}")

_log = Logger(module="undercroft.health")


class HealthBeacon:
    """Writes the state of this process into a file of its own, every few seconds, from the event loop.

        async with HealthBeacon(home / "health", infra.health, kind="worker"):
            ...

    `undercroft health` and `read_heartbeats` read it. Each beat leaves the event loop, so that a blocked loop shows as
    a beat that grows old; the file itself is written in a thread. The checks are run beside the beats: a hung one holds
    none. Lives from entering to leaving, in one loop; leaving takes the file away, and a process that is killed leaves
    it, for the next of its kind to remove.

    A disk that is full, away or read-only never fails the process: it is logged once, and tried again at each beat.

    Args:
        directory: Is made when it is not there. Files are for their owner only: they hold messages of checks.
        checks: What to run.
        kind: What this process is: `api`, `worker`, `all`; letters, digits and underscores.
        extra: Says what this process works at, as JSON data: called in the loop at each beat, and must be quick. What
            it raises is logged, and said in its place.
        lag: Measures the event loop; one of its own when `None`.
        clock: The host's when `None`.
        interval: Between beats, more than zero.
        checks_every: Between runs of the checks, more than zero. Results that a probe asked for meanwhile are taken.

    Raises:
        HealthCheckError: The kind or an interval is not usable.
        DurationError: An interval is not a duration.
    """

    def __init__(
        self,
        directory: str | Path,
        checks: HealthChecks,
        *,
        kind: str,
        extra: Callable[[], Mapping[str, object]] | None = None,
        lag: LoopLag | None = None,
        clock: Clock | None = None,
        interval: Duration = "2s",
        checks_every: Duration = "10s",
    ) -> None:
        if not _KIND.fullmatch(kind):
            raise HealthCheckError(f"a process kind {kind!r} cannot name a file", hint="lower case: api, worker, all")
        self._directory = Path(directory)
        self._checks = checks
        self._kind = kind
        self._extra = extra
        self._own_lag = LoopLag() if lag is None else None
        self._lag = lag or self._own_lag or LoopLag()
        self._clock = clock or SystemClock()
        self._interval_s = _positive(interval, "interval")
        self._checks_every_s = _positive(checks_every, "checks_every")
        self._report: HealthReport | None = None
        self._facts: dict[str, object] = {}
        self._is_failing = False
        self._scope: anyio.CancelScope | None = None
        self._background: InBackground | None = None
        self._limiter: anyio.CapacityLimiter | None = None

    @property
    def path(self) -> Path:
        """The file of this process."""
        return self._directory / f"{self._kind}-{os.getpid()}-{pid_namespace()}.json"

    async def __aenter__(self) -> Self:
        self._facts = self._lasting_facts()
        self._report = None
        self._limiter = anyio.CapacityLimiter(1)  # a disk that hangs holds one thread, and not one for each beat
        self._scope = anyio.CancelScope()
        await self._on_disk(lambda: sweep(self._directory, self._kind), within_s=_HURRY_S)
        await self._beat(within_s=_HURRY_S)
        if self._own_lag is not None:
            await self._own_lag.__aenter__()
        self._background = InBackground(self._run, self._stop, name="health beacon")
        await self._background.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._background is not None
        try:
            await self._background.__aexit__(None, None, None)
        finally:
            if self._own_lag is not None:
                await self._own_lag.__aexit__(None, None, None)
            path = self.path
            with anyio.CancelScope(shield=True):
                await self._on_disk(lambda: remove_file(path), within_s=_HURRY_S)

    async def _run(self) -> None:
        assert self._scope is not None
        with self._scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._keep_checking, name="health beacon checks")
                while True:
                    await self._clock.sleep(self._interval_s)
                    await self._beat()

    async def _stop(self) -> None:
        assert self._scope is not None
        self._scope.cancel()

    async def _keep_checking(self) -> None:
        while True:
            is_first = self._report is None
            self._report = await self._checks.report()
            if is_first:
                await self._beat()
            await self._clock.sleep(self._checks_every_s)

    async def _beat(self, *, within_s: float = _DISK_S) -> None:
        document, path = to_json(self._document()), self.path
        await self._on_disk(lambda: write_file(path, document), within_s=within_s)

    def _document(self) -> dict[str, object]:
        now_s, report = self._clock.time(), self._report
        return {
            **self._facts,
            "beat_at": iso(utc(now_s)),
            "beat_epoch_s": now_s,
            "beat_s": self._clock.monotonic(),
            "loop_lag_ms": round(self._lag.worst_s * 1000, 1),
            "status": "starting" if report is None else report.status.value,
            "report": None if report is None else report.to_dict(),
            "work": self._work(),
        }

    def _lasting_facts(self) -> dict[str, object]:
        pid = os.getpid()
        return {
            "v": VERSION,
            "kind": self._kind,
            "pid": pid,
            "process_started": process_started(pid),
            "host": this_host(),
            "started_at": iso(utc(self._clock.time())),
            "interval_s": self._interval_s,
        }

    def _work(self) -> Mapping[str, Any]:
        if self._extra is None:
            return {}
        try:
            work = dict(self._extra())
            to_json(work)
        except Exception as exc:  # the application's own, and no reason to stop beating
            _log.debug("what this process works at cannot be told", exc)
            return {"error": type(exc).__name__}
        return work

    async def _on_disk(self, action: Callable[[], None], *, within_s: float) -> None:
        """Run `action` in a thread, for a while; log the first failure after a success."""
        try:
            with anyio.fail_after(within_s):
                await anyio.to_thread.run_sync(action, abandon_on_cancel=True, limiter=self._limiter)
        except (OSError, TimeoutError) as exc:
            if not self._is_failing:
                _log.warning("the state of this process cannot be written down", exc, directory=str(self._directory))
            self._is_failing = True
        else:
            self._is_failing = False


def _positive(duration: Duration, name: str) -> float:
    seconds = to_seconds(duration, name=name)
    if not 0 < seconds < math.inf:
        raise HealthCheckError(f"{name} of the health beacon is {duration!r}", hint="more than zero: '2s'")
    return seconds
