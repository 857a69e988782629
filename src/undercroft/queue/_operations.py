"""What can be asked of queues and done to them and their jobs, from outside of any worker."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Unpack

import anyio
import msgspec

from undercroft._core.clock import Clock
from undercroft._core.durations import Duration, to_seconds
from undercroft.queue._checks import check_integer, check_name
from undercroft.queue._conditions import UNFINISHED, JobConditions, StateLike, job_filter, to_state
from undercroft.queue._errors import JobDefinitionError
from undercroft.queue._metrics import QueueMetrics, summarise
from undercroft.queue._protocol import Engine
from undercroft.queue._values import (
    Advice,
    Counts,
    JobEvent,
    JobFilter,
    JobPage,
    JobRecord,
    JobState,
    QueueSettings,
    RateLimit,
)

_PAGE = 500
_SIDE_BY_SIDE = 100
"""So many changes are under way at once: an engine can write them together."""


class _Unset:
    def __repr__(self) -> str:
        return "as it is"


_UNSET = _Unset()


class Operations:
    """The part of a `Queue` that looks at jobs and queues and changes them.

    Methods named `…_job` tell whether there was such a job in a state that allows it. All raise `QueueUnavailableError`
    when the store does not answer.
    """

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    # --- Looking ------------------------------------------------------------------------------------------------------

    async def queues(self) -> list[str]:
        """Return the names of all queues that hold or held something, sorted."""
        return await self._engine.queues()

    async def advice(self) -> list[Advice]:
        """Say which settings of the store itself endanger jobs, and what to set instead; none, as a rule."""
        return await self._engine.advice()

    async def counts(self, *, queue: str | None = None) -> Counts:
        """Count the jobs in each state, of one queue or of all."""
        return await self._engine.counts(queue=_name(queue))

    async def get_job(self, job_id: str, *, queue: str | None = None) -> JobRecord | None:
        """Return a job as it is stored now, or `None`."""
        return await self._engine.get(job_id, queue=_name(queue))

    async def list_jobs(
        self, *, limit: int = 100, cursor: str | None = None, **wanted: Unpack[JobConditions]
    ) -> JobPage:
        """Return up to `limit` (1 to 1000) jobs, newest first within a state, and where the next page begins.

        A page may be shorter, or empty, while there is a `cursor`: an engine that has to search looks through a bounded
        number of jobs at a time.
        """
        check_integer("limit", limit, low=1, high=1000)
        return await self._engine.list_jobs(job_filter(wanted), limit=limit, cursor=cursor)

    def iter_jobs(self, **wanted: Unpack[JobConditions]) -> AsyncGenerator[JobRecord, None]:
        """Yield every job that matches, page by page; as many as there are."""
        return self._pages(job_filter(wanted))

    async def settings(self, queue: str) -> QueueSettings:
        """Return whether a queue is paused, and its limits."""
        return await self._engine.settings(_queue(queue))

    async def metrics(self, queue: str) -> QueueMetrics:
        """Return how long the jobs of a queue wait and run, and how many are finished."""
        name = _queue(queue)
        counts, statistics = await self._engine.counts(queue=name), await self._engine.statistics(name)
        return summarise(name, counts, statistics, now=self._engine.time())

    async def events(
        self, queues: Iterable[str] | None = None, *, after: str | None = None
    ) -> AsyncGenerator[JobEvent, None]:
        """Yield what happens to jobs from when the iteration begins, or from after the event of cursor `after`.

        Args:
            queues: Whose events; `None`: of all queues there are when the iteration begins.
            after: The `cursor` of the last event that was seen: nothing is missed but what the engine has dropped by
                then (it keeps a bounded number). A cursor is one queue's: name the queue with it.
        """
        names = await self.queues() if queues is None else [_queue(name) for name in queues]
        source: AsyncIterator[JobEvent] = self._engine.events(names, after=after)
        try:
            async for event in source:
                yield event
        finally:
            if isinstance(source, AsyncGenerator):
                await source.aclose()

    # --- One job ------------------------------------------------------------------------------------------------------

    async def job_logs(self, job_id: str, *, queue: str | None = None) -> list[str]:
        """Return a job's own log, oldest line first."""
        return await self._engine.logs(job_id, queue=_name(queue))

    async def cancel_job(self, job_id: str, *, queue: str | None = None) -> bool:
        """End a job that is not finished. See `JobHandle.cancel`."""
        return await self._engine.cancel(job_id, queue=_name(queue))

    async def retry_job(self, job_id: str, *, queue: str | None = None) -> bool:
        """Have a finished job run again from the beginning."""
        return await self._engine.retry(job_id, queue=_name(queue))

    async def promote_job(self, job_id: str, *, queue: str | None = None) -> bool:
        """Have a delayed job wait no longer."""
        return await self._engine.promote(job_id, queue=_name(queue))

    async def remove_job(self, job_id: str, *, queue: str | None = None) -> bool:
        """Delete a job that is not active, with its log and children."""
        return await self._engine.remove(job_id, queue=_name(queue))

    # --- Many jobs ----------------------------------------------------------------------------------------------------

    async def retry_jobs(self, **wanted: Unpack[JobConditions]) -> int:
        """Have every job that matches run again from the beginning; return how many. Failed ones, unless `state` says
        otherwise.

        Those that match when it is called; what fails anew meanwhile is left. Not one step: a call that is cut short
        has done a part.
        """
        found = await self._found(job_filter(wanted, state=JobState.FAILED))
        return await change_each(found, self._engine.retry)

    async def cancel_jobs(self, **wanted: Unpack[JobConditions]) -> int:
        """Cancel every job that matches and is not finished; return how many. As `retry_jobs`, not one step."""
        conditions = _narrowed(wanted, "cancel_jobs")
        states = UNFINISHED if conditions.state is None else (conditions.state,)
        found: list[tuple[str, str]] = []
        for state in states:
            found += await self._found(msgspec.structs.replace(conditions, state=state))
        return await change_each(found, self._engine.cancel)

    async def remove_jobs(self, **wanted: Unpack[JobConditions]) -> int:
        """Delete every job that matches and is not active; return how many. As `retry_jobs`, not one step."""
        found = await self._found(_narrowed(wanted, "remove_jobs"))
        return await change_each(found, self._engine.remove)

    async def _found(self, wanted: JobFilter) -> list[tuple[str, str]]:
        """Return the id and queue of each job that matches now: pages move under a change, so all are found first."""
        return [(record.id, record.queue) async for record in self._pages(wanted)]

    async def _pages(self, wanted: JobFilter) -> AsyncGenerator[JobRecord, None]:
        cursor = None
        while True:
            page = await self._engine.list_jobs(wanted, limit=_PAGE, cursor=cursor)
            for record in page.jobs:
                yield record
            if page.cursor is None:
                return
            cursor = page.cursor

    # --- Queues -------------------------------------------------------------------------------------------------------

    async def pause(self, queue: str) -> None:
        """Let no worker take jobs of a queue until `resume`. Running jobs go on, and enqueueing does."""
        await self._configure(_queue(queue), is_paused=True)

    async def resume(self, queue: str) -> None:
        """Undo `pause`."""
        await self._configure(_queue(queue), is_paused=False)

    async def limit(
        self,
        queue: str,
        *,
        max_active: int | _Unset | None = _UNSET,
        rate: tuple[int, Duration] | RateLimit | _Unset | None = _UNSET,
    ) -> QueueSettings:
        """Limit a queue in all its workers together; return what holds from now on.

        Args:
            max_active: How many of its jobs may run at once. `None`: without limit; left out: as it is.
            rate: How many may begin within a time: `(100, "1m")`. `None`: without limit; left out: as it is.

        Two callers that set different things at the same time: one of them may be undone. Look at what it returns.
        """
        changes: dict[str, Any] = {}
        if not isinstance(max_active, _Unset):
            changes["max_active"] = (
                None if max_active is None else check_integer("max_active", max_active, low=1, high=10**6)
            )
        if not isinstance(rate, _Unset):
            changes["rate"] = _rate(rate)
        return await self._configure(_queue(queue), **changes)

    async def _configure(self, queue: str, **changes: Any) -> QueueSettings:
        settings = msgspec.structs.replace(await self._engine.settings(queue), **changes)
        await self._engine.configure(queue, settings)
        return settings

    async def drain(self, queue: str, *, delayed: bool = False) -> int:
        """Delete the jobs of a queue that wait, with `delayed` also those that are due later; return how many."""
        return await self._engine.drain(_queue(queue), delayed=delayed)

    async def clean(
        self, queue: str, state: StateLike | str, *, older_than: Duration = 0.0, limit: int = 1000
    ) -> list[str]:
        """Delete up to `limit` jobs that came into a state more than `older_than` ago; return their ids."""
        wanted = to_state(state)
        if wanted is JobState.ACTIVE:
            raise JobDefinitionError("active jobs cannot be cleaned", hint="cancel them, or let them finish")
        check_integer("limit", limit, low=1, high=10**6)
        before = self._engine.time() - to_seconds(older_than, name="older_than")
        return await self._engine.clean(_queue(queue), wanted, before=before, limit=limit)

    async def obliterate(self, queue: str, *, force: bool = False) -> None:
        """Delete a queue with all that it holds, finished jobs and settings included.

        Raises:
            QueueInUseError: Jobs are active, and `force` is not given; nothing is deleted.
        """
        await self._engine.obliterate(_queue(queue), force=force)


async def change_each(found: Iterable[tuple[str, str]], change: Callable[..., Awaitable[bool]]) -> int:
    """Call `change(id, queue=…)` for each of these ids and queues, many at a time; return how many were changed."""
    waiting, done = iter(found), 0

    async def work() -> None:
        nonlocal done
        for job_id, queue in waiting:
            is_changed = await change(job_id, queue=queue)
            done += is_changed  # not in one line with the await: the others count meanwhile

    async with anyio.create_task_group() as tasks:
        for _ in range(_SIDE_BY_SIDE):
            tasks.start_soon(work)
    return done


def _narrowed(wanted: JobConditions, method: str) -> JobFilter:
    """Return the conditions as a filter, if there is any: by mistake, none would mean everything."""
    conditions = job_filter(wanted)
    if conditions == JobFilter():
        raise JobDefinitionError(f"{method}() without a condition would take every job", hint='give queue="its.name"')
    return conditions


def _rate(rate: tuple[int, Duration] | RateLimit | None) -> RateLimit | None:
    if rate is None or isinstance(rate, RateLimit):
        return rate
    if not isinstance(rate, tuple) or len(rate) != 2:  # type: ignore[redundant-expr]  # callers without a checker
        raise JobDefinitionError(f"rate {rate!r} is not (count, duration)", hint='write rate=(100, "1m")')
    per_s = to_seconds(rate[1], name="rate duration")
    if per_s <= 0:
        raise JobDefinitionError(f"rate {rate!r}: its duration is 0")
    return RateLimit(max=check_integer("rate", rate[0], low=1, high=10**9), per_s=per_s)


def _queue(name: str) -> str:
    return check_name(name, what="queue name")


def _name(name: str | None) -> str | None:
    return None if name is None else _queue(name)
