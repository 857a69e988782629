"""The worker: claims jobs, runs them, records what came of them, and stops without losing any."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, Self

import anyio
import anyio.abc

from undercroft._core.background import InBackground
from undercroft._core.clock import Clock, SystemClock
from undercroft._core.durations import Duration, to_seconds
from undercroft._core.errors import NotOpenError
from undercroft._core.ids import IdSource
from undercroft.logging import Logger
from undercroft.queue._errors import QueueUnavailableError
from undercroft.queue._job import Job
from undercroft.queue._options import check_integer
from undercroft.queue._protocol import Claim, ClaimedJob, Completed, Engine, Failed
from undercroft.queue._running import Run, perform

MAX_CRASHES = 3
"""A job that took this many workers down is failed as quarantined, so that it cannot take all of them."""
CRASH_DELAY_S = 10.0
"""Wait before a job that crashed twice runs again. Workers that are killed for another reason tend to be killed several
times in a row, each with whatever job it has just taken over: the wait keeps that job out of the next one's hands."""
KEEP_COMPLETED_S = 24 * 3600.0
KEEP_FAILED_S = 7 * 24 * 3600.0

_CARE_INTERVAL_S = 1.0
_IDLE_S = 1.0
_RETRY_S = (0.1, 5.0)
_log = Logger(module="undercroft.queue")


class Worker:
    """Runs jobs of some queues until it is stopped. One life: make a new one to work again.

    `await run()` works until `stop()`; `async with worker:` works in the background for the block.

    A job is held by a lease of 30 seconds that is renewed every third of it; a worker process that dies is noticed by
    the others within about a second, one that hangs when its lease ends. Either way its jobs run again, and what the
    old run reports afterwards is not stored. Each such end counts as a crash: after the second the job waits for 10
    seconds, at the third it is failed.

    Stopping: no more claims at once; running jobs may finish within the grace; what is left then is cancelled and given
    back, and its run is not counted. Cancelling `run()` is a stop with no grace.
    """

    def __init__(
        self,
        engine: Engine,
        jobs: Mapping[str, Job[..., Any]],
        *,
        queues: Iterable[str] | None = None,
        concurrency: int = 5,
        grace: Duration = "10s",
        lease: Duration = "30s",
        clock: Clock | None = None,
        ids: IdSource | None = None,
        bind: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        check_integer("concurrency", concurrency, low=1, high=1000)
        self.id = (ids or IdSource())()
        self.queues = tuple(queues) if queues is not None else _queues_of(jobs)
        self.runs = 0
        """Runs that ended here, whatever came of them."""
        self._engine = engine
        self._jobs = dict(jobs)
        self._concurrency = concurrency
        self._grace_s = to_seconds(grace, name="grace")
        self._lease_s = to_seconds(lease, name="lease")
        self._clock = clock or SystemClock()
        self._bind = bind
        # By token too: a run that lost its job may still be ending when the same worker gets the job again.
        self._slots: dict[tuple[str, int], Run] = {}
        self._has_started = False
        self._is_stopping = False
        self._until_idle = False
        self._pause = anyio.CancelScope()
        self._draining = anyio.CancelScope()
        self._slot_freed = anyio.Event()
        self._stopped = anyio.Event()
        self._background = InBackground(self.run, self.stop, name=f"undercroft worker {self.id}")

    @property
    def is_running(self) -> bool:
        """Whether it has started and not yet stopped."""
        return self._has_started and not self._stopped.is_set()

    @property
    def active(self) -> int:
        """How many jobs it is running now."""
        return len(self._slots)

    async def __aenter__(self) -> Self:
        await self._background.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return await self._background.__aexit__(exc_type, exc, traceback)

    async def run(self) -> None:
        """Work until `stop()` is called, then drain and return."""
        if self._has_started:
            raise NotOpenError("this worker was started before", hint="make a new one: a worker has one life")
        self._has_started = True
        try:
            async with self._engine.attend(self.id):
                _log.info("worker started", worker=self.id, queues=",".join(self.queues), slots=self._concurrency)
                await self._work()
        finally:
            self._stopped.set()
            _log.info("worker stopped", worker=self.id, runs=self.runs)

    async def drain(self) -> int:
        """Run every job that is due, and those that they add, then stop; return the number of runs.

        Jobs that are due later stay. For tests and scripts.
        """
        self._until_idle = True
        await self.run()
        return self.runs

    async def stop(self, grace: Duration | None = None) -> None:
        """Stop and return when it has stopped. A second call with `grace=0` cuts the draining short."""
        # Set before the first await: a worker that has not started yet must not start working later.
        self._is_stopping = True
        if grace is not None:
            self._grace_s = to_seconds(grace, name="grace")
        self._pause.cancel()
        if self._grace_s == 0:
            self._draining.cancel()
        if self._has_started:
            await self._stopped.wait()

    async def _work(self) -> None:
        async with anyio.create_task_group() as care:
            care.start_soon(self._keep_leases, name="queue leases")
            care.start_soon(self._look_after, name="queue care")
            async with anyio.create_task_group() as slots:
                await self._claim_until_stopped(slots)
                await self._finish_within_grace()
            care.cancel_scope.cancel()

    async def _claim_until_stopped(self, slots: anyio.abc.TaskGroup) -> None:
        retry_s = _RETRY_S[0]
        while not self._is_stopping:
            seen = self._engine.changes
            free = self._concurrency - len(self._slots)
            if free == 0:
                await self._wait(self._slot_freed.wait)
                continue
            try:
                claim = await self._claim(free)
            except QueueUnavailableError as exc:
                _log.warning("queue does not answer, will try again", error_text=exc.message, retry_in_s=retry_s)
                await self._wait(self._clock.sleep, retry_s)
                retry_s = min(retry_s * 2, _RETRY_S[1])
                continue
            retry_s = _RETRY_S[0]
            for claimed in claim.jobs:
                self._start(claimed, slots)
            if len(claim.jobs) < free and not await self._has_more(claim, seen):
                return

    async def _has_more(self, claim: Claim, seen: int) -> bool:
        """Wait for work; `False` when only what is due now was wanted and nothing is left of it."""
        now = self._clock.time()
        if self._until_idle:
            if self._slots:
                await self._wait(self._slot_freed.wait)
            elif self._engine.changes == seen:
                return False
            return True
        until_due = math.inf if claim.next_due_at is None else max(0.0, claim.next_due_at - now)
        await self._wait(self._wait_for_change, seen, min(_IDLE_S, until_due))
        return True

    async def _claim(self, limit: int) -> Claim:
        # Shielded: a claim that is cut off may have taken jobs that nobody would know of until their lease ends.
        with anyio.CancelScope(shield=True):
            claim = await self._engine.claim(
                queues=self.queues,
                names=tuple(self._jobs),
                limit=limit,
                worker_id=self.id,
                lease_s=self._lease_s,
            )
            if self._is_stopping and claim.jobs:
                await self._engine.release(claim.jobs)
                return Claim(jobs=(), next_due_at=None)
        return claim

    def _start(self, claimed: ClaimedJob, slots: anyio.abc.TaskGroup) -> None:
        run = self._slots[claimed.id, claimed.token] = Run(claimed)
        slots.start_soon(self._run_slot, run, name=f"job {claimed.name} {claimed.id}")

    async def _run_slot(self, run: Run) -> None:
        claimed = run.claimed
        try:
            outcome = await perform(run, self._jobs[claimed.name], bind=self._bind, clock=self._clock)
            if outcome is not None:
                with anyio.CancelScope(shield=True):  # the work is done: a cancelled worker must not forget that
                    await self._record(claimed, outcome)
            elif not run.is_lost:
                await self._give_back(claimed)
        except anyio.get_cancelled_exc_class():
            await self._give_back(claimed)
            raise
        finally:
            self.runs += 1
            del self._slots[claimed.id, claimed.token]
            self._slot_freed.set()
            self._slot_freed = anyio.Event()

    async def _record(self, claimed: ClaimedJob, outcome: Completed | Failed) -> None:
        delay_s, deadline = _RETRY_S[0], self._clock.monotonic() + self._lease_s
        while True:
            try:
                is_recorded = await self._engine.finish(claimed, outcome)
            except QueueUnavailableError as exc:
                if self._clock.monotonic() >= deadline:
                    _log.error("job's outcome was not recorded; it will run again", job=claimed.name, job_id=claimed.id)
                    return
                _log.warning("queue does not answer, will try again", error_text=exc.message, retry_in_s=delay_s)
                await self._clock.sleep(delay_s)
                delay_s = min(delay_s * 2, _RETRY_S[1])
                continue
            if not is_recorded:
                _log.warning("job was taken over; this run's outcome is dropped", job=claimed.name, job_id=claimed.id)
            return

    async def _give_back(self, claimed: ClaimedJob) -> None:
        with anyio.CancelScope(shield=True), self._clock.cancel_after(self._lease_s):
            try:
                await self._engine.release([claimed])
                _log.info("job given back", job=claimed.name, job_id=claimed.id)
            except QueueUnavailableError as exc:
                _log.warning(
                    "job could not be given back; its lease will end", job_id=claimed.id, error_text=exc.message
                )

    async def _finish_within_grace(self) -> None:
        if self._grace_s > 0 and not self._draining.cancel_called:
            with self._draining, self._clock.cancel_after(self._grace_s):
                while self._slots:
                    await self._slot_freed.wait()
        for slot in self._slots.values():
            slot.cancel()

    async def _keep_leases(self) -> None:
        while True:
            await self._clock.sleep(self._lease_s / 3)
            held = [slot.claimed for slot in self._slots.values()]
            if held:
                await self._supervised(self._extend, held)

    async def _extend(self, held: list[ClaimedJob]) -> None:
        for lost in await self._engine.extend(held, lease_s=self._lease_s):
            slot = self._slots.get((lost.id, lost.token))
            if slot is not None:
                _log.warning("job was taken over; cancelling this run", job=lost.name, job_id=lost.id)
                slot.is_lost = True
                slot.cancel()

    async def _look_after(self) -> None:
        while True:
            await self._supervised(self._rescue)
            await self._supervised(self._park)
            await self._supervised(self._prune)
            await self._clock.sleep(_CARE_INTERVAL_S)

    async def _rescue(self) -> None:
        for job in await self._engine.rescue(max_crashes=MAX_CRASHES, again_after_s=CRASH_DELAY_S):
            note = (
                "job quarantined: it took its workers down" if job.is_quarantined else "job rescued from a dead worker"
            )
            _log.warning(note, job=job.name, job_id=job.id, dead_worker=job.worker_id)

    async def _park(self) -> None:
        parked = await self._engine.park_unknown(queues=self.queues, names=tuple(self._jobs))
        for job_id, name in parked:
            _log.warning(
                "job parked: its name is not known here; it stays in the queue for a worker that knows it",
                {"code": "UC1203", "job": name, "job_id": job_id},
            )

    async def _prune(self) -> None:
        now = self._clock.time()
        await self._engine.prune(completed_before=now - KEEP_COMPLETED_S, failed_before=now - KEEP_FAILED_S)

    async def _supervised(self, care: Callable[..., Any], *args: Any) -> None:
        # A loop that ends quietly is how queues stop without anybody noticing: it survives, and says so.
        try:
            await care(*args)
        except QueueUnavailableError as exc:
            _log.warning("queue does not answer, will try again", error_text=exc.message)
        except Exception:
            _log.exception("queue care failed, will try again")

    async def _wait_for_change(self, seen: int, timeout: float) -> None:
        await self._engine.wait_for_change(seen, timeout=timeout)

    async def _wait(self, wait: Callable[..., Any], *args: Any) -> None:
        """Wait for `wait(*args)`, or until `stop()` is called."""
        with anyio.CancelScope() as self._pause:
            if not self._is_stopping:
                await wait(*args)


def _queues_of(jobs: Mapping[str, Job[..., Any]]) -> tuple[str, ...]:
    return tuple(sorted({"default", *(job.options.queue for job in jobs.values())}))
