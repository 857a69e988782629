"""What may become of a job in the memory engine: every step from being added to being deleted.

No step here awaits, so each is atomic. Whoever changes a job does it by these methods, which keep the indexes, the
deduplication keys, the parents, the events and those who wait in step with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from undercroft._core.clock import Clock
from undercroft.queue._values import ChildRecord, Doom, JobState, Keep, NewJob, OnChildFailure
from undercroft.queue.memory._events import EventLog
from undercroft.queue.memory._jobs import Child, StoredJob
from undercroft.queue.memory._lines import Numbers, StoredQueue
from undercroft.queue.memory._waiters import Waiters

CANCELLED = Doom(error_type="Cancelled", error="cancelled")


class MemoryStore:
    """All queues of one engine. Lives as long as the engine."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.queues: dict[str, StoredQueue] = {}
        self.numbers = Numbers()
        self.events = EventLog(clock)
        self.waiters = Waiters(clock)
        self.changes = 0
        self.changed: dict[str, int] = {}
        """Number of the last change by queue."""

    # --- Finding ----------------------------------------------------------------------------------------------------

    def queue(self, name: str) -> StoredQueue:
        """Return a queue, made if there is none of this name."""
        found = self.queues.get(name)
        if found is None:
            found = self.queues[name] = StoredQueue(name, self.numbers)
        return found

    def look(self, names: str | Sequence[str] | None) -> Iterator[StoredQueue]:
        """Yield the queues that exist among these names (`None`: all), with delayed jobs that are due put in line."""
        wanted = [*self.queues] if names is None else [names] if isinstance(names, str) else names
        for name in wanted:
            if (queue := self.queues.get(name)) is not None:
                self.put_due(queue)
                yield queue

    def find(self, job_id: str, queue: str | None) -> StoredJob | None:
        """Return a job by its id."""
        for place in self.look(queue):
            if (job := place.jobs.get(job_id)) is not None:
                return job
        return None

    def notice(self, queue: str) -> None:
        """Count a change of a queue, and wake the workers that wait for it."""
        self.changes += 1
        self.changed[queue] = self.changes
        self.waiters.wake(("work", queue))

    # --- Towards a run ----------------------------------------------------------------------------------------------

    def insert(self, new: NewJob, *, is_parent: bool) -> StoredJob:
        """Store a job and put it where it belongs; a parent is blocked until `all_born`."""
        queue, order = self.queue(new.queue), self.numbers()
        job = StoredJob(new, order=-order if new.lifo else order)
        queue.jobs[new.id] = job
        if new.parent_id is not None:
            parent = self.queues[new.parent_queue or new.queue].jobs[new.parent_id]
            record = ChildRecord(id=new.id, queue=new.queue, state=None)
            parent.children[new.queue, new.id] = Child(record=record)
            parent.unfinished += 1
        self.events.tell("added", new.queue, new.id, name=new.name)
        if is_parent:
            job.unfinished = 1  # counts for those that are still to come
            queue.put(job, JobState.BLOCKED, self.clock.time())
            self.events.tell("waiting-children", new.queue, new.id)
        else:
            self.wait(job, prev=None)
        return job

    def all_born(self, parent: StoredJob) -> None:
        """Have a parent wait for the children that it has by now, and no others."""
        parent.unfinished -= 1
        if not parent.unfinished:
            self.wait(parent, prev=JobState.BLOCKED)

    def wait(self, job: StoredJob, *, prev: JobState | None) -> None:
        """Put a job in line, or with the delayed ones when it is due later."""
        now, queue = self.clock.time(), self.queues[job.new.queue]
        told = {} if prev is None else {"prev": prev.value}
        if job.doom is None and job.due_at > now:
            queue.put(job, JobState.DELAYED, now)
            self.events.tell("delayed", queue.name, job.new.id, delay=int(job.due_at * 1000), **told)
        else:
            queue.put(job, JobState.WAITING, now)
            self.events.tell("waiting", queue.name, job.new.id, **told)
        self.notice(queue.name)

    def put_due(self, queue: StoredQueue) -> None:
        """Put delayed jobs that are due in line."""
        now = self.clock.time()
        for job in queue.due_now(now):
            queue.put(job, JobState.WAITING, job.due_at)
            self.events.tell("waiting", queue.name, job.new.id, prev="delayed")

    def activate(self, job: StoredJob, *, worker_id: str, lease_s: float) -> None:
        """Hand a job that is in line to a worker."""
        now, queue = self.clock.time(), self.queues[job.new.queue]
        job.token, job.worker_id = self.numbers(), worker_id
        job.lease_until = self.clock.monotonic() + lease_s
        job.started_at = now
        queue.put(job, JobState.ACTIVE, now)
        queue.count_run(now)
        self.events.tell("active", queue.name, job.new.id, prev="waiting")

    def give_back(self, job: StoredJob, *, due_at: float | None = None) -> None:
        """Take an active job from its worker, to be run again; one that was cancelled meanwhile is doomed instead."""
        job.worker_id = None
        if due_at is not None:
            job.due_at = due_at
        if job.is_cancelled and job.doom is None:
            job.doom = CANCELLED
        job.is_cancelled = False
        self.wait(job, prev=JobState.ACTIVE)

    def doom(self, job: StoredJob, why: Doom) -> None:
        """Have a job that waits for something handed out at once, not to run but to fail."""
        prev, job.doom = job.state, why
        self.wait(job, prev=prev)

    # --- The end ----------------------------------------------------------------------------------------------------

    def end(self, job: StoredJob, *, is_failed: bool) -> None:
        """Bring a job to its end: its result or error is set already."""
        now, queue = self.clock.time(), self.queues[job.new.queue]
        job.worker_id, job.is_cancelled, job.finished_at = None, False, now
        queue.put(job, JobState.FAILED if is_failed else JobState.COMPLETED, now)
        queue.let_go(job, is_removed=False)
        queue.count_end(now, is_failed=is_failed)
        told = {"failedReason": job.error} if is_failed else {"returnvalue": (job.result or b"null").decode()}
        self.events.tell(job.state.value, queue.name, job.new.id, prev="active", **told)
        self._tell_parent(job)
        self._keep(queue, job, job.new.keep_failed if is_failed else job.new.keep_completed)
        self.notice(queue.name)
        self.waiters.wake(("end", queue.name, job.new.id))

    def _keep(self, queue: StoredQueue, job: StoredJob, keep: Keep) -> None:
        if keep.count == 0:
            self.forget(job)
        else:
            queue.retention.watch(job, keep)

    def forget(self, job: StoredJob) -> None:
        """Delete a finished job because it is not kept: its deduplication key is held on."""
        queue = self.queues[job.new.queue]
        queue.take_out(job)
        del queue.jobs[job.new.id]

    def delete(self, job: StoredJob) -> None:
        """Delete a job because somebody asked for it."""
        queue = self.queues[job.new.queue]
        queue.let_go(job, is_removed=True)
        prev = job.state.value
        self.forget(job)
        self.events.tell("removed", queue.name, job.new.id, prev=prev)
        self._tell_parent(job, is_removed=True)
        self.waiters.wake(("end", queue.name, job.new.id))

    # --- Flows ------------------------------------------------------------------------------------------------------

    def children_of(self, job: StoredJob) -> list[ChildRecord]:
        """Return what a parent sees of its children."""
        return [self._child_record(child.record) for child in job.children.values()]

    def family(self, job: StoredJob) -> list[StoredJob]:
        """Return a job and all its descendants that are stored, parents before their children."""
        found = [job]
        for queue, child_id in job.children:
            child = self.queues[queue].jobs.get(child_id) if queue in self.queues else None
            if child is not None:
                found.extend(self.family(child))
        return found

    def _child_record(self, remembered: ChildRecord) -> ChildRecord:
        queue = self.queues.get(remembered.queue)
        job = queue.jobs.get(remembered.id) if queue else None
        if job is None or job.state.is_final:
            return remembered
        return ChildRecord(id=remembered.id, queue=remembered.queue, state=job.state)

    def _parent_of(self, job: StoredJob) -> StoredJob | None:
        queue = self.queues.get(job.new.parent_queue or job.new.queue)
        return queue.jobs.get(job.new.parent_id) if queue and job.new.parent_id else None

    def _tell_parent(self, job: StoredJob, *, is_removed: bool = False) -> None:
        """Tell the parent, if there is one, that it need not wait for this child any longer."""
        parent = self._parent_of(job)
        child = parent.children.get((job.new.queue, job.new.id)) if parent else None
        if parent is None or child is None:
            return
        if not is_removed:
            error = job.error if job.state is JobState.FAILED else None
            child.record = ChildRecord(
                id=job.new.id, queue=job.new.queue, state=job.state, result=job.result, error=error
            )
        if not child.is_counted:
            child.is_counted = True
            parent.unfinished -= 1
        if parent.state is JobState.BLOCKED:
            self._unblock(parent, job, is_failure=job.state is JobState.FAILED and not is_removed)

    def _unblock(self, parent: StoredJob, child: StoredJob, *, is_failure: bool) -> None:
        if is_failure and child.new.on_child_failure is OnChildFailure.FAIL:
            why = f"child {child.new.id} failed: {child.error}"
            self.doom(parent, Doom(error_type="ChildFailed", error=why))
        elif not parent.unfinished:
            parent.due_at = max(parent.due_at, self.clock.time())
            self.wait(parent, prev=JobState.BLOCKED)
