"""Moving a job that waits to `delayed`: what BullMQ has no script for, and how parked jobs come back."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from undercroft.queue.redis._keys import QueueKeys
from undercroft.queue.redis._options import FIELD_PARKED
from undercroft.queue.redis._pipe import Command
from undercroft.queue.redis._scripts import PUT_ASIDE
from undercroft.queue.redis._store import Store

PARK_MS = 60_000
"""How long a job that nobody knows is put aside; a worker that knows it takes it out at once."""
_LOOKED_AT = 500
"""How many of the jobs next in line are looked at for names that nobody here knows."""
_SUFFIXES = ("wait", "prioritized", "delayed", "marker", "events")


def put_aside_call(
    store: Store, keys: QueueKeys, job_id: str, due_ms: int, fields: Sequence[str], *, if_field: tuple[str, str]
) -> Command:
    """Return the call that makes a waiting job due later, if it waits and a field of it has a value."""
    script_keys = (*keys.keys(*_SUFFIXES), keys.job(job_id))
    return store.call(PUT_ASIDE, script_keys, (job_id, due_ms, *if_field, *fields))


async def park(store: Store, queue: str, names: Collection[str]) -> list[tuple[str, str, str]]:
    """Park the jobs next in line whose name is not among `names`; return queue, id and name of those new to it."""
    keys = store.keys(queue)
    lines = await store.pipeline(
        [
            ("LRANGE", keys.key("wait"), -_LOOKED_AT, -1),
            ("ZRANGE", keys.key("prioritized"), 0, _LOOKED_AT - 1),
        ]
    )
    ids = [job_id.decode() for line in lines for job_id in line]
    known = await store.pipeline([("HGET", keys.job(job_id), "name") for job_id in ids])
    parked = []
    for job_id, name in zip(ids, known, strict=True):
        if name is None or name.decode() in names:
            continue
        call = put_aside_call(
            store, keys, job_id, store.now_ms() + PARK_MS, (FIELD_PARKED, "1"), if_field=("name", name.decode())
        )
        is_new, is_moved = await store.pipeline([("HSETNX", keys.parked, job_id, name), call], atomic=True)
        if is_new and is_moved:
            parked.append((queue, job_id, name.decode()))
    return parked


async def unpark(store: Store, queue: str, names: Collection[str]) -> int:
    """Have the parked jobs with one of these names wait again; return how many."""
    keys = store.keys(queue)
    flat = await store.command("HGETALL", keys.parked)
    parked = dict(zip(flat[::2], flat[1::2], strict=True))
    key = keys.key
    script_keys = (
        *(key("delayed"), key("wait"), key("paused"), key("meta"), key("prioritized"), key("active"), key("pc")),
        *(key("events"), key("marker")),
    )
    commands: list[Command] = []
    for job_id, name in parked.items():
        if name.decode() in names:
            commands.append(store.call("promote", script_keys, (keys.base, job_id)))
            commands.append(("HDEL", keys.parked, job_id))
            commands.append(("HDEL", keys.job(job_id.decode()), FIELD_PARKED))
    replies = await store.pipeline(commands, atomic=True)
    return sum(1 for code in replies[::3] if code == 0)
