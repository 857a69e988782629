"""Claiming jobs, and what becomes of those that cannot run here or now."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from undercroft.queue._errors import QueueUnavailableError
from undercroft.queue._values import Claim, ClaimedJob, Doom
from undercroft.queue.redis._claims import Claims, Hash, worker_of
from undercroft.queue.redis._keys import QueueKeys
from undercroft.queue.redis._node_schedulers import produce_next
from undercroft.queue.redis._options import CANCELLED, FIELD_CRASHES, FIELD_DUE, FIELD_PARKED, STALLED
from undercroft.queue.redis._pipe import Command
from undercroft.queue.redis._putting_aside import PARK_MS, unpark
from undercroft.queue.redis._store import Store

if TYPE_CHECKING:
    from undercroft.queue.redis._standing import StandingClaims

CRASH_DELAY_MS = 5_000
_FIRST, _MORE = 2, 8
"""How many are asked for in the first round trip, and by how much that grows while there are enough."""
_PATIENCE = 200
"""How many jobs one claim puts aside before it lets others have a turn."""
_CHILD = re.compile(r"child (.+) failed", re.DOTALL)
_pack = msgspec.msgpack.Encoder().encode


class Claiming:
    """Asks Redis for jobs. For one engine, while it is open."""

    def __init__(self, store: Store, claims: Claims, standing: StandingClaims) -> None:
        self._store = store
        self._claims = claims
        self._standing = standing
        self._outages = 0
        self.parked: list[tuple[str, str, str]] = []
        """Queue, id and name of what was parked here for the first time."""

    async def claim(
        self, *, queues: Sequence[str], names: Collection[str], limit: int, worker_id: str, lease_s: float
    ) -> Claim:
        """See `Engine.claim`. What is found before Redis fails is handed out; the next call raises."""
        await self._store.pipe()  # notices an outage
        if self._claims.has_orphans or self._outages != self._store.outages:
            await self._release_orphans()
        round_ = _Round(self, frozenset(names), worker_id, int(lease_s * 1000))
        self._claims.queues.update(queues)
        self._claims.workers.add(worker_id)
        row = 0
        try:
            while len(round_.jobs) < limit and (found := self._standing.take(worker_id, queues)) is not None:
                row = max(row, found.row)
                await round_.sort(found.keys, [(found.lock, found.reply)])
            if row != 1 or not round_.jobs:  # a job that came alone is handed out as it comes, a row of them goes on
                for queue in queues:
                    await round_.empty(self._store.keys(queue), limit)
        except QueueUnavailableError:
            if not round_.jobs:
                raise
        is_full = len(round_.jobs) >= limit or len(queues) != 1
        self._standing.wish(
            None if is_full else self._store.keys(queues[0]), worker_id, int(lease_s * 1000), row if round_.jobs else 0
        )
        return Claim(jobs=tuple(round_.jobs), next_due_at=round_.next_due_at)

    async def ask(
        self, keys: QueueKeys, count: int, *, worker_id: str, lease_ms: int
    ) -> tuple[list[tuple[str, Any]], bool]:
        """Call `moveToActive` `count` times in one round trip.

        Returns:
            Each lock with its reply, and whether some of the queue's jobs are parked.
        """
        claims, store = self._claims, self._store
        locks = [claims.new_lock(worker_id) for _ in range(count)]
        now = store.now_ms()
        commands: list[Command] = [
            store.call(
                "moveToActive", keys.to_active, (keys.base_bytes, now, claims.claim_options(lock, worker_id, lease_ms))
            )
            for lock in locks
        ]
        try:
            *replies, has_parked = await store.pipeline([*commands, ("EXISTS", keys.parked)])
            return list(zip(locks, replies, strict=True)), bool(has_parked)
        except BaseException:
            claims.abandon(locks)
            raise

    async def settle(self, found: Hash, keys: QueueKeys, lock: str, names: Collection[str]) -> ClaimedJob | None:
        """Return the job of a claim if it can run here and now; put it aside otherwise."""
        if found.name is None:
            await self._sweep(found.id, keys, lock)
            return None
        if found.name not in names:
            await self._park(found, keys, lock)
            return None
        if found.waits_for_crash:
            await self._delay_after_crash(found, keys, lock)
            return None
        if b"rjk" in found.fields:
            await produce_next(self._store, keys.queue, found.id, found.fields)
        job = self._claims.take(found, keys, lock)
        if found.is_parked:
            commands = [("HDEL", keys.parked, found.id), ("HDEL", keys.job(found.id), FIELD_PARKED)]
            await self._store.pipeline(commands)
        reason = found.fields.get(b"defa")
        return job if reason is None else msgspec.structs.replace(job, doom=await self._doom(reason.decode(), job))

    # --- What cannot run --------------------------------------------------------------------------------------------

    async def _sweep(self, job_id: str, keys: QueueKeys, lock: str) -> None:
        """Take out an id whose job was deleted by hand."""
        self._claims.forget(lock)
        commands = [("LREM", keys.key("active"), 1, job_id), ("DEL", keys.job(job_id), keys.lock(job_id))]
        await self._store.pipeline(commands, atomic=True)

    async def _park(self, found: Hash, keys: QueueKeys, lock: str) -> None:
        assert found.name is not None
        fields = [FIELD_PARKED, "1"]
        remember = ("HSET", keys.parked, found.id, found.name)
        is_new, code = await self._store.pipeline(
            [remember, delay_command(self._store, keys, found.id, lock, PARK_MS, fields, is_counted=False)], atomic=True
        )
        self._claims.forget(lock)
        if is_new and code == 0:
            self.parked.append((keys.queue, found.id, found.name))

    async def _delay_after_crash(self, found: Hash, keys: QueueKeys, lock: str) -> None:
        due_ms = self._store.now_ms() + CRASH_DELAY_MS
        fields = [FIELD_CRASHES, str(found.crashes), FIELD_DUE, str(due_ms)]
        command = delay_command(self._store, keys, found.id, lock, CRASH_DELAY_MS, fields, is_counted=False)
        await self._store.command(*command)
        self._claims.forget(lock)

    async def _doom(self, reason: str, job: ClaimedJob) -> Doom:
        if reason.lower() == CANCELLED:
            return Doom(error_type="Cancelled", error="cancelled")
        if reason == STALLED:
            text = f"quarantined: {job.crashes} workers died or hung while running it"
            return Doom(error_type="WorkerDied", error=text)
        child = _CHILD.fullmatch(reason)
        if child is None:
            return Doom(error_type="ChildFailed" if "child" in reason else "Unrecoverable", error=reason)
        key = child[1]
        error = await self._store.command("HGET", key, "failedReason")
        child_id = key.removeprefix(f"{self._store.prefix}:").partition(":")[2]
        text = f"child {child_id} failed" + (f": {error.decode(errors='replace')}" if error else "")
        return Doom(error_type="ChildFailed", error=text)

    # --- After an outage --------------------------------------------------------------------------------------------

    async def _release_orphans(self) -> None:
        """Give back the jobs that were claimed for workers of this engine by calls whose answers were lost."""
        outages = self._store.outages
        self._claims.has_orphans = False
        try:
            for queue in tuple(self._claims.queues):
                await self._release_orphans_of(self._store.keys(queue))
        except BaseException:
            self._claims.has_orphans = True
            raise
        self._outages = outages

    async def _release_orphans_of(self, keys: QueueKeys) -> None:
        active = await self._store.command("LRANGE", keys.key("active"), 0, -1)
        if not active:
            return
        ids = [job_id.decode() for job_id in active]
        locks = await self._store.command("MGET", *[keys.lock(job_id) for job_id in ids])
        commands = [
            release_command(self._store, keys, job_id, lock.decode())
            for job_id, lock in zip(ids, locks, strict=True)
            if lock is not None and worker_of(lock.decode()) in self._claims.workers
            if lock.decode() not in self._claims.held
        ]
        await self._store.pipeline(commands)


class _Round:
    """One call of `claim`."""

    def __init__(self, claiming: Claiming, names: frozenset[str], worker_id: str, lease_ms: int) -> None:
        self._claiming = claiming
        self._names = names
        self._worker_id = worker_id
        self._lease_ms = lease_ms
        self._patience = _PATIENCE
        self.jobs: list[ClaimedJob] = []
        self.next_due_at: float | None = None

    async def empty(self, keys: QueueKeys, limit: int) -> None:
        """Take jobs of one queue, until there are none or `limit` are found."""
        size, is_unparked = _FIRST, False
        while len(self.jobs) < limit and self._patience > 0:
            count = min(limit - len(self.jobs), size)
            asked, has_parked = await self._claiming.ask(
                keys, count, worker_id=self._worker_id, lease_ms=self._lease_ms
            )
            if not await self.sort(keys, asked):
                if has_parked and not is_unparked and await unpark(self._claiming._store, keys.queue, self._names):  # noqa: SLF001 - of this module
                    is_unparked = True
                    continue
                return
            size *= _MORE
        if self._patience <= 0:
            self._expect(self._claiming._store.time())  # noqa: SLF001 - of this module

    async def sort(self, keys: QueueKeys, asked: list[tuple[str, Any]]) -> bool:
        """Go through the replies; false when the queue has no more jobs now."""
        claiming = self._claiming
        claims = claiming._claims  # noqa: SLF001 - of this module
        has_more = True
        rest = dict(asked)
        try:
            for lock, reply in asked:
                rest.pop(lock)
                if not isinstance(reply[0], list):
                    claims.forget(lock)
                    self._read_times(reply)
                    has_more = False
                    continue
                found = Hash(reply)
                if found.is_special or found.name not in self._names:
                    job = await claiming.settle(found, keys, lock, self._names)
                    if job is None:
                        self._patience -= 1
                        continue
                else:
                    job = claims.take(found, keys, lock)
                self.jobs.append(job)
        except BaseException:
            claims.abandon([lock, *rest])
            raise
        return has_more

    def _read_times(self, reply: Any) -> None:
        """`[0, 0, how long the rate limit holds, when the next delayed job is due]`, in ms; 0 is none."""
        if reply[2]:
            self._expect(self._claiming._store.time() + int(reply[2]) / 1000)  # noqa: SLF001 - of this module
        if reply[3]:
            self._expect(int(reply[3]) / 1000)

    def _expect(self, at: float) -> None:
        self.next_due_at = at if self.next_due_at is None else min(self.next_due_at, at)


def delay_command(
    store: Store,
    keys: QueueKeys,
    job_id: str,
    lock: str,
    delay_ms: int,
    fields: Sequence[str],
    *,
    is_counted: bool,
    fetch: bytes | None = None,
) -> Command:
    """Return the call of `moveToDelayed`.

    Args:
        fields: Of the job's hash to set: name, value, name, value, …; text, since Redis's msgpack knows no bytes.
        is_counted: The run counts as one that failed.
        fetch: The options of a claim of the next job.
    """
    key = keys.key
    script_keys = (
        *(key("marker"), key("active"), key("prioritized"), key("delayed"), keys.job(job_id), key("events")),
        *(key("meta"), key("stalled"), key("wait"), key("limiter"), key("pc")),
    )
    skips = b"0" if is_counted else b"1"
    args = (keys.base, str(store.now_ms()), job_id, lock, delay_ms, skips, _pack(fields))
    return store.call("moveToDelayed", script_keys, (*args, b"0" if fetch is None else b"1", fetch or b""))


def release_command(store: Store, keys: QueueKeys, job_id: str, lock: str) -> Command:
    """Return the call of `moveJobFromActiveToWait`."""
    return store.call("moveJobFromActiveToWait", keys.to_wait, (job_id, lock, keys.job(job_id)))
