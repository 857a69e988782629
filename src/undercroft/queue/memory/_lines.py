"""One queue of the memory engine: its jobs by state, its limits, its deduplication keys and its ledger."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator

import msgspec

from undercroft.queue._values import Counts, Deduplication, Entry, JobState, Minute, QueueSettings
from undercroft.queue.memory._jobs import Arrivals, JobHeap, StoredJob
from undercroft.queue.memory._retention import Retention

_DOOMED = -1.0  # more urgent than every priority: what must not run is out of the way at once


class Numbers:
    """Counts up: orders, ranks, tickets and tokens are all drawn here, so none is ever met twice."""

    def __init__(self) -> None:
        self._last = 0

    def __call__(self) -> int:
        self._last += 1
        return self._last


class HeldKey(msgspec.Struct):
    """A deduplication key, and the job that stands for it."""

    job_id: str
    until: float | None


class MinuteCount(msgspec.Struct):
    """What was finished in one minute, while it is counted."""

    at: float
    completed: int = 0
    failed: int = 0


class StoredQueue:
    """The jobs of one queue. Lives until the queue is obliterated."""

    def __init__(self, name: str, numbers: Numbers) -> None:
        self.name = name
        self.settings = QueueSettings()
        self.jobs: dict[str, StoredJob] = {}
        self.states = {state: Arrivals() for state in JobState}
        self.retention = Retention(self.states)
        self.keys: dict[str, HeldKey] = {}
        self.entries: dict[str, Entry] = {}
        self._numbers = numbers
        self._lines: dict[str, JobHeap] = {}
        self._delayed = JobHeap()
        self._window_ends_at = 0.0
        self._window_used = 0
        self._minutes: deque[MinuteCount] = deque(maxlen=60)

    # --- States -----------------------------------------------------------------------------------------------------

    def put(self, job: StoredJob, state: JobState, now: float) -> None:
        """Move a job from the state it is in, if any, to another, or to a new place in the same."""
        self.take_out(job)
        job.state = state
        self.states[state].add(job, rank=self._numbers(), now=now)
        if state is JobState.DELAYED:
            self._delayed.push(job, by=(job.due_at, job.order), ticket=self._numbers())
        elif state in (JobState.WAITING, JobState.PARKED):
            self._line_up(job)

    def reorder(self, job: StoredJob) -> None:
        """Find the new place of a job that is in line and whose priority has changed."""
        self._lines[job.new.name].discard(job)
        self._line_up(job)

    def _line_up(self, job: StoredJob) -> None:
        urgency = float(job.priority) if job.doom is None else _DOOMED
        line = self._lines.setdefault(job.new.name, JobHeap())
        line.push(job, by=(urgency, job.order), ticket=self._numbers())

    def take_out(self, job: StoredJob) -> None:
        """Take a job out of its state, if it is in one."""
        if job.rank:
            self.states[job.state].discard(job)
        if job.ticket:
            (self._delayed if job.state is JobState.DELAYED else self._lines[job.new.name]).discard(job)

    def due_now(self, now: float) -> Iterator[StoredJob]:
        """Yield the delayed jobs that are due; each is to be moved before the next is asked for."""
        while (first := self._delayed.first()) and first[0] <= now:
            yield first[2]

    def next_due_at(self) -> float | None:
        """Return when the first delayed job is due."""
        first = self._delayed.first()
        return None if first is None else first[0]

    def next_of(self, names: Collection[str]) -> StoredJob | None:
        """Return the waiting or parked job that is first in line among those of these names; it stays."""
        best: tuple[float, float, StoredJob] | None = None
        for name in names if len(names) < len(self._lines) else [*self._lines]:
            line = self._lines.get(name)
            if line is None or name not in names:
                continue
            first = line.first()
            if first is None:
                del self._lines[name]  # names may be made up by producers; empty lines must not pile up
            elif best is None or first[:2] < best[:2]:
                best = first
        return best[2] if best else None

    def in_line(self, *, but: Collection[str]) -> Iterator[StoredJob]:
        """Yield the waiting and the parked jobs of all names but these; they must not change while this is used."""
        for name, line in self._lines.items():
            if name not in but:
                yield from line

    def counts(self) -> Counts:
        """Count the jobs in each state."""
        return Counts(**{state.value: len(arrivals) for state, arrivals in self.states.items()})

    # --- Limits -----------------------------------------------------------------------------------------------------

    def room(self, now: float) -> int:
        """Return how many jobs may be claimed now."""
        if self.settings.is_paused:
            return 0
        room = len(self.jobs)
        if self.settings.max_active is not None:
            room = min(room, self.settings.max_active - len(self.states[JobState.ACTIVE]))
        if self.settings.rate is not None:
            used = self._window_used if now < self._window_ends_at else 0
            room = min(room, self.settings.rate.max - used)
        return max(0, room)

    def count_run(self, now: float) -> None:
        """Count a claim towards the rate limit; the first one opens the window."""
        if self.settings.rate is None:
            return
        if now >= self._window_ends_at:
            self._window_ends_at, self._window_used = now + self.settings.rate.per_s, 0
        self._window_used += 1

    def window_ends_at(self, now: float) -> float | None:
        """Return when more may be claimed, while the rate limit allows no more."""
        rate = self.settings.rate
        is_spent = rate is not None and now < self._window_ends_at and self._window_used >= rate.max
        return self._window_ends_at if is_spent else None

    # --- Deduplication: BullMQ's rules ------------------------------------------------------------------------------

    def holder(self, key: str, now: float) -> HeldKey | None:
        """Return who holds a key, if it is held."""
        held = self.keys.get(key)
        if held is not None and held.until is not None and held.until <= now:
            del self.keys[key]
            return None
        return held

    def hold(self, rule: Deduplication, job_id: str, now: float) -> None:
        """Hold a key for a job, for the rule's time."""
        self.keys[rule.key] = HeldKey(job_id, None if rule.ttl_s is None else now + rule.ttl_s)

    def let_go(self, job: StoredJob, *, is_removed: bool) -> None:
        """Free the key of a job that is removed, or finished: then one that has a time of its own is held on."""
        if (rule := job.new.deduplication) is None:
            return
        held = self.keys.get(rule.key)
        if held is not None and held.job_id == job.new.id and (is_removed or held.until is None):
            del self.keys[rule.key]

    # --- Statistics -------------------------------------------------------------------------------------------------

    def count_end(self, now: float, *, is_failed: bool) -> None:
        """Count the end of a job in its minute."""
        at = now - now % 60
        if not self._minutes or self._minutes[-1].at < at:
            self._minutes.append(MinuteCount(at))
        if is_failed:
            self._minutes[-1].failed += 1
        else:
            self._minutes[-1].completed += 1

    def minutes(self, now: float) -> tuple[Minute, ...]:
        """Return the last 60 minutes, newest first."""
        recent = [count for count in reversed(self._minutes) if count.at > now - 3600]
        return tuple(Minute(at=count.at, completed=count.completed, failed=count.failed) for count in recent)
