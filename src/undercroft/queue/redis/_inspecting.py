"""The part of the engine that looks at jobs and queues: every method hands over to the module that does it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from undercroft.queue._values import (
    ChildRecord,
    ClaimedJob,
    Counts,
    Entry,
    EntryPage,
    JobEvent,
    JobFilter,
    JobPage,
    JobRecord,
    JobState,
    NewJob,
    QueueSettings,
    QueueStatistics,
)
from undercroft.queue.redis import _administration as administration
from undercroft.queue.redis import _events as events
from undercroft.queue.redis import _flows as flows
from undercroft.queue.redis import _ledger as ledger
from undercroft.queue.redis import _listing as listing
from undercroft.queue.redis import _operations as operations
from undercroft.queue.redis import _records as records
from undercroft.queue.redis import _statistics as statistics
from undercroft.queue.redis._store import Store


class Inspecting:
    """What `RedisQueue` does with one job, with queues, and with the ledger; see `Engine`."""

    @property
    def _store(self) -> Store:
        raise NotImplementedError

    # --- One job ----------------------------------------------------------------------------------------------------

    async def get(self, job_id: str, *, queue: str | None = None) -> JobRecord | None:
        """See `Engine.get`."""
        return await records.get(self._store, job_id, queue=queue)

    async def children(self, job_id: str, *, queue: str | None = None) -> list[ChildRecord]:
        """See `Engine.children`."""
        return await flows.children(self._store, job_id, queue=queue)

    async def cancel(self, job_id: str, *, queue: str | None = None) -> bool:
        """See `Engine.cancel`."""
        return await operations.cancel(self._store, job_id, queue=queue)

    async def retry(self, job_id: str, *, queue: str | None = None) -> bool:
        """See `Engine.retry`."""
        return await operations.retry(self._store, job_id, queue=queue)

    async def promote(self, job_id: str, *, queue: str | None = None) -> bool:
        """See `Engine.promote`."""
        return await operations.promote(self._store, job_id, queue=queue)

    async def reprioritise(self, job_id: str, priority: int, *, queue: str | None = None) -> bool:
        """See `Engine.reprioritise`."""
        return await operations.reprioritise(self._store, job_id, priority, queue=queue)

    async def remove(self, job_id: str, *, queue: str | None = None) -> bool:
        """See `Engine.remove`."""
        return await operations.remove(self._store, job_id, queue=queue)

    async def set_progress(self, job: ClaimedJob, progress: bytes) -> bool:
        """See `Engine.set_progress`."""
        return await operations.set_progress(self._store, job, progress)

    async def add_log(self, job: ClaimedJob, line: str, *, keep: int) -> None:
        """See `Engine.add_log`."""
        await operations.add_log(self._store, job, line, keep=keep)

    async def logs(self, job_id: str, *, queue: str | None = None) -> list[str]:
        """See `Engine.logs`."""
        return await operations.logs(self._store, job_id, queue=queue)

    # --- Queues -----------------------------------------------------------------------------------------------------

    async def queues(self) -> list[str]:
        """See `Engine.queues`."""
        return await records.queues(self._store)

    async def settings(self, queue: str) -> QueueSettings:
        """See `Engine.settings`."""
        return await administration.settings(self._store, queue)

    async def configure(self, queue: str, settings: QueueSettings) -> None:
        """See `Engine.configure`."""
        await administration.configure(self._store, queue, settings)

    async def list_jobs(self, wanted: JobFilter, *, limit: int, cursor: str | None = None) -> JobPage:
        """See `Engine.list_jobs`."""
        return await listing.list_jobs(self._store, wanted, limit=limit, cursor=cursor)

    async def counts(self, *, queue: str | None = None) -> Counts:
        """See `Engine.counts`."""
        return await records.counts(self._store, queue=queue)

    async def statistics(self, queue: str) -> QueueStatistics:
        """See `Engine.statistics`."""
        return await statistics.statistics(self._store, queue)

    async def drain(self, queue: str, *, delayed: bool) -> int:
        """See `Engine.drain`."""
        return await administration.drain(self._store, queue, delayed=delayed)

    async def clean(self, queue: str, state: JobState, *, before: float, limit: int) -> list[str]:
        """See `Engine.clean`."""
        return await administration.clean(self._store, queue, state, before=before, limit=limit)

    async def obliterate(self, queue: str, *, force: bool) -> None:
        """See `Engine.obliterate`."""
        await administration.obliterate(self._store, queue, force=force)

    def events(self, queues: Sequence[str], *, after: str | None = None) -> AsyncIterator[JobEvent]:
        """See `Engine.events`."""
        return events.events(self._store, queues, after=after)

    # --- Ledger -----------------------------------------------------------------------------------------------------

    async def entries(self, queue: str, *, prefix: str = "") -> dict[str, Entry]:
        """See `Engine.entries`."""
        return await ledger.entries(self._store, queue, prefix=prefix)

    async def entry(self, queue: str, key: str) -> Entry | None:
        """See `Engine.entry`."""
        return await ledger.entry(self._store, queue, key)

    async def list_entries(self, queue: str, *, limit: int, cursor: str | None = None) -> EntryPage:
        """See `Engine.list_entries`."""
        return await ledger.list_entries(self._store, queue, limit=limit, cursor=cursor)

    async def save_entry(
        self, queue: str, key: str, data: bytes | None, *, version: int, jobs: Sequence[NewJob] = ()
    ) -> bool:
        """See `Engine.save_entry`."""
        return await ledger.save_entry(self._store, queue, key, data, version=version, jobs=jobs)
