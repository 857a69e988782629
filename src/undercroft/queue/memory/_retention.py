"""Which finished jobs of one queue the memory engine need not keep any longer."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice

from undercroft.queue._values import JobState, Keep
from undercroft.queue.memory._jobs import Arrivals, StoredJob


class Retention:
    """The finished jobs by what their `Keep` says, oldest first. Jobs that are gone are skipped when they are met."""

    def __init__(self, states: dict[JobState, Arrivals]) -> None:
        self._states = states
        self._groups: dict[tuple[JobState, Keep], deque[tuple[int, StoredJob]]] = {}

    def watch(self, job: StoredJob, keep: Keep) -> None:
        """Remember a job that has just come into its last state."""
        if keep.age_s is not None or keep.count is not None:
            self._groups.setdefault((job.state, keep), deque()).append((job.rank, job))

    def expired(self, now: float) -> Iterator[StoredJob]:
        """Yield the jobs that are not kept; each is to be deleted before the next is asked for.

        The newest are counted before any is deleted, so it does not matter which kind of `Keep` is looked at first.
        """
        limits = [(key, self._oldest_rank(*key)) for key in self._groups]
        for (state, keep), oldest_rank in limits:
            jobs = self._groups[state, keep]
            yield from self._expired_of(jobs, oldest_rank, None if keep.age_s is None else now - keep.age_s)
            if not jobs:
                del self._groups[state, keep]

    def _oldest_rank(self, state: JobState, keep: Keep) -> int:
        """Return the rank of the oldest job that the count allows."""
        if not keep.count:
            return 0
        last = next(islice(self._states[state].newest(), keep.count - 1, None), None)
        return last.rank if last else 0

    def _expired_of(
        self, jobs: deque[tuple[int, StoredJob]], oldest_rank: int, born_before: float | None
    ) -> Iterator[StoredJob]:
        while jobs:
            rank, job = jobs[0]
            is_stored = job.rank == rank
            if is_stored and rank >= oldest_rank and (born_before is None or job.entered_at > born_before):
                return
            jobs.popleft()
            if is_stored:
                yield job
