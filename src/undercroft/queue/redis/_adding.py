"""Adding jobs: which of BullMQ's scripts stores a job, and with what arguments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from undercroft._core.ids import is_id
from undercroft.queue._errors import QueueUnavailableError
from undercroft.queue._values import Added, NewJob, OnChildFailure
from undercroft.queue.redis._flows import children_commands
from undercroft.queue.redis._options import options_of
from undercroft.queue.redis._pipe import Command, Lost, Refused
from undercroft.queue.redis._scripts import ADDING, CONFLICT
from undercroft.queue.redis._store import Store

_pack = msgspec.msgpack.Encoder().encode
_MANY = 64
"""Jobs of one call from which on they are sent as they are made."""
_SECOND_LEVEL = 0x100000000
"""What one step of priority is in the scores of `prioritized`."""


async def add_jobs(store: Store, jobs: Sequence[NewJob]) -> list[Added]:
    """Store all jobs or none; see `Engine.add`. One job costs one round trip, shared with whoever adds meanwhile."""
    if len(jobs) == 1 and jobs[0].parent_id is None:
        return [await _add_one(store, jobs[0])]
    if not jobs:
        return []
    if any(job.has_children for job in jobs):
        return await _add_flows(store, jobs)
    if len(jobs) >= _MANY and all(is_id(job.id) for job in jobs) and not any(map(_jumps_its_priority, jobs)):
        return await _add_many(store, jobs)
    commands = [command for job in jobs for command in add_commands(store, job)]
    return results_of(jobs, await store.pipeline(commands, atomic=True))


class _Many:
    """The commands that store many jobs, made as they are sent."""

    def __init__(self, store: Store, jobs: Sequence[NewJob]) -> None:
        self._store = store
        self._jobs = jobs

    def __iter__(self) -> Iterator[Command]:
        yield (b"EXISTS", *[self._store.keys(job.queue).base_bytes + job.id.encode() for job in self._jobs])
        for job in self._jobs:
            yield _script_call(self._store, job)


async def _add_many(store: Store, jobs: Sequence[NewJob]) -> list[Added]:
    """Store jobs whose ids were made for them: all are new, or the whole call is a repeat."""
    # One question for all of them; asked of each, it would cost a tenth of the storing.
    existed, *replies = await store.transaction(_Many(store, jobs), scripts=ADDING)
    seen: set[tuple[str, str]] = set()
    results = []
    for job, reply in zip(jobs, replies, strict=True):
        results.append(_added(job, existed or _place_of(job) in seen, reply))
        seen.add(_place_of(job))
    return results


def add_commands(store: Store, job: NewJob) -> list[Command]:
    """Return the commands that store a job; in a transaction, `results_of` reads their replies."""
    keys = store.keys(job.queue)
    commands: list[Command] = [(b"EXISTS", keys.base_bytes + job.id.encode()), _script_call(store, job)]
    if _jumps_its_priority(job):
        commands.append((b"ZADD", keys.key("prioritized"), b"XX", job.priority * _SECOND_LEVEL, job.id))
    return commands


async def add_with_entry(store: Store, job: NewJob, *, key: str, version: int, entry: bytes) -> bool | None:
    """Write an entry of the ledger, and store a job, in one step; see `Engine.save_entry`.

    `None`: the job is one that more than one script has to do with, and nothing was done.
    """
    if job.has_children or job.parent_id is not None or _jumps_its_priority(job):
        return None
    _, sha, count, *rest = _script_call(store, job)
    keys = [*rest[:count], store.keys(job.queue).ledger]
    reply = await store.run(store.scripts.with_entry[sha], keys, [*rest[count:], key, version, entry])
    if reply == CONFLICT:
        return False
    _added(job, 0, reply)
    return True


def results_of(jobs: Sequence[NewJob], replies: Sequence[Any]) -> list[Added]:
    """Read the replies to the `add_commands` of these jobs.

    Raises:
        QueueUnavailableError: A job could not be stored; BullMQ's scripts say why by a number.
    """
    results = []
    place = 0
    for job in jobs:
        results.append(_added(job, replies[place], replies[place + 1]))
        place += 3 if _jumps_its_priority(job) else 2
    return results


async def _add_one(store: Store, job: NewJob) -> Added:
    if _jumps_its_priority(job):
        replies = await store.pipeline(add_commands(store, job), atomic=True)
        return results_of([job], replies)[0]
    pipe = await store.pipe()
    exists, stores = add_commands(store, job)
    # Neighbours in one write: the server runs them in a row. A script cannot tell a repeat from a first time.
    before = pipe.request(exists)
    reply = await pipe.request(stores)
    if reply.__class__ is Refused or reply.__class__ is Lost:
        reply = await store.again(stores, reply)
    return _added(job, before.result() if before.done() else 0, reply)


def _added(job: NewJob, existed: Any, reply: Any) -> Added:
    if isinstance(reply, int):
        reason = {-5: "its parent is gone", -7: "it has another parent already"}.get(reply, f"BullMQ says {reply}")
        raise QueueUnavailableError(f"job {job.id} of queue {job.queue!r} cannot be stored: {reason}")
    stored_id = reply.decode()
    return Added(stored_id, stored_id == job.id and existed == 0)


def _script_call(store: Store, job: NewJob) -> Command:
    keys = store.keys(job.queue)
    created_ms = int(job.created_at * 1000)
    now_ms = store.now_ms()
    due_ms = int(job.due_at * 1000)
    # BullMQ counts a delay from the timestamp. What is due already waits, however long ago it was made.
    delay_ms = max(0, due_ms - created_ms) if due_ms > now_ms else 0
    options = options_of(job, created_ms=created_ms, delay_ms=delay_ms)
    extra: tuple[int, ...] = (created_ms,)
    if job.has_children:
        name, script_keys, extra = "addParentJob", keys.add_parent, ()
    elif delay_ms:
        name, script_keys = "addDelayedJob", keys.add_delayed
    elif job.priority:
        name, script_keys = "addPrioritizedJob", keys.add_prioritized
    else:
        name, script_keys = "addStandardJob", keys.add_standard
    return store.call(name, script_keys, (_pack(_arguments(store, job, created_ms)), job.data, _pack(options), *extra))


def _arguments(store: Store, job: NewJob, created_ms: int) -> list[Any]:
    keys = store.keys(job.queue)
    holds = None if job.deduplication is None else keys.deduplication(job.deduplication.key)
    if job.parent_id is None:
        return [keys.base, job.id, job.name, created_ms, None, None, None, None, holds]
    parent_queue = job.parent_queue or job.queue
    parent_keys = store.keys(parent_queue)
    parent_key = parent_keys.job(job.parent_id)
    on_failure = "fpof" if job.on_child_failure is OnChildFailure.FAIL else "idof"
    parent = {"id": job.parent_id, "queueKey": parent_keys.base[:-1], on_failure: True}
    return [
        keys.base,
        job.id,
        job.name,
        created_ms,
        parent_key,
        f"{parent_key}:dependencies",
        parent,
        None,
        holds,
    ]


def _jumps_its_priority(job: NewJob) -> bool:
    """BullMQ has `lifo` for jobs of priority 0 only; the others are put before their equals as a released job is."""
    return job.lifo and job.priority > 0


# --- Flows -----------------------------------------------------------------------------------------------------------


async def _add_flows(store: Store, jobs: Sequence[NewJob]) -> list[Added]:
    """Store what is not there yet.

    BullMQ would make a job that exists the child of a new parent, which then waits for it for ever if it has failed
    already; and what a repeat of the call adds once more could have run by now.
    """
    stands = await _what_stands(store, jobs)
    below = set(stands)
    places = list(range(len(jobs)))
    for place in places:  # a job comes after its parent
        if _parent_of(jobs[place]) in below:
            below.add(_place_of(jobs[place]))
    new = [place for place in places if _place_of(jobs[place]) not in below]
    parents = {_parent_of(jobs[place]) for place in new}
    adding = [
        job if not job.has_children or _place_of(job) in parents else msgspec.structs.replace(job, has_children=False)
        for job in (jobs[place] for place in new)
    ]
    stored = {_place_of(job) for job in adding}
    families = [job for job in jobs if _parent_of(job) in stored]
    commands = [command for job in adding for command in add_commands(store, job)]
    replies = await store.pipeline([*commands, *children_commands(store, families)], atomic=True)
    results = dict(zip(new, results_of(adding, replies), strict=True))
    return [results.get(place) or Added(stands.get(_place_of(jobs[place]), jobs[place].id), False) for place in places]


async def _what_stands(store: Store, jobs: Sequence[NewJob]) -> dict[tuple[str, str], str]:
    """Return queue and id of the jobs that need not be stored, with the id of the one that stands for each."""
    commands: list[Command] = []
    for job in jobs:
        keys, held = store.keys(job.queue), job.deduplication
        commands.append((b"EXISTS", keys.job(job.id)))
        commands.append((b"GET", keys.deduplication("" if held is None else held.key)))
    replies = iter(await store.pipeline(commands))
    stands: dict[tuple[str, str], str] = {}
    for job, (exists, holder) in zip(jobs, zip(replies, replies, strict=True), strict=True):
        if exists:
            stands[_place_of(job)] = job.id
        elif holder is not None and job.deduplication is not None and not job.deduplication.replace:
            stands[_place_of(job)] = holder.decode()
    return stands


def _place_of(job: NewJob) -> tuple[str, str]:
    return job.queue, job.id


def _parent_of(job: NewJob) -> tuple[str, str] | None:
    return None if job.parent_id is None else (job.parent_queue or job.queue, job.parent_id)
