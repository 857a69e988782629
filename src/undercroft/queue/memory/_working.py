"""What workers do to the jobs of the memory engine: claim, finish, beat, release, rescue and park."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

from undercroft.queue._values import (
    Beat,
    Claim,
    ClaimedJob,
    Completed,
    Doom,
    Failed,
    Fetch,
    Finished,
    JobState,
    Postponed,
    Rescued,
)
from undercroft.queue.memory._jobs import StoredJob
from undercroft.queue.memory._lines import StoredQueue
from undercroft.queue.memory._store import MemoryStore


class Workers:
    """The workers of this process, and what they hold. One per engine."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._attending: set[str] = set()

    @asynccontextmanager
    async def attend(self, worker_id: str) -> AsyncIterator[None]:
        """Have a worker count as alive for the block."""
        self._attending.add(worker_id)
        try:
            yield
        finally:
            self._attending.discard(worker_id)

    def held(self, claim: ClaimedJob) -> StoredJob | None:
        """Return the job of a claim that is current."""
        queue = self._store.queues.get(claim.queue)
        job = queue.jobs.get(claim.id) if queue else None
        return job if job is not None and job.is_held_by(claim) else None

    def claim(self, queues: Sequence[str], who: Fetch, limit: int) -> Claim:
        """Empty the queues in the order given."""
        found: list[ClaimedJob] = []
        for queue in self._store.look(queues):
            found.extend(self._take(queue, who, limit - len(found)))
        return Claim(jobs=tuple(found), next_due_at=min(self._next_due(queues), default=None))

    def _take(self, queue: StoredQueue, who: Fetch, limit: int) -> Iterator[ClaimedJob]:
        for _ in range(min(limit, queue.room(self._store.clock.time()))):
            job = queue.next_of(who.names)
            if job is None:
                return
            self._store.activate(job, worker_id=who.worker_id, lease_s=who.lease_s)
            yield job.claimed()

    def _next_due(self, queues: Sequence[str]) -> Iterator[float]:
        now = self._store.clock.time()
        for queue in self._store.look(queues):
            if queue.settings.is_paused:
                continue
            ends_at = queue.window_ends_at(now)
            if ends_at is not None:
                yield ends_at
            if (due_at := queue.next_due_at()) is not None:
                yield max(due_at, ends_at or due_at)

    def finish(self, claim: ClaimedJob, outcome: Completed | Failed | Postponed, fetch: Fetch | None) -> Finished:
        """Record how a run ended, if the claim is current."""
        job = self.held(claim)
        if job is None:
            return Finished(is_recorded=False)
        if isinstance(outcome, Completed):
            job.result = outcome.result
            self._store.end(job, is_failed=False)
        elif isinstance(outcome, Postponed):
            self._store.give_back(job, due_at=outcome.until)
        else:
            self._fail(job, outcome)
        if fetch is None:
            return Finished(is_recorded=True)
        return Finished(is_recorded=True, next=next(iter(self.claim([claim.queue], fetch, 1).jobs), None))

    def _fail(self, job: StoredJob, outcome: Failed) -> None:
        job.error_type, job.error, job.stack = outcome.error_type, outcome.error, outcome.stack or None
        if job.doom is None:  # a doomed job did not run
            job.failures += 1
        if outcome.retry_at is None:
            self._store.end(job, is_failed=True)
        else:
            self._store.give_back(job, due_at=outcome.retry_at)

    def beat(self, jobs: Sequence[ClaimedJob], lease_s: float) -> Beat:
        """Push leases, and tell what is lost or cancelled."""
        lost: list[ClaimedJob] = []
        cancelled: list[ClaimedJob] = []
        lease_until = self._store.clock.monotonic() + lease_s
        for claim in jobs:
            job = self.held(claim)
            if job is None:
                lost.append(claim)
                continue
            job.lease_until = lease_until
            if job.is_cancelled:
                cancelled.append(claim)
        return Beat(lost=tuple(lost), cancelled=tuple(cancelled))

    def release(self, jobs: Sequence[ClaimedJob]) -> None:
        """Put jobs back in line, where they were: nobody overtook them but by priority."""
        for claim in jobs:
            if (job := self.held(claim)) is not None:
                self._store.give_back(job, due_at=min(job.due_at, self._store.clock.time()))

    def rescue(self, queues: Sequence[str], max_crashes: int, again_after_s: float) -> list[Rescued]:
        """Take jobs from workers that left or whose lease ran out."""
        now = self._store.clock.monotonic()
        lost = [
            job
            for queue in self._store.look(queues)
            for job in queue.states[JobState.ACTIVE].oldest()
            if job.lease_until <= now or job.worker_id not in self._attending
        ]
        return [self._rescue(job, max_crashes, again_after_s) for job in lost]

    def _rescue(self, job: StoredJob, max_crashes: int, again_after_s: float) -> Rescued:
        new, worker_id = job.new, job.worker_id or ""
        job.crashes += 1
        is_quarantined = job.crashes >= max_crashes and not job.is_cancelled and job.doom is None
        if is_quarantined:
            why = f"quarantined: {job.crashes} workers died or hung while running it"
            job.doom = Doom(error_type="WorkerDied", error=why)
        self._store.events.tell("stalled", new.queue, new.id)
        self._store.give_back(job, due_at=self._store.clock.time() + (again_after_s if job.crashes > 1 else 0))
        return Rescued(id=new.id, name=new.name, queue=new.queue, worker_id=worker_id, is_quarantined=is_quarantined)

    def park_unknown(self, queues: Sequence[str], names: frozenset[str]) -> list[tuple[str, str]]:
        """Park what nobody here knows, and have what is known wait again."""
        parked: list[tuple[str, str]] = []
        now = self._store.clock.time()
        for queue in self._store.look(queues):
            for job in [job for job in queue.states[JobState.PARKED].oldest() if job.new.name in names]:
                queue.put(job, JobState.WAITING, now)
                self._store.notice(queue.name)
            for job in [job for job in queue.in_line(but=names) if job.state is JobState.WAITING]:
                queue.put(job, JobState.PARKED, now)
                parked.append((job.new.id, job.new.name))
        return parked
