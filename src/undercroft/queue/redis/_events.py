"""What happens in queues, read from the stream `events` that BullMQ's scripts write, Node's workers' included.

A cursor is `<ms>-<number>@<queue>`, padded so that cursors sort. Events of several queues are told in that order, so
one cursor says for each of them what was told already.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any, NamedTuple

import msgspec

from undercroft._core.clock import utc
from undercroft._core.errors import InvalidDataError
from undercroft.queue._values import JobEvent
from undercroft.queue.redis._pipe import Command, Lost, Pipe, Refused
from undercroft.queue.redis._records import mapping
from undercroft.queue.redis._store import Store

_BLOCK_MS = 1000
_AT_ONCE = 1000
_LAST_NUMBER = (1 << 64) - 1
_decode_any = msgspec.json.Decoder().decode


class _Id(NamedTuple):
    """Of an event in its stream."""

    ms: int
    number: int

    @classmethod
    def parse(cls, text: str) -> _Id:
        ms, _, number = text.partition("-")
        return cls(int(ms), int(number))

    def before(self) -> _Id:
        if self.number:
            return _Id(self.ms, self.number - 1)
        return _Id(max(0, self.ms - 1), _LAST_NUMBER if self.ms else 0)

    def __str__(self) -> str:
        return f"{self.ms}-{self.number}"


def events(store: Store, queues: Sequence[str], *, after: str | None = None) -> AsyncIterator[JobEvent]:
    """See `Engine.events`. "Now" is the moment of this call, if Redis was reached before it."""
    names = sorted(set(queues))
    return _follow(store, names, _ends(store, names) if after is None else _positions(names, after))


async def _follow(
    store: Store, names: Sequence[str], begin: dict[str, _Id] | asyncio.Future[list[Any]] | None
) -> AsyncGenerator[JobEvent, None]:
    if begin is None:
        replies = await store.pipeline(_last_commands(store, names))
        begin = _last_of(names, replies)
    elif isinstance(begin, asyncio.Future):
        begin = await _read_ends(store, names, begin)
    positions = begin
    pipe = await store.connect()
    pipe.timeout_s += _BLOCK_MS / 1000  # Redis answers that much later than it is used to
    try:
        while positions:
            for event_id, name, fields in await _read(store, pipe, positions):
                yield _event(event_id, name, fields)
    finally:
        await pipe.close()


# --- Where to begin --------------------------------------------------------------------------------------------------


def _last_commands(store: Store, names: Sequence[str]) -> list[Command]:
    return [("XREVRANGE", store.keys(name).key("events"), "+", "-", "COUNT", 1) for name in names]


def _ends(store: Store, names: Sequence[str]) -> asyncio.Future[list[Any]] | None:
    """Ask for the last events in this turn of the loop, before whatever the caller does next."""
    pipe = store._line.pipe  # noqa: SLF001 - `pipe()` would have to be awaited
    return pipe.request_all(_last_commands(store, names)) if pipe is not None and pipe.lost is None else None


async def _read_ends(store: Store, names: Sequence[str], asked: asyncio.Future[list[Any]]) -> dict[str, _Id]:
    replies: Any = await asked
    if isinstance(replies, Lost):
        raise store.unavailable(replies)
    return _last_of(names, replies)


def _last_of(names: Sequence[str], replies: Sequence[Any]) -> dict[str, _Id]:
    return {
        name: _Id.parse(reply[0][0].decode()) if reply else _Id(0, 0)
        for name, reply in zip(names, replies, strict=True)
    }


def _positions(names: Sequence[str], after: str) -> dict[str, _Id]:
    """Return, for each queue, the last event that was told by this cursor."""
    text, at, queue = after.partition("@")
    try:
        last = _Id.parse(text)
    except ValueError:
        at = ""
    if not at:
        raise InvalidDataError(
            f"the cursor {after[:40]!r} is not one of an event on Redis", hint="begin anew without one"
        )
    return {name: last if name <= queue else last.before() for name in names}


# --- Reading ---------------------------------------------------------------------------------------------------------


async def _read(store: Store, pipe: Pipe, positions: dict[str, _Id]) -> list[tuple[_Id, str, dict[bytes, bytes]]]:
    """Return the next events, in order, and move the positions; none when none came within a second."""
    names = {store.keys(name).key("events").encode(): name for name in positions}
    after = [str(position) for position in positions.values()]
    reply = await pipe.request(("XREAD", "COUNT", _AT_ONCE, "BLOCK", _BLOCK_MS, "STREAMS", *names, *after))
    if isinstance(reply, Refused | Lost):
        raise store.unavailable(reply)
    streams = reply.items() if isinstance(reply, dict) else reply or ()
    found = []
    bounds = []
    for key, entries in streams:
        name = names[key]
        found += [(_Id.parse(entry_id.decode()), name, mapping(fields)) for entry_id, fields in entries]
        if len(entries) == _AT_ONCE:
            bounds.append(found[-1][0])
    if bounds:
        # One stream has more: what others have beyond it comes with the next call, or a cursor would pass it over.
        found = [one for one in found if one[0] <= min(bounds)]
    found.sort(key=lambda one: one[:2])
    positions.update({name: event_id for event_id, name, _ in found})
    return found


def _event(event_id: _Id, queue: str, fields: dict[bytes, bytes]) -> JobEvent:
    told: dict[str, Any] = {name.decode(): value.decode(errors="replace") for name, value in fields.items()}
    if "data" in told:
        told["data"] = _progress(told["data"])
    return JobEvent(
        cursor=f"{event_id.ms:015d}-{event_id.number:010d}@{queue}",
        type=told.pop("event", ""),
        queue=queue,
        job_id=told.pop("jobId", None),
        at=utc(event_id.ms / 1000),
        fields=told,
    )


def _progress(text: str) -> Any:
    try:
        return _decode_any(text)
    except msgspec.DecodeError:
        return text
