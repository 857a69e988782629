"""The worker: claims jobs, runs them, records what came of them, and stops without losing any.

_worker.py        its life: start, stop, drain
_claiming.py      fills free slots, and waits for work
_slots.py         runs one job after another, and records how each ended
_running.py       one run; _context.py: what its handler sees; _outcomes.py: what is recorded of it
_deadlines.py     timeouts
_depth.py         how deep the queues are, as metrics
_heartbeat.py     keeps the leases; _loop_watch.py: notices a blocked event loop
_care.py          rescue, parking, pruning
_worker_health.py, _recycling.py, _in_process.py, _draw.py
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self

import anyio

from undercroft._core.background import InBackground
from undercroft._core.clock import Clock, SystemClock, utc
from undercroft._core.durations import Duration, to_seconds
from undercroft._core.errors import NotOpenError
from undercroft._core.ids import IdSource
from undercroft.logging import Logger
from undercroft.monitoring import ErrorTracker
from undercroft.queue._checks import check_integer
from undercroft.queue._job import Job
from undercroft.queue._protocol import Engine
from undercroft.queue._values import Beat
from undercroft.queue._worker._care import QueueCare, repeat, serve
from undercroft.queue._worker._claiming import Claimer
from undercroft.queue._worker._depth import DEPTH_S, DepthWatch
from undercroft.queue._worker._draw import QueueDraw, to_weights
from undercroft.queue._worker._health import LOOK_S, SILENT_S, StallWatch, WorkerHealth
from undercroft.queue._worker._heartbeat import Heartbeat
from undercroft.queue._worker._loop_watch import BLOCKED_S, LoopTicks
from undercroft.queue._worker._recycling import rss_bytes, to_bytes
from undercroft.queue._worker._running import Ending, Performer, runners_of
from undercroft.queue._worker._slots import Slots

ExitReason = Literal["stopped", "max_jobs", "max_rss"]
Service = Callable[[], Awaitable[Any]]

_CARE_S = 1.0
_log = Logger(module="undercroft.queue")


class Worker:
    """Runs jobs of some queues until it is stopped. One life: make a new one to work again.

    `await run()` works until `stop()`; `async with worker:` works in the background for the block.

    A job is held by a lease that a heartbeat renews every second; a worker process that dies is noticed by the others
    within seconds, one that hangs when its lease ends. Either way its jobs run again, and what the old run reports
    afterwards is not stored. Each such end counts as a crash: after the second the job waits for 5 seconds, at the
    third it is failed.

    Stopping: no more claims at once; running jobs may finish within the grace; what is left then is cancelled and given
    back, and its run is not counted. Cancelling `run()` is a stop with no grace.

    Runs of one slot share a task: what they keep by `asyncio.current_task()` outlives them. Context variables do not:
    each run has a context of its own, a copy of the one that `run()` was called in.

    Args:
        queues: Names, or names with weights: `{"mail": 3, "reports": 1}` takes three jobs of `mail` for each of
            `reports` while both have some. A plain list gives equal weights. Default: the queues of the jobs, and
            `"default"`.
        concurrency: How many jobs may run at once.
        max_jobs: Stop after so many runs, for a supervisor to start a fresh process.
        max_rss: Stop when the process uses more memory than this: bytes, or text such as `"512MB"`. Not before a job
            has begun: a limit below what the program itself needs would otherwise keep it from ever working.
        crons: Services that run beside the jobs, such as a scheduler: each is called once, is started again when it
            fails, and is cancelled at the end. Not with `drain()`.
        bind: Entered around every run; an `Infra` binds itself this way.
        errors: Is told of what makes jobs fail for good.

    Raises:
        JobDefinitionError: An argument is not valid, or a job cannot be run where its options say.
    """

    def __init__(
        self,
        engine: Engine,
        jobs: Mapping[str, Job[..., Any]],
        *,
        queues: Iterable[str] | Mapping[str, int] | None = None,
        concurrency: int = 5,
        grace: Duration = "10s",
        lease: Duration = "30s",
        max_jobs: int | None = None,
        max_rss: int | str | None = None,
        clock: Clock | None = None,
        ids: IdSource | None = None,
        bind: Callable[[], AbstractContextManager[object]] = nullcontext,
        errors: ErrorTracker | None = None,
        crons: Sequence[Service] = (),
    ) -> None:
        check_integer("concurrency", concurrency, low=1, high=1000)
        if max_jobs is not None:
            check_integer("max_jobs", max_jobs, low=1, high=2**31)
        self.id = (ids or IdSource())()
        self.engine = engine
        self.lease_s = to_seconds(lease, name="lease")
        self.exit_reason: ExitReason | None = None
        """Why it ended, or is ending."""
        self._draw = QueueDraw(to_weights(queues if queues is not None else _queues_of(jobs)))
        self._grace_s = to_seconds(grace, name="grace")
        self._max_rss = None if max_rss is None else to_bytes(max_rss, name="max_rss")
        self._max_jobs = max_jobs
        self._clock = clock or SystemClock()
        self._services = tuple(crons)
        self._names = tuple(jobs)
        self._host: asyncio.Task[Any] | None = None
        self._ticks: LoopTicks | None = None
        self._has_started = False
        self._draining = anyio.CancelScope()
        self._ending = anyio.Event()
        self._stopped = anyio.Event()
        self._background = InBackground(self.run, self.stop, name=f"undercroft worker {self.id}")
        performer = Performer(
            self, clock=self._clock, bind=bind, errors=errors, is_shutting_down=self._is_shutting_down
        )
        runners = runners_of(jobs, concurrency=concurrency)
        self._slots = Slots(
            self, runners, performer, draw=self._draw, clock=self._clock, limit=concurrency, max_jobs=max_jobs
        )
        self._claimer = Claimer(self, self._slots, names=self._names, draw=self._draw, clock=self._clock)
        self._heartbeat = Heartbeat(self, lambda: list(self._slots.runs.values()), clock=self._clock)
        self._depth = DepthWatch(engine, self.queues)
        self._stalls = StallWatch(self, self._slots, self._claimer, queues=self.queues, clock=self._clock)

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues that it takes jobs from."""
        return self._draw.queues

    @property
    def is_running(self) -> bool:
        """Whether it has started and not yet stopped."""
        return self._has_started and not self._stopped.is_set()

    @property
    def active(self) -> int:
        """How many jobs it is running now."""
        return len(self._slots.runs)

    @property
    def runs(self) -> int:
        """Runs that ended here, whatever came of them."""
        return self._slots.ended

    async def __aenter__(self) -> Self:
        await self._background.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return await self._background.__aexit__(exc_type, exc, traceback)

    async def run(self) -> None:
        """Work until `stop()` is called, or a limit is reached, then drain and return."""
        if self._has_started:
            raise NotOpenError("this worker was started before", hint="make a new one: a worker has one life")
        self._has_started = True
        self._host = asyncio.current_task()
        self._ticks = LoopTicks()
        try:
            async with self.engine.attend(self.id, queues=self.queues):
                _log.info("worker started", worker=self.id, queues=",".join(self.queues))
                await self._work(self._ticks)
        finally:
            self._ticks.stop()
            self._end(self.exit_reason or "stopped")
            self._stopped.set()
            _log.info("worker stopped", worker=self.id, runs=self.runs, reason=self.exit_reason)

    async def drain(self) -> int:
        """Run every job that is due, and those that they add, then stop; return the number of runs.

        Jobs that are due later stay. For tests and scripts.
        """
        self._claimer.until_idle = True
        await self.run()
        return self.runs

    async def stop(self, grace: Duration | None = None) -> None:
        """Stop and return when it has stopped. A second call with `grace=0` cuts the draining short."""
        # Set before the first await: a worker that has not started yet must not start working later.
        if grace is not None:
            self._grace_s = to_seconds(grace, name="grace")
        self._end("stopped")
        if self._grace_s == 0:
            self._draining.cancel()
        if self._has_started:
            await self._stopped.wait()

    def health(self) -> WorkerHealth:
        """Say how it is, without I/O. To be asked in its own event loop."""
        last = self._slots.last_start
        now = self._clock.monotonic()
        return WorkerHealth(
            problems=tuple(self._problems(now)),
            active=self.active,
            runs=self.runs,
            last_claim_at=None if last is None else utc(self._clock.time() - (now - last)),
            loop_lag_s=round(self._ticks.lag_s, 3) if self._ticks and self.is_running else 0.0,
            rss_bytes=rss_bytes(),
        )

    def heed(self, beat: Beat) -> None:
        """End the runs whose job a heartbeat found lost or cancelled."""
        for jobs, why in ((beat.lost, Ending.LOST), (beat.cancelled, Ending.CANCELLED)):
            for job in jobs:
                run = self._slots.runs.get((job.id, job.token))
                if run is None or not run.may_be_ended:
                    continue  # it has ended: what it came to is being recorded
                if why is Ending.LOST:
                    _log.warning("job was taken over; cancelling this run", job=job.name, job_id=job.id)
                run.end(why)

    async def _work(self, ticks: LoopTicks) -> None:
        async with anyio.create_task_group() as care:
            for name, loop in self._loops().items():
                care.start_soon(loop, name=f"undercroft queue {name}")
            async with self._heartbeat.beating(ticks), anyio.create_task_group() as slots:
                # The claimer is not this task, because this one may be cancelled at any await: a claim that is cut
                # off may have taken jobs that nobody would know of until their leases end.
                slots.start_soon(self._claim, slots, name="undercroft queue claims")
                try:
                    await self._ending.wait()
                    await self._finish_within_grace()
                finally:
                    self._end(self.exit_reason or "stopped")
                    self._slots.end_all(Ending.STOPPED)
            care.cancel_scope.cancel()

    def _loops(self) -> dict[str, Callable[[], Coroutine[Any, Any, None]]]:
        care = QueueCare(self, queues=self.queues, names=self._names).steps()
        loops: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            "deadlines": self._slots.deadlines.watch,
            "care": partial(repeat, care, every_s=_CARE_S, clock=self._clock),
            "health": partial(repeat, (self._stalls.look,), every_s=LOOK_S, clock=self._clock),
            "depth": partial(repeat, (self._depth.look,), every_s=DEPTH_S, clock=self._clock),
        }
        if self._max_rss is not None:
            loops["memory"] = partial(repeat, (self._check_memory,), every_s=_CARE_S, clock=self._clock)
        if not self._claimer.until_idle:
            for number, service in enumerate(self._services):
                loops[f"service {number}"] = partial(serve, service, clock=self._clock)
        return loops

    async def _claim(self, slots: Any) -> None:
        try:
            await self._claimer.run(slots)
        finally:
            self._ending.set()
            if self._slots.is_used_up:
                self._end("max_jobs")

    async def _finish_within_grace(self) -> None:
        if self._grace_s > 0 and not self._draining.cancel_called:
            with self._draining, self._clock.cancel_after(self._grace_s):
                while not self._slots.is_idle:
                    await self._slots.wait_until_freed()

    async def _check_memory(self) -> None:
        used = rss_bytes()
        has_worked = self._slots.last_start is not None
        if has_worked and self._max_rss is not None and used > self._max_rss and self.exit_reason is None:
            _log.warning("worker uses more memory than it may, and stops", rss_bytes=used, max_rss_bytes=self._max_rss)
            self._end("max_rss")

    def _end(self, reason: ExitReason) -> None:
        """Take no more jobs, for the first reason given."""
        self.exit_reason = self.exit_reason or reason
        self._slots.is_closed = True
        self._claimer.stop()
        self._ending.set()  # at once: the grace runs also while a last claim gets no answer

    def _is_shutting_down(self) -> bool:
        return self._slots.is_closed or (self._host is not None and self._host.cancelling() > 0)

    def _problems(self, now: float) -> list[str]:
        if not self.is_running:
            return ["it does not run"]
        problems = [self._stalls.problem] if self._stalls.problem else []
        for since, what in (
            (self._claimer.unanswered_since, "the queue has not answered"),
            (self._heartbeat.failing_since, "no heartbeat has got through"),
        ):
            if since is not None and now - since > SILENT_S:
                problems.append(f"{what} for {now - since:.0f} s")
        if self._ticks is not None and self._ticks.lag_s > BLOCKED_S:
            problems.append(f"the event loop was blocked for {self._ticks.lag_s:.1f} s")
        return problems


def _queues_of(jobs: Mapping[str, Job[..., Any]]) -> tuple[str, ...]:
    return tuple(sorted({"default", *(job.options.queue for job in jobs.values())}))
