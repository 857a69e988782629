"""How the memory engine adds jobs: all or none, each id once, each deduplication key to one job."""

from __future__ import annotations

from collections.abc import Sequence

from undercroft.queue._values import Added, JobState, NewJob
from undercroft.queue.memory._jobs import StoredJob
from undercroft.queue.memory._store import MemoryStore


def add_jobs(store: MemoryStore, jobs: Sequence[NewJob]) -> list[Added]:
    """Store jobs. What stands for a job already is found out before it; the children of one that is not stored are
    not stored either, so that a flow which is added twice is there once.

    Raises:
        ValueError: A parent is not among the jobs before its child; nothing is stored.
    """
    parent_ids = _parents(jobs)
    parents: list[StoredJob] = []
    added: list[Added] = []
    new_ids: set[tuple[str, str]] = set()
    for new in jobs:
        stands = _stands_for(store, new, new_ids)
        if stands is None:
            is_parent = new.has_children or (new.queue, new.id) in parent_ids
            job = store.insert(new, is_parent=is_parent)
            new_ids.add((new.queue, new.id))
            if is_parent:
                parents.append(job)
        added.append(Added(stands or new.id, stands is None))
    for parent in parents:
        store.all_born(parent)
    return added


def _parents(jobs: Sequence[NewJob]) -> set[tuple[str, str]]:
    seen: set[tuple[str, str]] = set()
    found: set[tuple[str, str]] = set()
    for new in jobs:
        if new.parent_id is not None:
            parent = (new.parent_queue or new.queue, new.parent_id)
            if parent not in seen:
                raise ValueError(f"job {new.id!r}: its parent {new.parent_id!r} is not among the jobs before it")
            found.add(parent)
        seen.add((new.queue, new.id))
    return found


def _stands_for(store: MemoryStore, new: NewJob, new_ids: set[tuple[str, str]]) -> str | None:
    """Return the id of the job that stands for a new one; `None`: it is to be stored, and has its key by now."""
    if new.id in store.queue(new.queue).jobs:
        return new.id
    if new.parent_id is not None and (new.parent_queue or new.queue, new.parent_id) not in new_ids:
        return new.id
    return _held_by_another(store, new)


def _held_by_another(store: MemoryStore, new: NewJob) -> str | None:
    """BullMQ's rules (`deduplicateJob` in its `addStandardJob` script, 5.x)."""
    if (rule := new.deduplication) is None:
        return None
    queue, now = store.queue(new.queue), store.clock.time()
    store.put_due(queue)
    held = queue.holder(rule.key, now)
    if held is None:
        queue.hold(rule, new.id, now)
        return None
    holder = queue.jobs.get(held.job_id)
    if rule.replace:
        if holder is None or holder.state is not JobState.DELAYED:
            return held.job_id
        store.delete(holder)
        queue.hold(rule, new.id, now)
        if rule.ttl_s is not None and not rule.extend:
            queue.keys[rule.key].until = held.until
        store.events.tell("deduplicated", queue.name, new.id, deduplicationId=rule.key, deduplicatedJobId=held.job_id)
        return None
    if rule.extend and rule.ttl_s is not None:
        queue.hold(rule, held.job_id, now)
    store.events.tell("deduplicated", queue.name, held.job_id, deduplicationId=rule.key, deduplicatedJobId=new.id)
    return held.job_id
