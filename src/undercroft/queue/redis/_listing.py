"""Pages of jobs, by state, newest first.

A state is read from one or more structures of BullMQ's, one after the other. A cursor names the last job that was
looked at, its score and its place. While that job stays where it is the next page goes on right behind it, whatever is
added or taken meanwhile. When it has left, the page goes on by the score, or by the place in a list: then a job may be
seen twice, but none is passed over that stayed where it was.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import msgspec

from undercroft._core.errors import InvalidDataError
from undercroft.queue._values import JobFilter, JobPage, JobRecord, JobState
from undercroft.queue.redis._keys import QueueKeys
from undercroft.queue.redis._records import (
    Fields,
    mapping,
    queues,
    record_of,
    state_of_delayed,
    with_scores,
)
from undercroft.queue.redis._store import Store

_CHUNK = 200
_LOOKED_AT = 5000
"""By one call; a filter that matches little must not keep Redis or the event loop for long."""
_SOURCES: dict[JobState, tuple[str, ...]] = {
    JobState.WAITING: ("prioritized", "wait", "paused", "delayed"),
    JobState.DELAYED: ("delayed",),
    JobState.BLOCKED: ("waiting-children",),
    JobState.ACTIVE: ("active",),
    JobState.COMPLETED: ("completed",),
    JobState.FAILED: ("failed",),
    JobState.PARKED: ("delayed", "prioritized", "wait"),
}
_LISTS = frozenset(("wait", "paused", "active"))
_PARKED = b"ucParked"


class _Place(msgspec.Struct, array_like=True):
    """Where a page begins: behind a job, if one is named, of one structure of one queue, for one state."""

    queue: str
    state: JobState
    source: int = 0
    last: str | None = None
    score: float = 0.0
    index: int = 0


class _Seen(msgspec.Struct):
    id: str
    score: float
    index: int


async def list_jobs(store: Store, wanted: JobFilter, *, limit: int, cursor: str | None = None) -> JobPage:
    """See `Engine.list_jobs`. Jobs come state by state, within one queue by queue."""
    names = [wanted.queue] if wanted.queue is not None else await queues(store)
    states = [wanted.state] if wanted.state is not None else [*JobState]
    at = _read_cursor(cursor) if cursor is not None else None
    found: list[JobRecord] = []
    looked = 0
    for state, queue, source in _order(states, names, at):
        begin = at if at is not None and (at.state, at.queue, at.source) == (state, queue, source) else None
        place = begin or _Place(queue, state, source)
        at = None
        while True:
            seen = await _read(store, place, min(_CHUNK, max(limit, 20)))
            if not seen:
                break
            for one, record in zip(seen, await _records(store, place, seen), strict=True):
                if len(found) == limit or looked >= _LOOKED_AT:
                    return JobPage(jobs=tuple(found), cursor=_cursor(place))
                looked += 1
                place.last, place.score, place.index = one.id, one.score, one.index
                if record is not None and _matches(record, wanted):
                    found.append(record)
    return JobPage(jobs=tuple(found), cursor=None)


def _order(states: Sequence[JobState], names: Sequence[str], at: _Place | None) -> list[tuple[JobState, str, int]]:
    every = [(state, name, source) for state in states for name in names for source in range(len(_SOURCES[state]))]
    if at is None:
        return every
    rank = {state: number for number, state in enumerate(JobState)}
    begin = (rank[at.state], at.queue, at.source)
    return [one for one in every if (rank[one[0]], *one[1:]) >= begin]


# --- Reading ---------------------------------------------------------------------------------------------------------


async def _read(store: Store, place: _Place, count: int) -> list[_Seen]:
    """Return the next ids of a structure."""
    source = _SOURCES[place.state][place.source]
    key = store.keys(place.queue).key(source)
    if source in _LISTS:
        return await _read_list(store, key, place, count)
    start = 0
    if place.last is not None:
        rank = await store.command("ZREVRANK", key, place.last)
        start = rank + 1 if rank is not None else await store.command("ZCOUNT", key, f"({place.score!r}", "+inf")
    reply = await store.command("ZREVRANGE", key, start, start + count - 1, "WITHSCORES")
    return [_Seen(member.decode(), score, start + n) for n, (member, score) in enumerate(with_scores(reply))]


async def _read_list(store: Store, key: str, place: _Place, count: int) -> list[_Seen]:
    # Jobs come in at the head and leave at the tail, so a place counted from the head never lies too far on.
    start = 0
    if place.last is not None:
        index = await store.command("LPOS", key, place.last)
        start = place.index if index is None else index + 1
    reply = await store.command("LRANGE", key, start, start + count - 1)
    return [_Seen(member.decode(), 0.0, start + n) for n, member in enumerate(reply)]


async def _records(store: Store, place: _Place, seen: Sequence[_Seen]) -> list[JobRecord | None]:
    """Return the record of each job that is there and in the state that is looked for."""
    keys: QueueKeys = store.keys(place.queue)
    replies = await store.pipeline([("HGETALL", keys.job(one.id)) for one in seen])
    records: list[JobRecord | None] = []
    for one, reply in zip(seen, replies, strict=True):
        fields = mapping(reply)
        is_it = b"name" in fields and _state(store, place, fields, one) is place.state
        records.append(record_of(store, place.queue, one.id, fields, place.state) if is_it else None)
    return records


def _state(store: Store, place: _Place, fields: Fields, seen: _Seen) -> JobState:
    source = _SOURCES[place.state][place.source]
    if source == "delayed":
        return state_of_delayed(store, fields, seen.score)
    if source in ("wait", "prioritized", "paused"):
        return JobState.PARKED if _PARKED in fields else JobState.WAITING
    return place.state


# --- Filters and cursors ---------------------------------------------------------------------------------------------


def _matches(job: JobRecord, wanted: JobFilter) -> bool:
    created_at = job.created_at.timestamp()
    return (
        (wanted.name is None or job.name == wanted.name)
        and (wanted.tag is None or wanted.tag in job.tags)
        and (wanted.error_type is None or job.error_type == wanted.error_type)
        and (wanted.request_id is None or job.request_id == wanted.request_id)
        and (wanted.created_after is None or created_at >= wanted.created_after)
        and (wanted.created_before is None or created_at < wanted.created_before)
        and (wanted.text is None or _has_text(job, wanted.text.casefold()))
    )


def _has_text(job: JobRecord, text: str) -> bool:
    return text in job.data.decode(errors="replace").casefold() or text in (job.error or "").casefold()


def _cursor(place: _Place) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode()


def _read_cursor(text: str) -> _Place:
    try:
        place: Any = msgspec.json.decode(base64.urlsafe_b64decode(text), type=_Place)
        if place.source < len(_SOURCES[place.state]):
            return place  # type: ignore[no-any-return]
    except (ValueError, msgspec.DecodeError):
        pass
    raise InvalidDataError(
        f"the cursor {text[:40]!r} does not come from a page of this queue", hint="begin anew without one"
    )
