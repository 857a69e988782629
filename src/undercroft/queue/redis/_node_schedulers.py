"""Jobs of BullMQ's job schedulers: whoever claims one has to produce the next, or the schedule stops.

A scheduler (`upsertJobScheduler` of Node's `Queue`) is an entry of the sorted set `repeat` and a hash
`repeat:<scheduler id>`; its one job in flight is `repeat:<scheduler id>:<ms>`, with the scheduler's id in the field
`rjk` and what it needs in the option `repeat`. This is what `nextJobFromJobData` of BullMQ's worker does (5.x and 6.x);
`updateJobScheduler` adds nothing when somebody has added the next job already, so it may be repeated.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from undercroft._core.errors import UndercroftError
from undercroft.queue._cron._expression import parse_expression
from undercroft.queue._cron._slots import field_slots
from undercroft.queue.redis._store import Store

_BEFORE_PRODUCER = ("repeat", "delayed", "wait", "paused", "meta", "prioritized", "marker", "id", "events", "pc")
_pack = msgspec.msgpack.Encoder().encode
_decode_any = msgspec.json.Decoder().decode
_log = logging.getLogger("undercroft.queue")


async def produce_next(store: Store, queue: str, job_id: str, fields: Mapping[bytes, bytes]) -> str | None:
    """Add the next job of the scheduler that produced this one.

    Args:
        fields: The hash of the job that was claimed; `rjk` is among them.

    Returns:
        The id of the next job; `None` when the schedule is over, has been removed, or has its next job.
    """
    scheduler_id = fields[b"rjk"].decode()
    opts = _decoded(fields.get(b"opts"))
    now_ms = store.now_ms()
    try:
        following = next_options(opts, scheduler_id, now_ms)
    except UndercroftError as exc:
        _log.error("job scheduler %r of queue %r stops: %s", scheduler_id, queue, exc)
        return None
    if following is None:
        return None
    next_ms = following.get("prevMillis", now_ms)
    keys = store.keys(queue)
    script_keys = [*keys.keys(*_BEFORE_PRODUCER), keys.job(job_id), keys.key("active")]
    args = (next_ms, scheduler_id, fields.get(b"data", b"{}"), _pack(following), now_ms, keys.base, job_id)
    reply = await store.run("updateJobScheduler", script_keys, args)
    return reply.decode() if isinstance(reply, bytes) else None


def next_options(opts: Mapping[str, Any], scheduler_id: str, now_ms: int) -> dict[str, Any] | None:
    """Return the options of the next job, by those of the one before; `None` when there is none to come.

    Raises:
        UndercroftError: The schedule's pattern or time zone is not one that is known here.
    """
    repeat: Any = opts.get("repeat")
    if not isinstance(repeat, dict):
        return None
    count = int(repeat.get("count") or 0) + 1
    end_ms = _instant_ms(repeat.get("endDate"))
    is_over = repeat.get("limit") is not None and count > repeat["limit"]
    if is_over or (end_ms is not None and now_ms > end_ms):
        return None
    every, offset = repeat.get("every"), repeat.get("offset")
    kept = {name: value for name, value in repeat.items() if name not in ("immediately", "offset")}
    dates = {"startDate": _instant_ms(repeat.get("startDate")), "endDate": end_ms}
    shared = {**kept, "count": count, **dates, "offset": offset if every and offset else None}
    again = {name: value for name, value in shared.items() if value is not None}
    following = {**opts, "timestamp": now_ms, "repeatJobKey": scheduler_id, "repeat": again}
    if every:  # when that is, and its id, the script works out
        following.pop("prevMillis", None)
        return following
    next_ms = _next_by_pattern(repeat, max(now_ms, int(opts.get("prevMillis") or 0)))
    if next_ms is None:
        return None
    next_ms = max(next_ms, now_ms)
    delay = next_ms - now_ms
    return {**following, "jobId": f"repeat:{scheduler_id}:{next_ms}", "delay": delay, "prevMillis": next_ms}


def _next_by_pattern(repeat: Mapping[str, Any], after_ms: int) -> int | None:
    pattern = repeat.get("pattern")
    if not pattern:
        return None
    begin_ms = max(after_ms, _instant_ms(repeat.get("startDate")) or 0)
    expression = parse_expression(str(pattern).replace("?", "*"), what="pattern of a job scheduler")
    zone = repeat.get("tz")
    if zone:
        slots = field_slots(expression, zone, what="time zone of a job scheduler")
        found = next(iter(slots.after(begin_ms // 1000)), None)
        return None if found is None else found * 1000
    # Without a zone it is that of the machine of whoever works the job, as with Node's workers.
    slots = field_slots(expression, "UTC", what="time zone of a job scheduler")
    wall = _wall_seconds(begin_ms // 1000)
    found = next(iter(slots.after(wall)), None)
    return None if found is None else _from_wall_seconds(found) * 1000


def _wall_seconds(instant: int) -> int:
    """Return what the machine's wall clock shows, as if it were UTC."""
    return instant + time.localtime(instant).tm_gmtoff


def _from_wall_seconds(wall: int) -> int:
    return int(datetime.fromtimestamp(wall, tz=UTC).replace(tzinfo=None).timestamp())


def _instant_ms(value: Any) -> int | None:
    """Read a date as Node stores it: milliseconds, or ISO 8601."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value)
    if not isinstance(value, str) or not value:
        return None
    try:
        return int(value) if value.isdecimal() else int(datetime.fromisoformat(value).timestamp() * 1000)
    except ValueError:
        return None


def _decoded(raw: bytes | None) -> dict[str, Any]:
    try:
        opts = _decode_any(raw or b"{}")
    except msgspec.DecodeError:
        return {}
    return opts if isinstance(opts, dict) else {}
