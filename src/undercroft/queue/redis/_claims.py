"""What this process has claimed, and how a claim's reply is read.

A claim is marked by its lock: BullMQ's lock token, here `<worker id>:uc<number>`. `moveToFinished` hands the next job
out under the lock of the one before, so a lock belongs to a row of jobs, of which one runs at a time.
"""

from __future__ import annotations

import random
from typing import Any

import msgspec

from undercroft.queue._values import ClaimedJob
from undercroft.queue.redis._keys import QueueKeys
from undercroft.queue.redis._options import (
    FIELD_CRASHES,
    FIELD_DUE,
    FIELD_PARKED,
    StoredOptions,
    attempts_of,
    backoff_of,
    carrier_of,
    keep_jobs,
    read_options,
)
from undercroft.queue.redis._store import Store

_MARK = ":uc"
"""Between the worker's id and the number; Node's lock tokens have a number there, and its workers no liveness key."""
_METRICS_MINUTES = 7 * 24 * 60
"""How many points BullMQ's metrics keep; what Node calls one week."""
_pack = msgspec.msgpack.Encoder().encode
_TOKEN = _pack("token")
_DUE, _CRASHES, _PARKED = FIELD_DUE.encode(), FIELD_CRASHES.encode(), FIELD_PARKED.encode()
_SPECIAL = frozenset((b"defa", b"rjk", b"stc", _PARKED))


class Held(msgspec.Struct):
    """A job that runs here under some lock."""

    job_id: str
    token: int
    attempts: int
    on_complete: Any
    """`keepJobs` when it is completed, as a hashable value."""
    on_fail: Any


class Hash:
    """The reply of a claim: a job's hash."""

    __slots__ = ("fields", "id", "is_special", "name")

    def __init__(self, reply: list[Any]) -> None:
        flat = reply[0]
        self.fields: dict[bytes, bytes] = dict(zip(flat[::2], flat[1::2], strict=True))
        self.id: str = reply[1].decode()
        name = self.fields.get(b"name")
        self.name = None if name is None else name.decode()
        self.is_special = name is None or not _SPECIAL.isdisjoint(self.fields)

    @property
    def crashes(self) -> int:
        """Workers that died with it."""
        return int(self.fields.get(b"stc", 0))

    @property
    def waits_for_crash(self) -> bool:
        """Whether it has a crash behind it that it has not waited for."""
        return b"defa" not in self.fields and self.crashes >= 2 and self.crashes > int(self.fields.get(_CRASHES, 0))

    @property
    def is_parked(self) -> bool:
        """Whether nobody knew its name when it was last looked at."""
        return _PARKED in self.fields


class Claims:
    """The locks of this process. For one engine, while it is open."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._next = random.getrandbits(32)
        self._tails: dict[tuple[Any, ...], bytes] = {}
        self.held: dict[str, Held | None] = {}
        """By lock; `None` while its first claim is under way."""
        self.queues: set[str] = set()
        """From which something was ever claimed here."""
        self.workers: set[str] = set()
        """For whom."""
        self.has_orphans = False
        """Jobs may be locked for workers of this process that never heard of them."""

    # --- Locks ------------------------------------------------------------------------------------------------------

    def new_lock(self, worker_id: str) -> str:
        """Return a lock that nobody ever had, and count it as held."""
        self._next += 1
        lock = f"{worker_id}{_MARK}{self._next:x}"
        self.held[lock] = None
        return lock

    def forget(self, lock: str) -> None:
        """Give a lock up."""
        self.held.pop(lock, None)

    def abandon(self, locks: list[str]) -> None:
        """Give locks up that may hold jobs which nobody here knows of."""
        for lock in locks:
            self.held.pop(lock, None)
        self.has_orphans = True

    def is_stale(self, job: ClaimedJob) -> bool:
        """Whether the lock has gone on to another job, or to this one once more, in this very process."""
        held = self.held.get(job.lock)
        return held is not None and (held.token != job.token or held.job_id != job.id)

    # --- Reading ----------------------------------------------------------------------------------------------------

    def take(self, found: Hash, keys: QueueKeys, lock: str) -> ClaimedJob:
        """Return the job of a claim, and remember how it is to be finished."""
        fields = found.fields
        options = read_options(fields.get(b"opts"))
        ours = options.uc
        token = int(fields[b"ats"])
        attempts = attempts_of(options)
        self.held[lock] = Held(found.id, token, attempts, options.removeOnComplete, options.removeOnFail)
        created_ms = int(fields.get(b"timestamp", 0))
        assert found.name is not None
        return ClaimedJob(
            id=found.id,
            name=found.name,
            queue=keys.queue,
            data=fields.get(b"data", b"{}"),
            token=token,
            lock=lock,
            failures=int(fields.get(b"atm", 0)),
            crashes=int(fields.get(b"stc", 0)),
            attempts=attempts,
            backoff=backoff_of(options),
            timeout_s=ours.timeout_s if ours is not None else None,
            is_foreign=ours is None,
            created_at=created_ms / 1000,
            due_at=_due_ms(fields, options, created_ms) / 1000,
            priority=int(fields.get(b"priority", 0)),
            request_id=ours.request_id if ours is not None else None,
            carrier=None if options.tm is None else carrier_of(options),
            tags=ours.tags if ours is not None else (),
            on_failure=ours.on_failure if ours is not None else None,
        )

    # --- The msgpacked options of the scripts -----------------------------------------------------------------------

    def claim_options(self, lock: str, worker_id: str, lease_ms: int) -> bytes:
        """Return those of `moveToActive`, and of a `moveToDelayed` that fetches."""
        tail = self._tails.get((worker_id, lease_ms))
        if tail is None:
            tail = self._remember((worker_id, lease_ms), {"lockDuration": lease_ms, "name": worker_id})
        return b"\x83" + _TOKEN + _pack(lock) + tail

    def finish_options(self, lock: str, worker_id: str, lease_ms: int, remove_on: Any, attempts: int) -> bytes:
        """Return those of `moveToFinished`."""
        known = tuple(remove_on.items()) if isinstance(remove_on, dict) else remove_on
        what = (worker_id, lease_ms, known, attempts, remove_on.__class__)
        tail = self._tails.get(what)
        if tail is None:
            more = {"keepJobs": keep_jobs(remove_on), "attempts": attempts, "maxMetricsSize": _METRICS_MINUTES}
            tail = self._remember(what, {"lockDuration": lease_ms, "name": worker_id, **more})
        return b"\x86" + _TOKEN + _pack(lock) + tail

    def _remember(self, what: tuple[Any, ...], options: dict[str, Any]) -> bytes:
        if len(self._tails) > 1000:
            self._tails.clear()
        tail = self._tails[what] = b"".join(_pack(key) + _pack(value) for key, value in options.items())
        return tail


def worker_of(lock: str) -> str | None:
    """Return the id of the worker that made a lock; `None` for those of others, such as Node's."""
    worker_id, mark, _ = lock.rpartition(_MARK)
    return worker_id if mark else None


def due_ms(fields: dict[bytes, bytes]) -> int:
    """Return when a job could have begun, in ms."""
    return _due_ms(fields, read_options(fields.get(b"opts")), int(fields.get(b"timestamp", 0)))


def _due_ms(fields: dict[bytes, bytes], options: StoredOptions, created_ms: int) -> int:
    if (again := fields.get(_DUE)) is not None:
        return int(again)
    if options.uc is not None and options.uc.due_ms is not None:
        return options.uc.due_ms
    return created_ms + int(options.delay or 0)
