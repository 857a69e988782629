"""The slots of a worker: each runs one job after another for as long as there are any.

A slot is one task. It records how a run ended and takes the next job of the same queue in one call of the engine
(`finish` with `fetch`), so that a worker with enough to do claims nothing by itself. When there is no next job, or
another queue is to be looked into first, the slot ends, and the claimer fills it.

Nothing outside cancels a slot: what a run has come to is recorded, or its job is given back, whatever happens. Runs
are ended by `Run.end`, which cancels the handler alone.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import anyio
import anyio.abc

from undercroft._core.clock import Clock
from undercroft.logging import Logger
from undercroft.queue._counts import RunCounts
from undercroft.queue._errors import QueueUnavailableError
from undercroft.queue._job import Job
from undercroft.queue._values import ClaimedJob, Completed, Failed, Fetch, Finished, Postponed
from undercroft.queue._worker._context import LOG_LINES, Workplace
from undercroft.queue._worker._deadlines import Deadlines
from undercroft.queue._worker._draw import QueueDraw
from undercroft.queue._worker._outcomes import CANCELLED, Outcome, doomed, failure_job
from undercroft.queue._worker._running import Ending, Performer, Run, Runner

RETRY_S = (0.1, 5.0)
"""First and longest wait before a store that did not answer is asked again."""

_TURN = 32
"""Runs of one slot before it lets other tasks run, should neither the jobs nor the engine have done so."""
_UNKNOWN_S = 60.0
_NOT_RECORDED = Finished(is_recorded=False)
_log = Logger(module="undercroft.queue")


class Slots:
    """Runs claimed jobs, up to `limit` at once. Lives as long as its worker's `run()`."""

    def __init__(
        self,
        place: Workplace,
        runners: Mapping[str, Runner],
        performer: Performer,
        *,
        draw: QueueDraw,
        clock: Clock,
        limit: int,
        max_jobs: int | None,
    ) -> None:
        self.runs: dict[tuple[str, int], Run] = {}
        """By token too: a run that lost its job may still be ending when the same worker gets the job again."""
        self.ended = 0
        """Runs that ended here, whatever came of them."""
        self.last_start: float | None = None
        """When the last run began, by the worker's monotonic clock."""
        self.is_closed = False
        """No more jobs are taken."""
        self.deadlines = Deadlines(clock, self.runs.values)
        self._place = place
        self._engine = place.engine
        self._runners = runners
        self._performer = performer
        self._draw = draw
        self._clock = clock
        self._limit = limit
        self._left = math.inf if max_jobs is None else max_jobs
        self._busy = 0
        self._fetching = 0
        self._freed = anyio.Event()
        self._counts = RunCounts()
        self._fetch = Fetch(names=frozenset(runners), worker_id=place.id, lease_s=place.lease_s)

    @property
    def free(self) -> int:
        """How many jobs may be claimed now."""
        return int(min(self._limit - self._busy, self._left - self._fetching))

    @property
    def is_idle(self) -> bool:
        """Whether no slot is at work."""
        return self._busy == 0

    @property
    def is_used_up(self) -> bool:
        """Whether `max_jobs` have begun."""
        return self._left <= 0

    async def wait_until_freed(self) -> None:
        """Return when a slot has ended."""
        await self._freed.wait()

    def start(self, claimed: ClaimedJob, group: anyio.abc.TaskGroup) -> None:
        """Run `claimed`, and what follows it, in a task of `group`."""
        self._busy += 1
        group.start_soon(self._slot, self._begin(claimed), name=f"undercroft slot, first {claimed.name} {claimed.id}")

    def end_all(self, why: Ending) -> None:
        """End every run."""
        for run in list(self.runs.values()):
            run.end(why)

    async def release(self, jobs: tuple[ClaimedJob, ...]) -> None:
        """Give jobs back; when the store does not take them within a lease's time, that lease ends."""
        with self._clock.cancel_after(self._place.lease_s):
            try:
                await self._engine.release(jobs)
            except QueueUnavailableError as exc:
                _log.warning("jobs could not be given back; their leases will end", error_text=exc.message)
            else:
                for job in jobs:
                    _log.info("job given back", job=job.name, job_id=job.id)

    def _begin(self, claimed: ClaimedJob) -> Run:
        self._left -= 1
        self.last_start = now = self._clock.monotonic()
        run = self.runs[claimed.id, claimed.token] = Run(claimed, now, self._engine.time() - claimed.due_at)
        return run

    async def _slot(self, first: Run) -> None:
        run: Run | None = first
        try:
            with anyio.CancelScope(shield=True):
                while run is not None:
                    run = await self._run_in_one_scope(run)
        finally:
            self._busy -= 1
            self._freed.set()
            self._freed = anyio.Event()

    async def _run_in_one_scope(self, run: Run) -> Run | None:
        """Run `run` and those that follow until there are none; or until one is ended from outside, which uses the
        scope up. Returns the run to go on with in another."""
        # One scope for many runs: entering one costs as much as the rest of a short run.
        task, turn = asyncio.current_task(), 0
        with anyio.CancelScope() as scope:
            while True:
                run.task = task
                outcome = await self._perform(run, scope)
                if scope.cancel_called:
                    break
                following = await self._settle(run, outcome)
                if following is None:
                    return None
                run = following
                turn += 1
                if turn % _TURN == 0:
                    await asyncio.sleep(0)
        return await self._settle(run, outcome)

    async def _perform(self, run: Run, scope: anyio.CancelScope) -> Outcome | None:
        claimed = run.claimed
        if claimed.doom is not None:
            return doomed(claimed)
        runner = self._runners.get(claimed.name)
        if runner is None:
            _log.error("the engine handed out a job whose name is not known here", job=claimed.name, job_id=claimed.id)
            return Postponed(until=self._engine.time() + _UNKNOWN_S)
        if run.ending is not None:  # it was ended before it began
            return CANCELLED if run.ending is Ending.CANCELLED else None
        run.scope = scope
        timeout_s = runner.timeout_s(claimed)
        if timeout_s is not None:
            self.deadlines.add(run, timeout_s)
        return await self._performer.perform(run, runner)

    async def _settle(self, run: Run, outcome: Outcome | None) -> Run | None:
        """Record how a run ended, or give its job back; return the run that is next in this slot."""
        claimed, following = run.claimed, None
        try:
            if run.task is not None and run.task.cancelling():
                await _shake_off(run.task)
            if outcome is not None:
                following = await self._record(run, outcome)
            elif run.ending is not Ending.LOST:
                await self.release((claimed,))
        finally:
            self.ended += claimed.doom is None
            ended = self._clock.monotonic()
            self._counts.ended(claimed, outcome, seconds=ended - run.started, wait_s=run.wait_s)
            del self.runs[claimed.id, claimed.token]
        if following is None:
            return None
        if self.is_closed:  # it arrived while the worker was told to stop
            await self.release((following,))
            return None
        return self._begin(following)

    async def _record(self, run: Run, outcome: Outcome) -> ClaimedJob | None:
        fetch = self._fetch_after(run.claimed.queue)
        try:
            if type(outcome) is Completed and run.remark is None:
                finished = await self._engine.finish(run.claimed, outcome, fetch=fetch)
            else:
                finished = await self._write(run, outcome, fetch)
        except QueueUnavailableError as exc:
            finished = await self._insist(run, outcome, exc)
        except Exception:  # an engine's fault: the worker survives, and the job runs again when its lease ends
            _log.exception("job's outcome was not recorded", job=run.claimed.name, job_id=run.claimed.id)
            finished = _NOT_RECORDED
        else:
            if not finished.is_recorded:
                self._warn_of_loss(run)
        finally:
            if fetch is not None:
                self._fetching -= 1
        return finished.next

    def _fetch_after(self, queue: str) -> Fetch | None:
        """Say whether the next job of `queue` is to be taken along."""
        if self.is_closed or self._left <= self._fetching:
            return None
        if not self._draw.is_single:
            drawn = self._draw.next()
            if drawn != queue:
                self._draw.put_back(drawn)
                return None
        self._fetching += 1
        return self._fetch

    async def _write(self, run: Run, outcome: Outcome, fetch: Fetch | None) -> Finished:
        if run.remark is not None:
            await self._engine.add_log(run.claimed, run.remark, keep=LOG_LINES)
        if isinstance(outcome, Failed) and outcome.retry_at is None:
            new = failure_job(run.claimed, outcome, self._definitions(), now=self._engine.time())
            if new is not None:  # before the failure is recorded: nobody would know of it afterwards
                await self._engine.add([new])
        return await self._engine.finish(run.claimed, outcome, fetch=fetch)

    def _definitions(self) -> dict[str, Job[..., Any]]:
        return {name: runner.job for name, runner in self._runners.items()}

    async def _insist(self, run: Run, outcome: Outcome, exc: QueueUnavailableError) -> Finished:
        """Record an outcome when the store is back, for as long as the lease would have lasted."""
        delay_s, deadline = RETRY_S[0], self._clock.monotonic() + self._place.lease_s
        while self._clock.monotonic() < deadline:
            _log.warning("queue does not answer, will try again", error_text=exc.message, retry_in_s=delay_s)
            await self._clock.sleep(delay_s * random.uniform(0.8, 1.2))
            delay_s = min(delay_s * 2, RETRY_S[1])
            try:
                return await self._write(run, outcome, None)
            except QueueUnavailableError as again:
                exc = again
        name, job_id = run.claimed.name, run.claimed.id
        _log.error("job's outcome was not recorded; it will run again", job=name, job_id=job_id)
        return _NOT_RECORDED

    def _warn_of_loss(self, run: Run) -> None:
        name, job_id = run.claimed.name, run.claimed.id
        _log.warning("job was taken over; this run's outcome is dropped", job=name, job_id=job_id)


async def _shake_off(task: asyncio.Task[Any]) -> None:
    """Make a slot forget that its handler cancelled it: `asyncio.current_task().cancel()`."""
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(0)  # where a cancellation that the handler has not seen itself comes out
    while task.cancelling():
        task.uncancel()
