"""The engine: one short method for each promise."""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import islice
from typing import Self

import anyio.lowlevel
import msgspec

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.url import Url, UrlError
from undercroft.queue._errors import QueueInUseError
from undercroft.queue._protocol import Pulse
from undercroft.queue._values import (
    Added,
    Advice,
    Beat,
    ChildRecord,
    Claim,
    ClaimedJob,
    Completed,
    Counts,
    Entry,
    EntryPage,
    Failed,
    Fetch,
    Finished,
    JobEvent,
    JobFilter,
    JobPage,
    JobRecord,
    JobState,
    NewJob,
    Postponed,
    QueueSettings,
    QueueStatistics,
    Rescued,
)
from undercroft.queue.memory import _lists as lists
from undercroft.queue.memory import _working as working
from undercroft.queue.memory._adding import add_jobs
from undercroft.queue.memory._jobs import StoredJob
from undercroft.queue.memory._lines import StoredQueue
from undercroft.queue.memory._store import CANCELLED, MemoryStore

_PRUNED = 1000


class _NoOptions(msgspec.Struct, frozen=True):
    """`memory://` has no options."""


class MemoryQueue:
    """An `Engine` in this process. Opening and closing it keeps what it holds, so a test can look at it afterwards."""

    name = "memory"

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._store = MemoryStore(self._clock)
        self._workers = working.Workers(self._store)

    @classmethod
    def from_url(cls, url: Url, *, what: str = "queue", clock: Clock | None = None) -> Self:
        """Make the engine of `memory://`."""
        if url.host or url.path.strip("/"):
            raise UrlError(f"{what}: memory:// takes no host and no path", hint="write memory://")
        url.options_as(_NoOptions, what=what)
        return cls(clock=clock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._store.waiters.wake_all()

    async def ping(self) -> None:
        """Return at once."""
        await anyio.lowlevel.checkpoint()

    async def advice(self) -> list[Advice]:
        """There is no store whose settings could be wrong."""
        return []

    def time(self) -> float:
        return self._clock.time()

    # --- Adding and working -----------------------------------------------------------------------------------------

    async def add(self, jobs: Sequence[NewJob]) -> list[Added]:
        return add_jobs(self._store, jobs)

    async def claim(
        self, *, queues: Sequence[str], names: Sequence[str], limit: int, worker_id: str, lease_s: float
    ) -> Claim:
        return self._workers.claim(queues, Fetch(names=frozenset(names), worker_id=worker_id, lease_s=lease_s), limit)

    async def finish(
        self, job: ClaimedJob, outcome: Completed | Failed | Postponed, *, fetch: Fetch | None = None
    ) -> Finished:
        return self._workers.finish(job, outcome, fetch)

    async def beat(
        self,
        worker_id: str,  # noqa: ARG002 - it attends, so it lives
        jobs: Sequence[ClaimedJob],
        *,
        lease_s: float,
    ) -> Beat:
        return self._workers.beat(jobs, lease_s)

    def pulse(self, worker_id: str) -> Pulse | None:  # noqa: ARG002 - there is none for anybody
        """Return `None`: one event loop is all there is."""
        return None

    async def release(self, jobs: Sequence[ClaimedJob]) -> None:
        self._workers.release(jobs)

    async def rescue(self, *, queues: Sequence[str], max_crashes: int, again_after_s: float) -> list[Rescued]:
        return self._workers.rescue(queues, max_crashes, again_after_s)

    async def park_unknown(self, *, queues: Sequence[str], names: Sequence[str]) -> list[tuple[str, str]]:
        return self._workers.park_unknown(queues, frozenset(names))

    def attend(
        self,
        worker_id: str,
        *,
        queues: Sequence[str],  # noqa: ARG002 - alive is alive, whatever it works on
    ) -> AbstractAsyncContextManager[object]:
        return self._workers.attend(worker_id)

    async def prune(self, *, queues: Sequence[str]) -> int:
        pruned = 0
        for queue in self._store.look(queues):
            for job in queue.retention.expired(self._clock.time()):
                self._store.forget(job)
                pruned += 1
                if pruned == _PRUNED:
                    return pruned
        return pruned

    @property
    def changes(self) -> int:
        return self._store.changes

    async def wait_for_work(self, queues: Sequence[str], *, since: int, timeout: float) -> None:
        await anyio.lowlevel.checkpoint()
        if all(self._store.changed.get(queue, 0) <= since for queue in queues):
            await self._store.waiters.wait([("work", queue) for queue in queues], timeout=timeout)

    async def wait_for_end(self, job_id: str, *, queue: str, timeout: float) -> None:
        await anyio.lowlevel.checkpoint()
        job = self._store.find(job_id, queue)
        if job is not None and not job.state.is_final:
            await self._store.waiters.wait([("end", queue, job_id)], timeout=timeout)

    # --- One job ----------------------------------------------------------------------------------------------------

    async def get(self, job_id: str, *, queue: str | None = None) -> JobRecord | None:
        job = self._store.find(job_id, queue)
        return job.record() if job else None

    async def children(self, job_id: str, *, queue: str | None = None) -> list[ChildRecord]:
        job = self._store.find(job_id, queue)
        return self._store.children_of(job) if job else []

    async def cancel(self, job_id: str, *, queue: str | None = None) -> bool:
        job = self._store.find(job_id, queue)
        if job is None or job.state.is_final or job.doom is not None:
            return False
        if job.state is JobState.ACTIVE:
            job.is_cancelled = True
        else:
            self._store.doom(job, CANCELLED)
        return True

    async def retry(self, job_id: str, *, queue: str | None = None) -> bool:
        job = self._store.find(job_id, queue)
        if job is None or not job.state.is_final:
            return False
        prev, job.due_at, job.doom = job.state, self._clock.time(), None
        job.forget_runs()
        self._store.wait(job, prev=prev)
        return True

    async def promote(self, job_id: str, *, queue: str | None = None) -> bool:
        job = self._store.find(job_id, queue)
        if job is None or job.state is not JobState.DELAYED:
            return False
        job.due_at = self._clock.time()
        self._store.wait(job, prev=JobState.DELAYED)
        return True

    async def reprioritise(self, job_id: str, priority: int, *, queue: str | None = None) -> bool:
        job = self._store.find(job_id, queue)
        if job is None or job.state.is_final:
            return False
        job.priority = priority
        if job.state in (JobState.WAITING, JobState.PARKED):
            self._store.queues[job.new.queue].reorder(job)
        return True

    async def remove(self, job_id: str, *, queue: str | None = None) -> bool:
        job = self._store.find(job_id, queue)
        doomed = self._store.family(job) if job else []
        if any(member.state is JobState.ACTIVE for member in doomed):
            return False
        for member in doomed:
            self._store.delete(member)
        return job is not None

    async def set_progress(self, job: ClaimedJob, progress: bytes) -> bool:
        held = self._workers.held(job)
        if held is None:
            return False
        held.progress = progress
        self._store.events.tell("progress", job.queue, job.id, data=msgspec.json.decode(progress))
        return True

    async def add_log(self, job: ClaimedJob, line: str, *, keep: int) -> None:
        if (held := self._workers.held(job)) is not None:
            held.append_log(line, keep)

    async def logs(self, job_id: str, *, queue: str | None = None) -> list[str]:
        job = self._store.find(job_id, queue)
        return list(job.log or ()) if job else []

    # --- Queues -----------------------------------------------------------------------------------------------------

    async def queues(self) -> list[str]:
        return sorted(self._store.queues)

    async def settings(self, queue: str) -> QueueSettings:
        found = self._store.queues.get(queue)
        return found.settings if found else QueueSettings()

    async def configure(self, queue: str, settings: QueueSettings) -> None:
        found = self._store.queue(queue)
        was_paused, found.settings = found.settings.is_paused, settings
        if was_paused != settings.is_paused:
            self._store.events.tell("paused" if settings.is_paused else "resumed", queue, None)
        self._store.notice(queue)

    async def list_jobs(self, wanted: JobFilter, *, limit: int, cursor: str | None = None) -> JobPage:
        return lists.page_of(self._store, wanted, limit=limit, cursor=cursor)

    async def counts(self, *, queue: str | None = None) -> Counts:
        return lists.counts_of(self._store, queue)

    async def statistics(self, queue: str) -> QueueStatistics:
        return lists.statistics_of(self._store, queue)

    async def drain(self, queue: str, *, delayed: bool) -> int:
        states = [JobState.WAITING, JobState.PARKED, *([JobState.DELAYED] if delayed else [])]
        found = [*self._store.look(queue)]
        return self._delete([job for place in found for state in states for job in place.states[state].oldest()])

    async def clean(self, queue: str, state: JobState, *, before: float, limit: int) -> list[str]:
        if state is JobState.ACTIVE:
            raise ValueError("active jobs cannot be cleaned: cancel them, or wait for their end")
        old: list[StoredJob] = []
        for found in self._store.look(queue):
            came_before = (job for job in found.states[state].oldest() if job.entered_at < before)
            old += islice(came_before, limit)
        self._delete(old)
        return [job.new.id for job in old]

    async def obliterate(self, queue: str, *, force: bool) -> None:
        for found in self._store.look(queue):
            if not force and len(found.states[JobState.ACTIVE]):
                raise QueueInUseError(f"queue {queue!r} has active jobs", hint="pause it and wait, or give force=True")
            self._delete([*found.jobs.values()])
            del self._store.queues[queue]

    def _delete(self, jobs: list[StoredJob]) -> int:
        for job in jobs:
            self._store.delete(job)
        return len(jobs)

    def events(self, queues: Sequence[str], *, after: str | None = None) -> AsyncIterator[JobEvent]:
        return self._store.events.listen(frozenset(queues), after=after)

    # --- Ledger -----------------------------------------------------------------------------------------------------

    async def entries(self, queue: str, *, prefix: str = "") -> dict[str, Entry]:
        found: StoredQueue | None = self._store.queues.get(queue)
        entries = found.entries if found else {}
        return {key: entry for key, entry in entries.items() if key.startswith(prefix)}

    async def entry(self, queue: str, key: str) -> Entry | None:
        found: StoredQueue | None = self._store.queues.get(queue)
        return found.entries.get(key) if found else None

    async def list_entries(self, queue: str, *, limit: int, cursor: str | None = None) -> EntryPage:
        found: StoredQueue | None = self._store.queues.get(queue)
        entries = found.entries if found else {}
        keys = heapq.nsmallest(limit, (key for key in entries if cursor is None or key > cursor))
        return EntryPage({key: entries[key] for key in keys}, keys[-1] if len(keys) == limit else None)

    async def save_entry(
        self, queue: str, key: str, data: bytes | None, *, version: int, jobs: Sequence[NewJob] = ()
    ) -> bool:
        entries = self._store.queue(queue).entries
        now = entries.get(key)
        if (now.version if now else 0) != version:
            return False
        add_jobs(self._store, jobs)
        if data is None:
            entries.pop(key, None)
        else:
            entries[key] = Entry(version + 1, data)
        return True
