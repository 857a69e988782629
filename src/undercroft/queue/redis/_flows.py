"""The children of a job, from what BullMQ keeps beside their parent.

`<job>:dependencies` (set) has the keys of the children that are not finished, `:processed` (hash) the results of those
that are completed, `:failed` (hash) the errors of those that failed and are ignored, `:unsuccessful` (sorted set) those
whose failure is the parent's. BullMQ remembers neither their order nor those that were removed: that is in the field
`ucChildren` of the parent's hash, the children's keys as a JSON list.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from undercroft.queue._values import ChildRecord, JobState, NewJob
from undercroft.queue.redis._pipe import Command
from undercroft.queue.redis._records import find_queue, mapping, place_commands, state_of
from undercroft.queue.redis._store import Store

FIELD_CHILDREN = "ucChildren"
_decode_keys = msgspec.json.Decoder(list[str]).decode


def children_commands(store: Store, jobs: Sequence[NewJob]) -> list[Command]:
    """Return what has each parent among new jobs remember its children; after the commands that store them all."""
    families: dict[str, list[str]] = {}
    for job in jobs:
        if job.parent_id is not None:
            parent = store.keys(job.parent_queue or job.queue).job(job.parent_id)
            families.setdefault(parent, []).append(store.keys(job.queue).job(job.id))
    return [("HSET", parent, FIELD_CHILDREN, msgspec.json.encode(children)) for parent, children in families.items()]


async def children(store: Store, job_id: str, *, queue: str | None = None) -> list[ChildRecord]:
    """See `Engine.children`. Those that Node added come in the order of their ids."""
    queue = queue if queue is not None else await find_queue(store, job_id)
    if queue is None:
        return []
    key = store.keys(queue).job(job_id)
    waited_for, processed, ignored, fatal, listed = await store.pipeline(
        [
            ("SMEMBERS", f"{key}:dependencies"),
            ("HGETALL", f"{key}:processed"),
            ("HGETALL", f"{key}:failed"),
            ("ZRANGE", f"{key}:unsuccessful", 0, -1),
            ("HGET", key, FIELD_CHILDREN),
        ],
        atomic=True,
    )
    results, errors = mapping(processed), dict.fromkeys(fatal) | mapping(ignored)
    known = sorted({*waited_for, *results, *errors})
    order = [child.encode() for child in _decode_keys(listed)] if listed else []
    children = [*order, *sorted(set(known) - set(order))]
    return [
        await _child(store, child.decode(), results.get(child), child in errors, errors.get(child))
        for child in children
    ]


async def _child(store: Store, key: str, result: bytes | None, has_failed: bool, error: Any) -> ChildRecord:
    queue, _, job_id = key.removeprefix(f"{store.prefix}:").partition(":")
    if result is not None:
        return ChildRecord(id=job_id, queue=queue, state=JobState.COMPLETED, result=result)
    if has_failed:
        reason = error if error is not None else await store.command("HGET", key, "failedReason")
        return ChildRecord(id=job_id, queue=queue, state=JobState.FAILED, error=_text(reason))
    fields, *places = await store.pipeline([("HGETALL", key), *place_commands(store.keys(queue), job_id)], atomic=True)
    found = mapping(fields)
    if b"name" not in found:
        return ChildRecord(id=job_id, queue=queue, state=None)
    state = state_of(store, found, places)
    return ChildRecord(
        id=job_id,
        queue=queue,
        state=state,
        result=found.get(b"returnvalue") if state is JobState.COMPLETED else None,
        error=_text(found.get(b"failedReason")) if state is JobState.FAILED else None,
    )


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")
