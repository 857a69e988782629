"""Small documents beside the jobs of a queue: one hash, from key to `<version>:<document>`."""

from __future__ import annotations

from collections.abc import Sequence

from undercroft.queue._values import Entry, EntryPage, NewJob
from undercroft.queue.redis._adding import add_commands, add_with_entry, results_of
from undercroft.queue.redis._pipe import Command
from undercroft.queue.redis._records import mapping
from undercroft.queue.redis._scripts import SAVE_ENTRY
from undercroft.queue.redis._store import Read, Store


async def entries(store: Store, queue: str, *, prefix: str = "") -> dict[str, Entry]:
    """See `Engine.entries`."""
    found = mapping(await store.command("HGETALL", store.keys(queue).ledger))
    return {key: _entry(raw) for key, raw in _decoded(found).items() if key.startswith(prefix)}


async def entry(store: Store, queue: str, key: str) -> Entry | None:
    """See `Engine.entry`."""
    raw = await store.command("HGET", store.keys(queue).ledger, key)
    return None if raw is None else _entry(raw)


async def list_entries(store: Store, queue: str, *, limit: int, cursor: str | None = None) -> EntryPage:
    """See `Engine.list_entries`. Redis decides how many a page has: a small hash comes whole."""
    after, found = await store.command("HSCAN", store.keys(queue).ledger, cursor or "0", "COUNT", limit)
    entries = {key: _entry(raw) for key, raw in _decoded(mapping(found)).items()}
    return EntryPage(entries, None if after in (b"0", 0) else bytes(after).decode())


async def save_entry(
    store: Store, queue: str, key: str, data: bytes | None, *, version: int, jobs: Sequence[NewJob] = ()
) -> bool:
    """See `Engine.save_entry`. The jobs are in the same hash slot; they must not name a parent.

    All entries are one hash: to watch it is to start again for every other entry that is written meanwhile. So that is
    for several jobs only.
    """
    ledger = store.keys(queue).ledger
    entry = b"" if data is None else b"%d:%b" % (version + 1, data)
    if not jobs:
        return bool(await store.run(SAVE_ENTRY, [ledger], [key, version, entry]))
    if len(jobs) == 1 and jobs[0].queue == queue:
        is_done = await add_with_entry(store, jobs[0], key=key, version=version, entry=entry)
        if is_done is not None:
            return is_done

    async def plan(read: Read) -> Sequence[Command] | None:
        raw = await read("HGET", ledger, key)
        if (_entry(raw).version if raw is not None else 0) != version:
            return None
        change = ("HSET", ledger, key, entry) if entry else ("HDEL", ledger, key)
        return [change, *[command for job in jobs for command in add_commands(store, job)]]

    replies = await store.watch_and_run([ledger], plan)
    if replies is None:
        return False
    results_of(jobs, replies[1:])
    return True


def _decoded(found: dict[bytes, bytes]) -> dict[str, bytes]:
    return {key.decode(): found[key] for key in sorted(found)}


def _entry(raw: bytes) -> Entry:
    version, _, data = raw.partition(b":")
    return Entry(int(version), data)
