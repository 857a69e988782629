"""Jobs as they are stored now: one, pages of them, and how many.

Where a job is, is told by the structure that its id is in, not by its hash; what is due in `delayed` counts as waiting
already, since BullMQ moves it at the next claim only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from undercroft._core.clock import utc
from undercroft.queue._values import Counts, JobRecord, JobState
from undercroft.queue.redis._claims import due_ms
from undercroft.queue.redis._keys import QueueKeys
from undercroft.queue.redis._options import FIELD_ERROR, FIELD_PARKED, attempts_of, carrier_of, read_options
from undercroft.queue.redis._pipe import Command
from undercroft.queue.redis._store import Store

Fields = dict[bytes, bytes]
_DELAYED_UNIT = 0x1000
"""Scores of `delayed` are milliseconds times this, and a number that keeps the order."""
_ERROR, _PARKED = FIELD_ERROR.encode(), FIELD_PARKED.encode()
_SCAN_COUNT = 5000
_PLACES: Sequence[tuple[str, JobState]] = (
    ("completed", JobState.COMPLETED),
    ("failed", JobState.FAILED),
    ("delayed", JobState.DELAYED),
    ("waiting-children", JobState.BLOCKED),
)
_decode_any = msgspec.json.Decoder().decode


# --- Replies ---------------------------------------------------------------------------------------------------------


def mapping(reply: Any) -> Fields:
    """Return a hash, which comes as pairs or, by RESP3, as a dict."""
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))


def with_scores(reply: Any) -> list[tuple[bytes, float]]:
    """Return members with their scores, which come in one row or, by RESP3, as pairs."""
    if reply and isinstance(reply[0], list):
        return [(member, float(score)) for member, score in reply]
    return [(member, float(score)) for member, score in zip(reply[::2], reply[1::2], strict=True)]


def due_bound(now_ms: int) -> int:
    """Return the highest score in `delayed` of what is due."""
    return (now_ms + 1) * _DELAYED_UNIT - 1


# --- One job ---------------------------------------------------------------------------------------------------------


async def get(store: Store, job_id: str, *, queue: str | None = None) -> JobRecord | None:
    """See `Engine.get`. One round trip when the queue is given."""
    if queue is None:
        queue = await find_queue(store, job_id)
        if queue is None:
            return None
    keys = store.keys(queue)
    fields, *places = await store.pipeline([("HGETALL", keys.job(job_id)), *place_commands(keys, job_id)], atomic=True)
    found = mapping(fields)
    return record_of(store, queue, job_id, found, state_of(store, found, places)) if b"name" in found else None


def place_commands(keys: QueueKeys, job_id: str) -> list[Command]:
    """Return the commands whose replies `state_of` reads."""
    commands: list[Command] = [("ZSCORE", keys.key(place), job_id) for place, _ in _PLACES]
    return [*commands, ("LPOS", keys.key("active"), job_id)]


def state_of(store: Store, fields: Fields, replies: Sequence[Any]) -> JobState:
    """Return where a job is."""
    *scores, active = replies
    for (_, state), score in zip(_PLACES, scores, strict=True):
        if score is not None:
            if state is not JobState.DELAYED:
                return state
            return state_of_delayed(store, fields, float(score))
    if active is not None:
        return JobState.ACTIVE
    return JobState.PARKED if _PARKED in fields else JobState.WAITING


def state_of_delayed(store: Store, fields: Mapping[bytes, bytes], score: float) -> JobState:
    """Return what a job in `delayed` really is."""
    if _PARKED in fields:
        return JobState.PARKED
    return JobState.WAITING if score <= due_bound(store.now_ms()) else JobState.DELAYED


async def find_queue(store: Store, job_id: str) -> str | None:
    """Return the queue that has a job of this id. Looks into every queue."""
    names = await queues(store)
    found = await store.pipeline([("EXISTS", store.keys(name).job(job_id)) for name in names])
    return next((name for name, exists in zip(names, found, strict=True) if exists), None)


def record_of(store: Store, queue: str, job_id: str, fields: Fields, state: JobState) -> JobRecord:
    """Return a job's hash as a record."""
    options = read_options(fields.get(b"opts"))
    ours = options.uc
    ended = int(fields.get(b"atm", 0))  # runs that ended, whichever way
    parent_id, parent_queue = _parent(store, fields)
    error = _text(fields.get(b"failedReason"))
    stack = _last_stack(fields.get(b"stacktrace"))
    worker = _text(fields.get(b"pb"))
    return JobRecord(
        id=job_id,
        name=_text(fields.get(b"name")) or "",
        queue=queue,
        state=state,
        data=fields.get(b"data", b"{}"),
        priority=int(fields.get(b"priority", 0)),
        failures=ended - 1 if state is JobState.COMPLETED and ended else ended,
        crashes=int(fields.get(b"stc", 0)),
        attempts=attempts_of(options),
        worker_id=worker if state is JobState.ACTIVE else None,
        result=fields.get(b"returnvalue") if state is JobState.COMPLETED else None,
        progress=fields.get(b"progress"),
        error_type=None if error is None else _text(fields.get(_ERROR)) or _type_in(stack),
        error=error,
        stack=stack,
        request_id=None if ours is None else ours.request_id,
        carrier=carrier_of(options),
        tags=() if ours is None else ours.tags,
        parent_id=parent_id,
        parent_queue=parent_queue,
        deduplication_key=_text(fields.get(b"deid")),
        created_at=utc(int(fields.get(b"timestamp", 0)) / 1000),
        due_at=utc(due_ms(fields) / 1000),
        started_at=_instant(fields.get(b"processedOn")),
        finished_at=_instant(fields.get(b"finishedOn")) if state.is_final else None,
    )


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")


def _instant(value: bytes | None) -> Any:
    return None if value is None else utc(int(value) / 1000)


def _parent(store: Store, fields: Fields) -> tuple[str | None, str | None]:
    raw = fields.get(b"parent")
    try:
        parent = _decode_any(raw) if raw else None
    except msgspec.DecodeError:
        parent = None
    if not isinstance(parent, dict) or not parent.get("id"):
        return None, None
    return str(parent["id"]), str(parent.get("queueKey", "")).removeprefix(f"{store.prefix}:")


def _last_stack(raw: bytes | None) -> str | None:
    """`stacktrace` is a JSON list of texts, the last run's at its end."""
    try:
        stacks = _decode_any(raw) if raw else None
    except msgspec.DecodeError:
        return None
    return str(stacks[-1]) if isinstance(stacks, list) and stacks else None


def _type_in(stack: str | None) -> str | None:
    """Return the type in the first line of what JavaScript prints, `TypeError: x is not a function`."""
    name, colon, _ = (stack or "").partition(":")
    return name if colon and name.isidentifier() else None


# --- Queues ----------------------------------------------------------------------------------------------------------


async def queues(store: Store) -> list[str]:
    """See `Engine.queues`. Looks through all keys of the database, some 100 000 in a tenth of a second."""
    start, end = f"{store.prefix}:", ":meta"
    escaped = "".join(f"\\{character}" if character in "*?[]\\" else character for character in start)
    found: set[str] = set()
    cursor: Any = 0
    while True:
        reply = await store.command("SCAN", cursor, "MATCH", f"{escaped}*{end}", "COUNT", _SCAN_COUNT, "TYPE", "hash")
        cursor = int(reply[0])
        found.update(key.decode()[len(start) : -len(end)] for key in reply[1])
        if not cursor:
            return sorted(name for name in found if not name.endswith(":repeat"))  # a Node scheduler named "meta"


async def counts(store: Store, *, queue: str | None = None) -> Counts:
    """See `Engine.counts`."""
    names = [queue] if queue is not None else await queues(store)
    each = [await _counts_of(store, name) for name in names]
    return Counts(**{state.value: sum(getattr(one, state.value) for one in each) for state in JobState})


async def _counts_of(store: Store, queue: str) -> Counts:
    keys = store.keys(queue)
    lists = [("LLEN", key) for key in keys.keys("wait", "paused", "active")]
    sets = [("ZCARD", key) for key in keys.keys("prioritized", "delayed", "waiting-children", "completed", "failed")]
    is_due = ("ZCOUNT", keys.key("delayed"), "-inf", due_bound(store.now_ms()))
    replies = await store.pipeline([*lists, *sets, is_due, ("HKEYS", keys.parked)], atomic=True)
    waiting, paused, active, prioritized, delayed, blocked, completed, failed, due, aside = replies
    parked, among_due, among_delayed, among_waiting = await _parked(store, keys, aside)
    return Counts(
        waiting=waiting + paused + prioritized + due - among_due - among_waiting,
        delayed=delayed - due - among_delayed,
        blocked=blocked,
        active=active,
        completed=completed,
        failed=failed,
        parked=parked,
    )


async def _parked(store: Store, keys: QueueKeys, ids: Sequence[bytes]) -> tuple[int, int, int, int]:
    """Return how many jobs are parked, and how many of these are due, due later and in line."""
    if not ids:
        return 0, 0, 0, 0
    # Some may have been removed, by Node for example, which knows nothing of them.
    marks = await store.pipeline([("HEXISTS", keys.base_bytes + job_id, FIELD_PARKED) for job_id in ids])
    scores = await store.pipeline([("ZSCORE", keys.key("delayed"), job_id) for job_id in ids])
    places = [score for mark, score in zip(marks, scores, strict=True) if mark]
    bound = due_bound(store.now_ms())
    due = sum(1 for score in places if score is not None and float(score) <= bound)
    in_line = sum(1 for score in places if score is None)
    return len(places), due, len(places) - due - in_line, in_line
