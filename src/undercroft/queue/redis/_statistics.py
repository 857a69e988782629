"""How fast a queue is: BullMQ's counts by minute, the jobs that finished last, and the oldest that waits.

BullMQ counts for each of `completed` and `failed` in the hash `metrics:<state>` (`count`: of all time; `prevTS`: when
the current minute's first job ended; `prevCount`: `count` before it) and the list `metrics:<state>:data`, the counts of
the minutes before that one, newest first. Jobs that Node's workers finish are among them if those are told to count.
"""

from __future__ import annotations

import heapq
from typing import Any

from undercroft.queue._values import Minute, QueueStatistics, Span
from undercroft.queue.redis._claims import due_ms
from undercroft.queue.redis._keys import QueueKeys
from undercroft.queue.redis._records import due_bound, mapping, with_scores
from undercroft.queue.redis._store import Store

_MINUTES = 60
_MINUTE_MS = 60_000
_RECENT = 1000
_LEVEL = 0x100000000
"""What one step of priority is in the scores of `prioritized`."""
_LEVELS = 20
"""How many priorities are looked at."""
_OF_A_SPAN = (b"opts", b"timestamp", b"ucDue", b"processedOn", b"finishedOn")


async def statistics(store: Store, queue: str) -> QueueStatistics:
    """See `Engine.statistics`. Not one step: the parts may be of slightly different instants."""
    keys = store.keys(queue)
    return QueueStatistics(
        oldest_waiting_at=await _oldest_waiting(store, keys),
        minutes=await _minutes(store, keys),
        recent=await _recent(store, keys),
    )


# --- The oldest ------------------------------------------------------------------------------------------------------


async def _oldest_waiting(store: Store, keys: QueueKeys) -> float | None:
    """Return since when the oldest of those could run that are next in line in each priority, or due."""
    due = ("ZRANGEBYSCORE", keys.key("delayed"), "-inf", due_bound(store.now_ms()), "LIMIT", 0, 1)
    lists = await store.pipeline([("LRANGE", keys.key("wait"), -2, -1), ("LRANGE", keys.key("paused"), -2, -1), due])
    ids: list[bytes] = [job_id for one in lists for job_id in one] + await _first_of_priorities(store, keys)
    replies = await store.pipeline([("HMGET", keys.base_bytes + job_id, *_OF_A_SPAN) for job_id in ids])
    return min((due_ms(fields) / 1000 for reply in replies if (fields := _fields(reply))), default=None)


async def _first_of_priorities(store: Store, keys: QueueKeys) -> list[bytes]:
    ids: list[bytes] = []
    low: int | str = "-inf"
    for _ in range(_LEVELS):
        found = with_scores(
            await store.command("ZRANGEBYSCORE", keys.key("prioritized"), low, "+inf", "WITHSCORES", "LIMIT", 0, 1)
        )
        if not found:
            break
        ids.append(found[0][0])
        low = (int(found[0][1]) // _LEVEL + 1) * _LEVEL
    return ids


def _fields(reply: list[Any]) -> dict[bytes, bytes]:
    fields = dict(zip(_OF_A_SPAN, reply, strict=True))
    return {name: value for name, value in fields.items() if value is not None} if fields[b"timestamp"] else {}


# --- Minutes ---------------------------------------------------------------------------------------------------------


async def _minutes(store: Store, keys: QueueKeys) -> tuple[Minute, ...]:
    completed = await _counted(store, keys.key("metrics:completed"))
    failed = await _counted(store, keys.key("metrics:failed"))
    oldest = store.now_ms() // _MINUTE_MS - _MINUTES
    numbers = sorted((number for number in completed.keys() | failed.keys() if number > oldest), reverse=True)
    return tuple(
        Minute(at=number * _MINUTE_MS / 1000, completed=completed.get(number, 0), failed=failed.get(number, 0))
        for number in numbers
    )


async def _counted(store: Store, key: str) -> dict[int, int]:
    """Return how many ended by minute since the epoch."""
    meta, points = await store.pipeline([("HGETALL", key), ("LRANGE", f"{key}:data", 0, _MINUTES - 1)], atomic=True)
    fields = mapping(meta)
    if b"prevTS" not in fields:
        return {}
    current = int(fields[b"prevTS"]) // _MINUTE_MS
    counted = {current: int(fields.get(b"count", 0)) - int(fields.get(b"prevCount", 0))}
    counted.update({current - 1 - age: int(point) for age, point in enumerate(points)})
    return {number: count for number, count in counted.items() if count}


# --- The last that finished ------------------------------------------------------------------------------------------


async def _recent(store: Store, keys: QueueKeys) -> tuple[Span, ...]:
    completed, failed = await store.pipeline(
        [("ZREVRANGE", keys.key(state), 0, _RECENT - 1, "WITHSCORES") for state in ("completed", "failed")]
    )
    ends = [(score, job_id, False) for job_id, score in with_scores(completed)]
    ends += [(score, job_id, True) for job_id, score in with_scores(failed)]
    last = heapq.nlargest(_RECENT, ends, key=lambda end: end[0])
    replies = await store.pipeline([("HMGET", keys.base_bytes + job_id, *_OF_A_SPAN) for _, job_id, _ in last])
    return tuple(
        _span(fields, score, is_failed)
        for (score, _, is_failed), reply in zip(last, replies, strict=True)
        if (fields := _fields(reply))
    )


def _span(fields: dict[bytes, bytes], ended_ms: float, is_failed: bool) -> Span:
    started_ms = int(fields.get(b"processedOn", ended_ms))
    return Span(
        due_at=due_ms(fields) / 1000,
        started_at=started_ms / 1000,
        finished_at=int(fields.get(b"finishedOn", ended_ms)) / 1000,
        is_failed=is_failed,
    )
