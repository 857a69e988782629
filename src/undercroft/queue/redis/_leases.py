"""Who is alive, who holds what, and what is taken back from whom.

A worker is alive while its key `<prefix>:uc:worker:<id>` exists; each beat renews it for five seconds. Its jobs are its
own while their locks carry its tokens. Locks of others, such as Node's workers, count until they expire.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from undercroft.queue._values import Beat, ClaimedJob, Rescued
from undercroft.queue.redis._claiming import release_command
from undercroft.queue.redis._claims import Claims, worker_of
from undercroft.queue.redis._keys import QueueKeys
from undercroft.queue.redis._operations import cancel
from undercroft.queue.redis._options import FIELD_CRASHES, FIELD_DUE, STALLED
from undercroft.queue.redis._pipe import Command
from undercroft.queue.redis._putting_aside import put_aside_call
from undercroft.queue.redis._store import Read, Store

ALIVE_MS = 5_000
_CHECK_MS = 1_000
"""For how long after ours no other stalled check of the queue runs, Node's neither."""
_pack = msgspec.msgpack.Encoder().encode


# --- Beating ---------------------------------------------------------------------------------------------------------


async def beat(store: Store, claims: Claims, worker_id: str, jobs: Sequence[ClaimedJob], *, lease_s: float) -> Beat:
    """See `Engine.beat`. One round trip. `claims` may belong to another thread."""
    by_queue: dict[str, list[ClaimedJob]] = {}
    for job in jobs:
        by_queue.setdefault(job.queue, []).append(job)
    commands: list[Command] = [alive_command(store, worker_id)]
    for queue, held in by_queue.items():
        keys = store.keys(queue)
        locks, ids = _pack([job.lock for job in held]), _pack([job.id for job in held])
        commands.append(store.call("extendLocks", [keys.key("stalled")], (keys.base, locks, ids, int(lease_s * 1000))))
        commands.append(("SMISMEMBER", keys.cancelled, *[job.id for job in held]))
    replies = iter((await store.pipeline(commands))[1:])
    lost: list[ClaimedJob] = []
    cancelled: list[ClaimedJob] = []
    for held, (failed, wanted) in zip(by_queue.values(), zip(replies, replies, strict=True), strict=True):
        gone = {job_id.decode() for job_id in failed}
        lost += [job for job in held if job.id in gone or claims.is_stale(job)]
        cancelled += [job for job, is_wanted in zip(held, wanted, strict=True) if is_wanted and job.id not in gone]
    for job in lost:
        if not claims.is_stale(job):
            claims.forget(job.lock)
    return Beat(lost=tuple(lost), cancelled=tuple(cancelled))


def alive_command(store: Store, worker_id: str) -> Command:
    """Return the command that says that a worker lives."""
    return ("SET", store.worker_key(worker_id), "1", "PX", ALIVE_MS)


async def release(store: Store, claims: Claims, jobs: Sequence[ClaimedJob]) -> None:
    """See `Engine.release`."""
    current = [job for job in jobs if not claims.is_stale(job)]
    commands: list[Command] = []
    for job in reversed(current):  # each goes before all others
        keys = store.keys(job.queue)
        commands.append(release_command(store, keys, job.id, job.lock))
        if job.priority:
            commands.append(("ZADD", keys.key("marker"), 0, "0"))  # which the script forgets for these
    await store.pipeline(commands)
    for job in current:
        claims.forget(job.lock)
    await doom_cancelled(store, [(job.queue, job.id) for job in current])


async def doom_cancelled(store: Store, jobs: Sequence[tuple[str, str]]) -> None:
    """Of jobs that came back from a worker, given by queue and id, doom those that it was to end."""
    replies = await store.pipeline([("SREM", store.keys(queue).cancelled, job_id) for queue, job_id in jobs])
    for (queue, job_id), was_cancelled in zip(jobs, replies, strict=True):
        if was_cancelled:
            await cancel(store, job_id, queue=queue)


# --- Rescuing --------------------------------------------------------------------------------------------------------


async def rescue(store: Store, queue: str, *, max_crashes: int, again_after_s: float) -> list[Rescued]:
    """Take back what dead workers hold in one queue, and what nobody has a lock of; see `Engine.rescue`."""
    keys = store.keys(queue)
    seen = await _find(store, keys, store.command)
    if not seen:
        return []
    found: dict[str, str | None] = {}

    async def plan(read: Read) -> Sequence[Command] | None:
        found.clear()
        found.update((job_id, lock) for job_id, lock in (await _find(store, keys, read)).items() if job_id in seen)
        before = {job_id: await read("HMGET", keys.job(job_id), "stc", "defa") for job_id in found}
        if not found:
            return None
        return _rescue_commands(store, keys, found, before, max_crashes=max_crashes, again_after_s=again_after_s)

    # A worker that reports in between keeps its jobs, and a job that moves by itself is looked at once more.
    workers = {worker_of(lock) for lock in seen.values() if lock is not None}
    signs = [store.worker_key(worker) for worker in workers if worker is not None]
    replies = await store.watch_and_run([*signs, *map(keys.job, seen)], plan)
    if replies is None:
        return []
    moved = [job_id.decode() for job_id in next(reply for reply in replies if isinstance(reply, list))]
    rescued = await _describe(store, keys, moved, found)
    await doom_cancelled(store, [(queue, job_id) for job_id in moved])
    return rescued


async def _locks(keys: QueueKeys, read: Read) -> dict[str, str | None]:
    active = [job_id.decode() for job_id in await read("LRANGE", keys.key("active"), 0, -1)]
    if not active:
        return {}
    locks = await read("MGET", *[keys.lock(job_id) for job_id in active])
    return {job_id: lock and lock.decode() for job_id, lock in zip(active, locks, strict=True)}


async def _find(store: Store, keys: QueueKeys, read: Read) -> dict[str, str | None]:
    """Return the active jobs to take back, with the lock that must be broken for it."""
    locks = await _locks(keys, read)
    workers = {job_id: worker_of(lock) for job_id, lock in locks.items() if lock is not None}
    ours = sorted({worker for worker in workers.values() if worker is not None})
    signs = await read("MGET", *[store.worker_key(worker) for worker in ours]) if ours else []
    dead = {worker for worker, sign in zip(ours, signs, strict=True) if not sign}
    return {job_id: lock for job_id, lock in locks.items() if lock is None or workers[job_id] in dead}


def _rescue_commands(
    store: Store,
    keys: QueueKeys,
    found: dict[str, str | None],
    before: dict[str, list[bytes | None]],
    *,
    max_crashes: int,
    again_after_s: float,
) -> list[Command]:
    now = store.now_ms()
    commands: list[Command] = [
        store.call("releaseLock", [keys.lock(job_id)], (lock,)) for job_id, lock in found.items() if lock is not None
    ]
    # BullMQ takes back what it saw active at its last check and what has no lock now. That check is brought forward.
    commands.append(("SADD", keys.key("stalled"), *found))
    commands.append(("DEL", keys.key("stalled-check")))
    args = (max_crashes - 1, keys.base, now, _CHECK_MS)
    commands.append(store.call("moveStalledJobsToWait", keys.stalled, args))
    due_ms = now + int(again_after_s * 1000)
    for job_id in found:
        counted, doom = before[job_id]
        crashes = int(counted or 0) + 1
        if doom is not None:
            commands.append(("HSET", keys.job(job_id), "defa", doom))  # the first reason not to run it stays
        elif 2 <= crashes < max_crashes:
            fields = (FIELD_CRASHES, str(crashes), FIELD_DUE, str(due_ms))
            commands.append(put_aside_call(store, keys, job_id, due_ms, fields, if_field=("stc", str(crashes))))
    return commands


async def _describe(store: Store, keys: QueueKeys, moved: Sequence[str], found: dict[str, str | None]) -> list[Rescued]:
    replies: list[Any] = await store.pipeline([("HMGET", keys.job(job_id), "name", "pb", "defa") for job_id in moved])
    rescued = []
    for job_id, (name, worker, doom) in zip(moved, replies, strict=True):
        lock = found.get(job_id)
        rescued.append(
            Rescued(
                id=job_id,
                name=(name or b"").decode(),
                queue=keys.queue,
                worker_id=(worker_of(lock) if lock else None) or (worker or b"").decode(),
                is_quarantined=doom == STALLED.encode(),
            )
        )
    return rescued
