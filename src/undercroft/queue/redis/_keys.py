"""The keys of a queue, by BullMQ's names.

`<prefix>:<queue>:` and then `wait` (list), `active` (list), `delayed`, `prioritized`, `waiting-children`, `completed`
and `failed` (sorted sets), `meta` (hash: paused, concurrency, max, duration), `events` (stream), `marker` (sorted set
that workers block on), `limiter`, `stalled`, `pc`, `id`, … A job is the hash `<prefix>:<queue>:<id>`; beside it lie
`:lock`, `:logs`, `:dependencies`, `:processed`, `:failed` and `:unsuccessful`. Ours begin with `uc:`.
"""

from __future__ import annotations

from functools import cached_property

_ADD_STANDARD = ("wait", "paused", "meta", "id", "completed", "delayed", "active", "events", "marker")
_ADD_DELAYED = ("marker", "meta", "id", "delayed", "completed", "events")
_ADD_PRIORITIZED = ("marker", "meta", "id", "prioritized", "delayed", "completed", "active", "events", "pc")
_ADD_PARENT = ("meta", "id", "delayed", "waiting-children", "completed", "events")
_TO_ACTIVE = (
    *("wait", "active", "prioritized", "events", "stalled", "limiter", "delayed", "paused", "meta", "pc"),
    "marker",
)
_TO_WAIT = ("active", "wait", "stalled", "paused", "meta", "limiter", "prioritized", "marker", "events")
_STALLED = ("stalled", "wait", "active", "stalled-check", "meta", "paused", "marker", "events", "repeat")


class QueueKeys:
    """Of one queue. Immutable; one for as long as its store lives, since the tuples are made once."""

    def __init__(self, prefix: str, queue: str) -> None:
        self.queue = queue
        self.base = f"{prefix}:{queue}:"
        self.base_bytes = self.base.encode()

    def key(self, suffix: str) -> str:
        """Return the key of one of the queue's structures."""
        return self.base + suffix

    def keys(self, *suffixes: str) -> tuple[str, ...]:
        """Return the keys of several of the queue's structures."""
        base = self.base
        return tuple([base + suffix for suffix in suffixes])

    def job(self, job_id: str) -> str:
        """Return the key of a job's hash."""
        return self.base + job_id

    def lock(self, job_id: str) -> str:
        """Return the key that holds the lock token of whoever has claimed the job."""
        return f"{self.base}{job_id}:lock"

    def deduplication(self, key: str) -> str:
        """Return the key that holds the id of the job which has a deduplication key."""
        return f"{self.base}de:{key}"

    @cached_property
    def cancelled(self) -> str:
        """A set of ours: ids of active jobs that somebody wants ended; `beat` tells their holders."""
        return self.base + "uc:cancelled"

    @cached_property
    def parked(self) -> str:
        """A hash of ours: id to name of the jobs that were moved to `delayed` since no worker knew their name."""
        return self.base + "uc:parked"

    @cached_property
    def ledger(self) -> str:
        """A hash of ours, of the ledger's entries."""
        return self.base + "uc:ledger"

    # --- KEYS of the scripts that run for every job, as bytes -------------------------------------------------------

    @cached_property
    def add_standard(self) -> tuple[bytes, ...]:
        """Of `addStandardJob`."""
        return self._bytes(_ADD_STANDARD)

    @cached_property
    def add_delayed(self) -> tuple[bytes, ...]:
        """Of `addDelayedJob`."""
        return self._bytes(_ADD_DELAYED)

    @cached_property
    def add_prioritized(self) -> tuple[bytes, ...]:
        """Of `addPrioritizedJob`."""
        return self._bytes(_ADD_PRIORITIZED)

    @cached_property
    def add_parent(self) -> tuple[bytes, ...]:
        """Of `addParentJob`."""
        return self._bytes(_ADD_PARENT)

    @cached_property
    def to_active(self) -> tuple[bytes, ...]:
        """Of `moveToActive`; the first ten are also those of `moveToFinished`."""
        return self._bytes(_TO_ACTIVE)

    def finished(self, target: bytes) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
        """Of `moveToFinished`, for `completed` or `failed`: the keys before and after that of the job."""
        return self._completed if target == b"completed" else self._failed

    @cached_property
    def _completed(self) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
        return (*self.to_active[:10], *self._bytes(("completed",))), self._bytes(("metrics:completed", "marker"))

    @cached_property
    def _failed(self) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
        return (*self.to_active[:10], *self._bytes(("failed",))), self._bytes(("metrics:failed", "marker"))

    @cached_property
    def to_wait(self) -> tuple[bytes, ...]:
        """Of `moveJobFromActiveToWait`."""
        return self._bytes(_TO_WAIT)

    @cached_property
    def stalled(self) -> tuple[bytes, ...]:
        """Of `moveStalledJobsToWait`."""
        return self._bytes(_STALLED)

    def _bytes(self, suffixes: tuple[str, ...]) -> tuple[bytes, ...]:
        return tuple([self.base_bytes + suffix.encode() for suffix in suffixes])
