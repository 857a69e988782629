"""What can be done to one stored job, beside running it.

Each operation reads where the job is and writes in one step: every move of a job changes its hash, so it is enough to
watch that. Where BullMQ has a script for the move, that runs inside the transaction.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from undercroft.queue._values import ClaimedJob, JobState
from undercroft.queue.redis._keys import QueueKeys
from undercroft.queue.redis._options import (
    CANCELLED,
    FIELD_CRASHES,
    FIELD_DUE,
    FIELD_ERROR,
    FIELD_PARKED,
    read_options,
)
from undercroft.queue.redis._pipe import Command
from undercroft.queue.redis._records import Fields, find_queue, mapping, place_commands, state_of
from undercroft.queue.redis._store import Read, Store

_PROMOTE = ("delayed", "wait", "paused", "meta", "prioritized", "active", "pc", "events", "marker")
_REPROCESS = ("wait", "meta", "active", "marker", "prioritized", "pc")
_PRIORITY = ("wait", "paused", "meta", "prioritized", "active", "pc", "marker")
_OF_RUNS = ("stc", "defa", "stacktrace", "progress", "pb", FIELD_ERROR, FIELD_CRASHES)
"""The fields that runs leave behind, and `reprocessJob` does not delete."""
_EVENTS_KEPT = 10_000
_REMOVED = 1


class _Found(NamedTuple):
    """A job as it is now; `read` sees nothing newer without the transaction being tried again."""

    read: Read
    keys: QueueKeys
    state: JobState
    fields: Fields


Plan = Callable[[_Found], Awaitable[Sequence[Command] | None]]


async def _change(store: Store, job_id: str, queue: str | None, plan: Plan) -> list[Any] | None:
    """Run what `plan` makes of a job; `None` when there is no such job, or nothing to do."""
    queue = queue if queue is not None else await find_queue(store, job_id)
    if queue is None:
        return None
    keys = store.keys(queue)

    async def look(read: Read) -> Sequence[Command] | None:
        fields = mapping(await read("HGETALL", keys.job(job_id)))
        if b"name" not in fields:
            return None
        places = [await read(*command) for command in place_commands(keys, job_id)]
        return await plan(_Found(read, keys, state_of(store, fields, places), fields))

    return await store.watch_and_run([keys.job(job_id)], look)


# --- Cancelling, retrying, moving ------------------------------------------------------------------------------------


async def cancel(store: Store, job_id: str, *, queue: str | None = None) -> bool:
    """See `Engine.cancel`. Doom is BullMQ's `defa`, which Node's workers know: they fail the job, too."""

    async def plan(job: _Found) -> Sequence[Command] | None:
        if job.state.is_final or b"defa" in job.fields:
            return None
        if job.state is JobState.ACTIVE:
            return [("SADD", job.keys.cancelled, job_id)]
        is_paused = await job.read("HEXISTS", job.keys.key("meta"), "paused")
        return _put_first(job.keys, job_id, prev=job.state, is_paused=bool(is_paused))

    return await _change(store, job_id, queue, plan) is not None


def _put_first(keys: QueueKeys, job_id: str, *, prev: JobState, is_paused: bool) -> list[Command]:
    """Return the commands that move a job from wherever it waits to the front of its queue, doomed."""
    job = keys.job(job_id)
    commands: list[Command] = [
        ("HSET", job, "defa", CANCELLED, "delay", 0),
        ("HDEL", job, FIELD_PARKED),
        ("HDEL", keys.parked, job_id),
        *[("LREM", key, 0, job_id) for key in keys.keys("wait", "paused")],
        *[("ZREM", key, job_id) for key in keys.keys("prioritized", "delayed", "waiting-children")],
        ("RPUSH", keys.key("wait"), job_id),  # workers take from the right, and `wait` before `prioritized`
    ]
    if prev is not JobState.WAITING:
        told = ("event", "waiting", "jobId", job_id, "prev", _nodes_name(prev))
        commands.append(("XADD", keys.key("events"), "MAXLEN", "~", _EVENTS_KEPT, "*", *told))
    return commands if is_paused else [*commands, ("ZADD", keys.key("marker"), 0, "0")]


def _nodes_name(state: JobState) -> str:
    return {JobState.BLOCKED: "waiting-children", JobState.PARKED: "delayed"}.get(state, state.value)


async def retry(store: Store, job_id: str, *, queue: str | None = None) -> bool:
    """See `Engine.retry`. The number of claims, from which tokens come, is not reset."""

    async def plan(job: _Found) -> Sequence[Command] | None:
        if not job.state.is_final:
            return None
        keys, key, state = job.keys, job.keys.job(job_id), job.state.value
        script_keys = [key, keys.key("events"), keys.key(state), *keys.keys(*_REPROCESS)]
        push = "RPUSH" if read_options(job.fields.get(b"opts")).lifo else "LPUSH"
        outcome = "failedReason" if job.state is JobState.FAILED else "returnvalue"
        return [
            *await _forgiven_children(job.read, key),
            ("HDEL", key, *_OF_RUNS),
            ("HSET", key, FIELD_DUE, store.now_ms()),
            store.call("reprocessJob", script_keys, (job_id, push, outcome, state, "1", "0")),
        ]

    return await _change(store, job_id, queue, plan) is not None


async def _forgiven_children(read: Read, job: str) -> list[Command]:
    """Children whose failure was the parent's become children that failed: else it could not be completed any more."""
    fatal = await read("ZRANGE", f"{job}:unsuccessful", 0, -1)
    if not fatal:
        return []
    commands: list[Command] = [("DEL", f"{job}:unsuccessful")]
    for child in fatal:
        reason = await read("HGET", child, "failedReason")
        commands.append(("HSET", f"{job}:failed", child, reason or b""))
    return commands


async def promote(store: Store, job_id: str, *, queue: str | None = None) -> bool:
    """See `Engine.promote`."""

    async def plan(job: _Found) -> Sequence[Command] | None:
        if job.state is not JobState.DELAYED:
            return None
        move = store.call("promote", job.keys.keys(*_PROMOTE), (job.keys.base, job_id))
        return [move, ("HSET", job.keys.job(job_id), FIELD_DUE, store.now_ms())]

    return await _change(store, job_id, queue, plan) is not None


async def reprioritise(store: Store, job_id: str, priority: int, *, queue: str | None = None) -> bool:
    """See `Engine.reprioritise`. Behind those of the new priority that wait already."""

    async def plan(job: _Found) -> Sequence[Command] | None:
        if job.state.is_final:
            return None
        if b"defa" in job.fields:  # it is first in line, and stays there
            return [("HSET", job.keys.job(job_id), "priority", priority)]
        return [store.call("changePriority", job.keys.keys(*_PRIORITY), (priority, job.keys.base, job_id, 0))]

    return await _change(store, job_id, queue, plan) is not None


async def remove(store: Store, job_id: str, *, queue: str | None = None) -> bool:
    """See `Engine.remove`. The next iteration of a Node scheduler stays: remove the scheduler."""

    async def plan(job: _Found) -> Sequence[Command] | None:
        return None if job.state is JobState.ACTIVE else remove_commands(store, job.keys, job_id)

    replies = await _change(store, job_id, queue, plan)
    return replies is not None and replies[0] == _REMOVED


def remove_commands(store: Store, keys: QueueKeys, job_id: str, *, with_children: bool = True) -> list[Command]:
    """Return the commands that delete a job that is not active; the first reply is 1 when it did."""
    call = store.call("removeJob", [keys.job(job_id), keys.key("repeat")], (job_id, int(with_children), keys.base))
    return [call, ("HDEL", keys.parked, job_id), ("SREM", keys.cancelled, job_id)]


# --- From within a run -----------------------------------------------------------------------------------------------


async def set_progress(store: Store, job: ClaimedJob, progress: bytes) -> bool:
    """See `Engine.set_progress`."""
    keys = store.keys(job.queue)
    key, lock = keys.job(job.id), keys.lock(job.id)

    async def plan(read: Read) -> Sequence[Command] | None:
        if await read("GET", lock) != job.lock.encode() or int(await read("HGET", key, "ats") or 0) != job.token:
            return None
        return [store.call("updateProgress", [key, keys.key("events"), keys.key("meta")], (job.id, progress))]

    return await store.watch_and_run([lock], plan) is not None


async def add_log(store: Store, job: ClaimedJob, line: str, *, keep: int) -> None:
    """See `Engine.add_log`."""
    key = store.keys(job.queue).job(job.id)
    await store.run("addLog", [key, f"{key}:logs"], (job.id, line, keep))


async def logs(store: Store, job_id: str, *, queue: str | None = None) -> list[str]:
    """See `Engine.logs`."""
    queue = queue if queue is not None else await find_queue(store, job_id)
    if queue is None:
        return []
    lines = await store.command("LRANGE", f"{store.keys(queue).job(job_id)}:logs", 0, -1)
    return [line.decode(errors="replace") for line in lines]
