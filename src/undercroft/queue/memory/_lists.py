"""What the memory engine shows: pages of jobs, counts and statistics."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import islice

from undercroft.queue._values import (
    Counts,
    JobFilter,
    JobPage,
    JobRecord,
    JobState,
    QueueStatistics,
    Span,
)
from undercroft.queue.memory._jobs import StoredJob
from undercroft.queue.memory._store import MemoryStore

_LOOKED_AT = 10_000  # by one call; a filter that matches little must not hold the event loop for long
_RECENT = 1000


def page_of(store: MemoryStore, wanted: JobFilter, *, limit: int, cursor: str | None) -> JobPage:
    """Return the next jobs that were asked for. A cursor is `<state>:<rank>` of the last job that was looked at."""
    found: list[JobRecord] = []
    last = cursor
    for looked, job in enumerate(_newest(store, wanted, cursor)):
        if len(found) == limit or looked == _LOOKED_AT:
            return JobPage(jobs=tuple(found), cursor=last)
        last = f"{job.state.value}:{job.rank}"
        if _matches(job, wanted):
            found.append(job.record())
    return JobPage(jobs=tuple(found), cursor=None)


def _newest(store: MemoryStore, wanted: JobFilter, cursor: str | None) -> Iterator[StoredJob]:
    queues = [*store.look(wanted.queue)]
    states = [*JobState] if wanted.state is None else [wanted.state]
    below = None
    if cursor is not None:
        state, _, rank = cursor.partition(":")
        states, below = states[states.index(JobState(state)) :], int(rank)
    for state in states:
        newest = [queue.states[state].newest(below=below) for queue in queues]
        yield from heapq.merge(*newest, key=lambda job: job.rank, reverse=True)
        below = None


def _matches(job: StoredJob, wanted: JobFilter) -> bool:
    new = job.new
    return (
        (wanted.name is None or new.name == wanted.name)
        and (wanted.tag is None or wanted.tag in new.tags)
        and (wanted.error_type is None or job.error_type == wanted.error_type)
        and (wanted.request_id is None or new.request_id == wanted.request_id)
        and (wanted.created_after is None or new.created_at >= wanted.created_after)
        and (wanted.created_before is None or new.created_at < wanted.created_before)
        and (wanted.text is None or _has_text(job, wanted.text.casefold()))
    )


def _has_text(job: StoredJob, text: str) -> bool:
    return text in job.new.data.decode(errors="replace").casefold() or text in (job.error or "").casefold()


def counts_of(store: MemoryStore, queue: str | None) -> Counts:
    """Count the jobs of one queue, or of all."""
    each = [found.counts() for found in store.look(queue)]
    return Counts(**{state.value: sum(getattr(counts, state.value) for counts in each) for state in JobState})


def statistics_of(store: MemoryStore, name: str) -> QueueStatistics:
    """Look through the waiting jobs and the last that finished."""
    for queue in store.look(name):
        waiting = (job.due_at for job in queue.states[JobState.WAITING].oldest())
        finished = heapq.merge(
            queue.states[JobState.COMPLETED].newest(),
            queue.states[JobState.FAILED].newest(),
            key=lambda job: job.rank,
            reverse=True,
        )
        return QueueStatistics(
            oldest_waiting_at=min(waiting, default=None),
            minutes=queue.minutes(store.clock.time()),
            recent=tuple(_span(job) for job in islice(finished, _RECENT)),
        )
    return QueueStatistics(oldest_waiting_at=None, minutes=(), recent=())


def _span(job: StoredJob) -> Span:
    finished_at = job.finished_at or 0.0
    return Span(
        due_at=job.due_at,
        started_at=job.started_at or finished_at,
        finished_at=finished_at,
        is_failed=job.state is JobState.FAILED,
    )
