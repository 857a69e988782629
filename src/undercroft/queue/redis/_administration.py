"""What can be done to a whole queue: its settings, draining, cleaning, deleting it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from undercroft.queue._errors import QueueInUseError
from undercroft.queue._values import JobFilter, JobState, QueueSettings, RateLimit
from undercroft.queue.redis._keys import QueueKeys
from undercroft.queue.redis._listing import list_jobs
from undercroft.queue.redis._operations import remove, remove_commands
from undercroft.queue.redis._pipe import Command
from undercroft.queue.redis._store import Store

_LIMITS = ("concurrency", "max", "duration")
_DRAIN = ("wait", "paused", "delayed", "prioritized", "repeat")
_LINES = ("wait", "paused", "prioritized")
_FOREVER = "9999999999999"
"""No timestamp is later, in the order of texts, by which BullMQ compares them."""
_PAGE = 200
_AT_ONCE = 1000
_IN_USE = -2


# --- Settings --------------------------------------------------------------------------------------------------------


async def settings(store: Store, queue: str) -> QueueSettings:
    """See `Engine.settings`. They are BullMQ's own, in its hash `meta`."""
    paused, concurrency, most, duration = await store.command(
        "HMGET", store.keys(queue).key("meta"), "paused", *_LIMITS
    )
    rate = RateLimit(max=int(most), per_s=int(duration) / 1000) if most and duration else None
    return QueueSettings(is_paused=paused is not None, max_active=int(concurrency) if concurrency else None, rate=rate)


async def configure(store: Store, queue: str, settings: QueueSettings) -> None:
    """See `Engine.configure`. Workers that sleep are woken."""
    keys = store.keys(queue)
    was_paused = await store.command("HEXISTS", keys.key("meta"), "paused")
    values = {
        "concurrency": settings.max_active,
        "max": settings.rate.max if settings.rate else None,
        "duration": max(1, int(settings.rate.per_s * 1000)) if settings.rate else None,
    }
    given = [word for name, value in values.items() if value is not None for word in (name, value)]
    gone = [name for name, value in values.items() if value is None]
    commands: list[Command] = [("HSET", keys.key("meta"), *given)] if given else []
    commands += [("HDEL", keys.key("meta"), *gone)] if gone else []
    is_news = bool(was_paused) != settings.is_paused
    commands.append(_pause(store, keys, settings.is_paused, is_told=is_news))
    await store.pipeline(commands, atomic=True)


def _pause(store: Store, keys: QueueKeys, is_paused: bool, *, is_told: bool) -> Command:
    """Return the call of `pause`, which also sets or takes the marker that workers sleep on."""
    source, target = ("wait", "paused") if is_paused else ("paused", "wait")
    script_keys = keys.keys(source, target, "meta", "prioritized", "events", "delayed", "marker")
    return store.call("pause", script_keys, ("paused" if is_paused else "resumed", int(is_told)))


# --- Deleting jobs ---------------------------------------------------------------------------------------------------


async def drain(store: Store, queue: str, *, delayed: bool) -> int:
    """See `Engine.drain`. The next iterations of Node's schedulers stay. Parked jobs go one by one, afterwards."""
    keys = store.keys(queue)
    if await store.command("EXISTS", keys.key("repeat")):
        # BullMQ's own script takes the wrong ones out of the list when it has to leave one of a scheduler there.
        structures = (*_LINES, *(("delayed",) if delayed else ()))
        commands = [_clean(store, keys, name, _FOREVER, 0) for name in structures]
        count = sum(len(ids) for ids in await store.pipeline(commands, atomic=True))
    else:
        count = await _drain(store, keys, delayed=delayed)
    states = [JobState.WAITING, JobState.PARKED]  # what is left of them is in `delayed`
    return count + sum([len(await _remove_all(store, queue, state, before=None, limit=None)) for state in states])


async def _drain(store: Store, keys: QueueKeys, *, delayed: bool) -> int:
    sizes: list[Command] = [
        ("LLEN", keys.key("wait")),
        ("LLEN", keys.key("paused")),
        ("ZCARD", keys.key("prioritized")),
    ]
    sizes += [("ZCARD", keys.key("delayed"))] if delayed else []
    call = store.call("drain", keys.keys(*_DRAIN), (keys.base, int(delayed)))
    replies = await store.pipeline([*sizes, call, *sizes], atomic=True)
    return int(sum(replies[: len(sizes)]) - sum(replies[len(sizes) + 1 :]))


async def clean(store: Store, queue: str, state: JobState, *, before: float, limit: int) -> list[str]:
    """See `Engine.clean`. Finished jobs go in one step; the others one by one, since BullMQ's script would leave
    the children of some and mistake parked ones for delayed; of those it counts when they were added.

    Raises:
        ValueError: The state is `active`.
    """
    if state is JobState.ACTIVE:
        raise ValueError("active jobs cannot be cleaned: cancel them, or wait for their end")
    if limit <= 0:
        return []
    if not state.is_final:
        return await _remove_all(store, queue, state, before=before, limit=limit)
    last_ms = -int(-before * 1000 // 1) - 1  # before, not at
    ids = await store.command(*_clean(store, store.keys(queue), state.value, str(last_ms), limit))
    return [job_id.decode() for job_id in ids]


def _clean(store: Store, keys: QueueKeys, structure: str, last_ms: str, limit: int) -> Command:
    script_keys = keys.keys(structure, "events", "repeat")
    return store.call("cleanJobsInSet", script_keys, (keys.base, last_ms, limit, structure))


async def _remove_all(
    store: Store, queue: str, state: JobState, *, before: float | None, limit: int | None
) -> list[str]:
    """Delete the jobs of a state, oldest first, and return their ids."""
    wanted = JobFilter(queue=queue, state=state, created_before=before)
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = await list_jobs(store, wanted, limit=_PAGE, cursor=cursor)
        found += [job.id for job in page.jobs]
        cursor = page.cursor
        if cursor is None:
            break
    oldest = list(dict.fromkeys(reversed(found)))[:limit]
    return [job_id for job_id in oldest if await remove(store, job_id, queue=queue)]


# --- Deleting a queue ------------------------------------------------------------------------------------------------


async def obliterate(store: Store, queue: str, *, force: bool) -> None:
    """See `Engine.obliterate`. The first thousand jobs go in one step with the check for active ones."""
    keys = store.keys(queue)
    was_paused = await store.command("HEXISTS", keys.key("meta"), "paused")
    step = store.call("obliterate", keys.keys("meta", ""), (_AT_ONCE, "force" if force else ""))
    pause = _pause(store, keys, True, is_told=False)
    left = (await store.pipeline([pause, step], atomic=True))[1]
    if left == _IN_USE:
        if not was_paused:
            await store.command(*_pause(store, keys, False, is_told=False))
        raise QueueInUseError(f"queue {queue!r} has active jobs", hint="pause it and wait, or give force=True")
    await _obliterate_parents(store, keys)
    while left == 1:
        # Paused again each time: a producer that adds meanwhile makes the queue anew.
        left = (await store.pipeline([pause, step], atomic=True))[1]
    await store.command("DEL", keys.parked, keys.cancelled, keys.ledger, *keys.keys("limiter", "repeat", "meta"))


async def _obliterate_parents(store: Store, keys: QueueKeys) -> None:
    """Delete the parents that wait for children in other queues, which BullMQ's script leaves."""
    while ids := await store.command("ZRANGE", keys.key("waiting-children"), 0, _AT_ONCE - 1):
        commands: list[Command] = []
        for job_id in ids:
            commands += remove_commands(store, keys, job_id.decode(), with_children=False)
        replies: Sequence[Any] = await store.pipeline(commands, atomic=True)
        if not any(reply == 1 for reply in replies[::3]):
            return
