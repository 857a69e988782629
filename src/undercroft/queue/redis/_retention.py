"""Deleting finished jobs of a queue that stands still; of one that moves, BullMQ deletes as its jobs finish."""

from __future__ import annotations

from undercroft.queue.redis._keys import QueueKeys
from undercroft.queue.redis._options import FIELD_PARKED, keep_of, read_options
from undercroft.queue.redis._pipe import Command
from undercroft.queue.redis._store import Store

_LOOKED_AT = 200
"""The oldest of each state, in one call."""


async def prune(store: Store, queue: str) -> int:
    """Delete the oldest finished jobs that are older than they want to be kept; return how many."""
    keys = store.keys(queue)
    await _forget_parked(store, keys)
    await _forget_cancelled(store, keys)
    count = 0
    for state, option in (("completed", "removeOnComplete"), ("failed", "removeOnFail")):
        count += await _prune_state(store, keys, state, option)
    return count


async def _prune_state(store: Store, keys: QueueKeys, state: str, option: str) -> int:
    flat = await store.command("ZRANGE", keys.key(state), 0, _LOOKED_AT - 1, "WITHSCORES")
    finished = {job_id.decode(): float(at_ms) for job_id, at_ms in zip(flat[::2], flat[1::2], strict=True)}
    options = await store.pipeline([("HGET", keys.job(job_id), "opts") for job_id in finished])
    now_ms = store.now_ms()
    commands: list[Command] = []
    for (job_id, at_ms), text in zip(finished.items(), options, strict=True):
        age_s = keep_of(getattr(read_options(text), option)).age_s
        if age_s is not None and at_ms < now_ms - age_s * 1000:
            commands.append(store.call("removeJob", [keys.job(job_id), keys.key("repeat")], (job_id, "0", keys.base)))
    return sum(1 for reply in await store.pipeline(commands) if reply == 1)


async def _forget_parked(store: Store, keys: QueueKeys) -> None:
    """Somebody who knows nothing of parking, such as Node, may have removed a parked job."""
    ids = [job_id.decode() for job_id in await store.command("HKEYS", keys.parked)]
    marks = await store.pipeline([("HEXISTS", keys.job(job_id), FIELD_PARKED) for job_id in ids])
    gone = [job_id for job_id, mark in zip(ids, marks, strict=True) if not mark]
    if gone:
        await store.command("HDEL", keys.parked, *gone)


async def _forget_cancelled(store: Store, keys: QueueKeys) -> None:
    """A job that was to be ended may have come to its end before it was told."""
    ids = [job_id.decode() for job_id in await store.command("SMEMBERS", keys.cancelled)]
    locks = await store.pipeline([("EXISTS", keys.lock(job_id)) for job_id in ids])
    over = [job_id for job_id, is_locked in zip(ids, locks, strict=True) if not is_locked]
    if over:
        await store.command("SREM", keys.cancelled, *over)
