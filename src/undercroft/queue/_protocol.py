"""What a queue engine promises: all that an engine's author must read. The values it takes and gives are in `_values`.

An engine stores jobs and hands each waiting one to one worker at a time. It knows nothing of Python functions, schemas
or retry policies: the worker decides, the engine records. Delivery is at least once. A claim carries a *token*; every
later write names it, and a write with an old token changes nothing, so that a worker which was presumed dead and comes
back cannot touch a job that somebody else has by now.

States: `delayed` (due later) → `waiting` → `active` (claimed) → `completed` or `failed`; from `active` back to
`waiting` or `delayed` on retry, postponement, release or rescue. `blocked`: a parent whose children are not finished.
`parked`: waiting, but no worker that looked at it knows its name; a worker that does takes it as if it were waiting.

Order within a queue: by priority (0 first), then in the order of enqueueing; a `lifo` job comes before others of its
priority. Instants are epoch seconds by `Engine.time()`.

A job that must not run any more (cancelled while it waited, quarantined, a child of it failed) is *doomed*: it is
handed out like any other, with `ClaimedJob.doom`, and the worker records that failure instead of running it. So every
end of a job goes through one place.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

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


class Engine(Protocol):
    """Stores jobs. Opened by `async with`; used from one event loop; every method is atomic unless it says otherwise,
    and raises `QueueUnavailableError` when the store does not answer, in which case a write's outcome is unknown unless
    the engine says otherwise. Every write here may be repeated after that: a job that was added is not added again, an
    outcome that was recorded is not recorded again."""

    @property
    def name(self) -> str:
        """Short name of the engine: `sqlite`, `redis`, `memory`."""

    async def __aenter__(self) -> object: ...

    async def __aexit__(self, *exc_info: object) -> None: ...

    async def ping(self) -> None:
        """Return when the store answers."""

    async def advice(self) -> list[Advice]:
        """Say which settings of the store itself endanger jobs; none, as a rule."""

    def time(self) -> float:
        """Return the instant by the store's clock as well as it is known here, without I/O."""

    # --- Adding -----------------------------------------------------------------------------------------------------

    async def add(self, jobs: Sequence[NewJob]) -> list[Added]:
        """Store all jobs or none. They are on disk (or replicated, as the store is set up) when this returns.

        A job whose id is stored already, or whose deduplication key is held by another job, is not stored: its `Added`
        names the one that stands for it. `NewJob.parent_id` names a job of the same call, which comes before it; the
        children of one that is not stored are not stored either, and a parent waits for the children that are.
        """

    # --- Working ----------------------------------------------------------------------------------------------------

    async def claim(
        self, *, queues: Sequence[str], names: Sequence[str], limit: int, worker_id: str, lease_s: float
    ) -> Claim:
        """Hand out up to `limit` jobs that are due, each until `lease_s` from now.

        The queues are emptied in the order given. Nothing comes from a queue that is paused or at one of its limits.
        Jobs with other names are left, or parked, for workers that know them. Cancellation: a job may have been
        claimed; a caller that is cancelled must let the call end and release what it got.
        """

    async def finish(
        self, job: ClaimedJob, outcome: Completed | Failed | Postponed, *, fetch: Fetch | None = None
    ) -> Finished:
        """Record how a run ended, and with `fetch` claim the next job of the same queue in the same step.

        `Finished.is_recorded` is false, nothing changes and nothing is fetched, when `job.token` is no longer the
        current one.
        """

    async def beat(self, worker_id: str, jobs: Sequence[ClaimedJob], *, lease_s: float) -> Beat:
        """Say that the worker lives, push the leases of its jobs to `lease_s` from now, and tell which of them are no
        longer its own and which were cancelled."""

    def pulse(self, worker_id: str) -> Pulse | None:
        """Return a `beat` for use from one other thread; `None`: beat in the event loop."""

    async def release(self, jobs: Sequence[ClaimedJob]) -> None:
        """Give jobs back as they were before the claim, first in line and uncounted. Old tokens are ignored."""

    async def rescue(self, *, queues: Sequence[str], max_crashes: int, again_after_s: float) -> list[Rescued]:
        """Take back the jobs of workers that are dead or whose lease ran out.

        Each counts as a crash. After the first the job is due at once, after a later one in `again_after_s`, and with
        `max_crashes` of them it is doomed. Any worker may call this at any time.
        """

    async def park_unknown(self, *, queues: Sequence[str], names: Sequence[str]) -> list[tuple[str, str]]:
        """Park waiting jobs of these queues whose name is not in `names`, and return the id and name of each job that
        was parked here since the last call. Parked jobs with one of these names wait again."""

    def attend(self, worker_id: str, *, queues: Sequence[str]) -> AbstractAsyncContextManager[object]:
        """Mark a worker of this process as alive for the block. Jobs may be claimed for it only inside."""

    async def prune(self, *, queues: Sequence[str]) -> int:
        """Delete finished jobs that their `Keep` does not keep, a bounded number at a time; return how many."""

    @property
    def changes(self) -> int:
        """A number that has grown when a job was added, finished, released or rescued by somebody whom this engine
        can notice without asking the store."""

    async def wait_for_work(self, queues: Sequence[str], *, since: int, timeout: float) -> None:
        """Return when one of these queues may have a job to claim that was not there when `changes` was `since`, or
        after `timeout` seconds. May return early."""

    async def wait_for_end(self, job_id: str, *, queue: str, timeout: float) -> None:
        """Return when the job may have come to its end, or after `timeout` seconds. May return early."""

    # --- One job ----------------------------------------------------------------------------------------------------
    # `queue=None` looks in every queue. Each returns whether there was such a job in a state that allows it.

    async def get(self, job_id: str, *, queue: str | None = None) -> JobRecord | None:
        """Return a job, or `None` when there is none of this id (any more)."""

    async def children(self, job_id: str, *, queue: str | None = None) -> list[ChildRecord]:
        """Return the children of a job, in the order in which they were given, those that were removed included."""

    async def cancel(self, job_id: str, *, queue: str | None = None) -> bool:
        """Doom a job that waits, and have the holder of an active one told by its next beat; should that one be
        released, rescued or retried instead, it is doomed then. True when it is not finished, nor doomed already."""

    async def retry(self, job_id: str, *, queue: str | None = None) -> bool:
        """Have a finished job run again from the beginning: its failures and crashes are forgotten."""

    async def promote(self, job_id: str, *, queue: str | None = None) -> bool:
        """Have a delayed job wait at once."""

    async def reprioritise(self, job_id: str, priority: int, *, queue: str | None = None) -> bool:
        """Change the priority of a job that is not finished; for a waiting one at once."""

    async def remove(self, job_id: str, *, queue: str | None = None) -> bool:
        """Delete a job that is not active, nor has an active child, with its logs and children. A parent that waited
        for it waits no longer."""

    async def set_progress(self, job: ClaimedJob, progress: bytes) -> bool:
        """Store JSON as how far an active job has come. False when `job.token` is no longer the current one."""

    async def add_log(self, job: ClaimedJob, line: str, *, keep: int) -> None:
        """Append a line to a job's own log, of which the last `keep` are kept."""

    async def logs(self, job_id: str, *, queue: str | None = None) -> list[str]:
        """Return a job's own log, oldest line first."""

    # --- Queues -----------------------------------------------------------------------------------------------------

    async def queues(self) -> list[str]:
        """Return the names of all queues that hold or held something, sorted."""

    async def settings(self, queue: str) -> QueueSettings:
        """Return what `configure` stored."""

    async def configure(self, queue: str, settings: QueueSettings) -> None:
        """Pause or resume a queue, and set its limits, for all workers at once. Active jobs go on."""

    async def list_jobs(self, wanted: JobFilter, *, limit: int, cursor: str | None = None) -> JobPage:
        """Return up to `limit` jobs, newest first within a state, and where to go on.

        An engine that has to look through jobs may return fewer, or none, with a cursor: there may be more.
        """

    async def counts(self, *, queue: str | None = None) -> Counts:
        """Count the jobs of one queue, or of all."""

    async def statistics(self, queue: str) -> QueueStatistics:
        """Return what is known about waiting, running and throughput."""

    async def drain(self, queue: str, *, delayed: bool) -> int:
        """Delete the jobs that wait, with `delayed` also those that are due later; return how many."""

    async def clean(self, queue: str, state: JobState, *, before: float, limit: int) -> list[str]:
        """Delete up to `limit` jobs that came into this state before an instant; return their ids. Not `active`."""

    async def obliterate(self, queue: str, *, force: bool) -> None:
        """Delete a queue with all that it holds. It is paused first.

        Raises:
            QueueInUseError: Jobs are active, and `force` is not given; nothing is deleted, and the queue is as it was.
        """

    def events(self, queues: Sequence[str], *, after: str | None = None) -> AsyncIterator[JobEvent]:
        """Yield what happens to the jobs of these queues from now on, or after the event of cursor `after`.

        A listener that falls far behind misses the oldest: engines keep a bounded number.
        """

    # --- Ledger: small documents beside the jobs of a queue, for crons and sagas ------------------------------------

    async def entries(self, queue: str, *, prefix: str = "") -> dict[str, Entry]:
        """Return the entries of a queue whose key begins with `prefix`. May read all entries of the queue."""

    async def entry(self, queue: str, key: str) -> Entry | None:
        """Return one entry, without reading the others."""

    async def list_entries(self, queue: str, *, limit: int, cursor: str | None = None) -> EntryPage:
        """Return about `limit` entries of a queue, in an order of the engine's own, and where to go on.

        A page may be empty and have a cursor. An entry that is there from the first page to the last is in one of
        them, perhaps in two; one that is written or deleted meanwhile may be in none.
        """

    async def save_entry(
        self, queue: str, key: str, data: bytes | None, *, version: int, jobs: Sequence[NewJob] = ()
    ) -> bool:
        """In one step: if the entry still has this version (0: there is none), write it as the next version (`None`
        deletes it) and add these jobs of the same queue. False, and nothing happens, when it has another one."""


class Pulse(Protocol):
    """A worker's `beat` for one other thread, with a connection of its own. Blocking."""

    def beat(self, jobs: Sequence[ClaimedJob], *, lease_s: float) -> Beat:
        """As `Engine.beat`. Raises `QueueUnavailableError` within a few seconds when the store does not answer."""

    def close(self) -> None:
        """Close the connection. Called from the same thread."""
