"""Recording how a run ended, and claiming the next job in the same step."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec

from undercroft.queue._errors import QueueUnavailableError
from undercroft.queue._values import ClaimedJob, Completed, Failed, Fetch, Finished, Postponed
from undercroft.queue.redis._claiming import Claiming, delay_command
from undercroft.queue.redis._claims import Claims, Hash, Held
from undercroft.queue.redis._keys import QueueKeys
from undercroft.queue.redis._leases import doom_cancelled
from undercroft.queue.redis._options import FIELD_DUE, FIELD_ERROR, read_options
from undercroft.queue.redis._pipe import Command, Lost, Refused
from undercroft.queue.redis._store import Store

_UNFINISHED = (-4, -9)
"""Codes of `moveToFinished`: the job has children that are not finished, or failed."""
_RECORDED = Finished(is_recorded=True)
_NOT_RECORDED = Finished(is_recorded=False)
_pack = msgspec.msgpack.Encoder().encode
_to_json = msgspec.json.Encoder().encode


class Finishing:
    """Calls the scripts that end a run. For one engine, while it is open."""

    def __init__(self, store: Store, claims: Claims, claiming: Claiming) -> None:
        self._store = store
        self._claims = claims
        self._claiming = claiming
        self._unknown: dict[tuple[str, str, int], None] = {}
        """Lock, id and token of what was sent, and whose answer was lost."""
        self._sha = store.scripts["moveToFinished"].sha.encode()
        self._retry_sha = store.scripts["retryJob"].sha.encode()
        """Of the one script that cannot fetch."""

    async def finish(
        self, job: ClaimedJob, outcome: Completed | Failed | Postponed, *, fetch: Fetch | None = None
    ) -> Finished:
        """See `Engine.finish`."""
        if self._claims.is_stale(job):
            return _NOT_RECORDED
        held = self._claims.held.get(job.lock) or await self._look_up(job)
        if held is None:
            return await self._judge(job)
        command = self._command(job, held, outcome, fetch)
        reply: Any = await self._send(job, command)
        if reply.__class__ is int and reply < 0:
            if reply in _UNFINISHED and isinstance(outcome, Completed):
                problem = "it returned while children of it were not finished, or had failed"
                return await self.finish(
                    job, Failed(error_type="UnfinishedChildren", error=problem, retry_at=None), fetch=fetch
                )
            return await self._judge(job)
        if not is_final(outcome):
            await self._doom_if_cancelled(job)
        if self._unknown:
            self._unknown.pop((job.lock, job.id, job.token), None)
        if fetch is None:
            self._claims.forget(job.lock)
            return _RECORDED
        if reply.__class__ is not list or reply[0].__class__ is not list:
            self._claims.forget(job.lock)
            return await self._fetch_apart(job, fetch) if command[1] == self._retry_sha else _RECORDED
        return await self._next(reply, job, fetch)

    async def _doom_if_cancelled(self, job: ClaimedJob) -> None:
        with suppress(QueueUnavailableError):  # its end is recorded; it runs once more, and its holder is told again
            await doom_cancelled(self._store, [(job.queue, job.id)])

    # --- What comes next --------------------------------------------------------------------------------------------

    async def _next(self, reply: list[Any], job: ClaimedJob, fetch: Fetch) -> Finished:
        keys = self._store.keys(job.queue)
        found = Hash(reply)
        if not found.is_special and found.name in fetch.names:
            return Finished(is_recorded=True, next=self._claims.take(found, keys, job.lock))
        try:
            following = await self._claiming.settle(found, keys, job.lock, fetch.names)
        except BaseException as exc:
            self._claims.abandon([job.lock])
            if isinstance(exc, QueueUnavailableError):
                return _RECORDED
            raise
        if following is not None:
            return Finished(is_recorded=True, next=following)
        return await self._fetch_apart(job, fetch)

    async def _fetch_apart(self, job: ClaimedJob, fetch: Fetch) -> Finished:
        """Claim a job by a call of its own: the script could not fetch, or what it fetched cannot run."""
        try:
            claim = await self._claiming.claim(
                queues=[job.queue], names=fetch.names, limit=1, worker_id=fetch.worker_id, lease_s=fetch.lease_s
            )
        except QueueUnavailableError:
            return _RECORDED
        return Finished(is_recorded=True, next=claim.jobs[0]) if claim.jobs else _RECORDED

    # --- The call ---------------------------------------------------------------------------------------------------

    async def _send(self, job: ClaimedJob, command: Command) -> Any:
        try:
            reply: Any = await (await self._store.pipe()).request(command)
            if reply.__class__ is Refused or reply.__class__ is Lost:
                reply = await self._store.again(command, reply)
        except BaseException:
            self._unknown[job.lock, job.id, job.token] = None
            raise
        return reply

    def _command(
        self, job: ClaimedJob, held: Held, outcome: Completed | Failed | Postponed, fetch: Fetch | None
    ) -> Command:
        keys = self._store.keys(job.queue)
        if isinstance(outcome, Completed):
            return self._finish_command(
                keys, job, b"completed", b"returnvalue", outcome.result, held.on_complete, held, fetch, ()
            )
        if isinstance(outcome, Postponed):
            return self._delay_command(keys, job, outcome.until, [], fetch, is_counted=False)
        error = _storable(outcome.error)
        stack = _to_json([_storable(outcome.stack)] if outcome.stack else []).decode()
        fields = ["failedReason", error, "stacktrace", stack, FIELD_ERROR, _storable(outcome.error_type)]
        if outcome.retry_at is None:
            return self._finish_command(
                *(keys, job, b"failed", b"failedReason", error, held.on_fail, held, fetch, (_pack(fields),))
            )
        if int(outcome.retry_at * 1000) <= self._store.now_ms():
            return self._retry_command(keys, job, fields)
        return self._delay_command(keys, job, outcome.retry_at, fields, fetch, is_counted=True)

    def _finish_command(
        self,
        keys: QueueKeys,
        job: ClaimedJob,
        target: bytes,
        name: bytes,
        value: bytes | str,
        remove_on: Any,
        held: Held,
        fetch: Fetch | None,
        fields: tuple[bytes, ...],
    ) -> Command:
        head, tail = keys.finished(target)
        worker_id, lease_ms = ("", 0) if fetch is None else (fetch.worker_id, int(fetch.lease_s * 1000))
        options = self._claims.finish_options(job.lock, worker_id, lease_ms, remove_on, held.attempts)
        return (
            b"EVALSHA",
            self._sha,
            14,
            *head,
            keys.base + job.id,
            *tail,
            job.id,
            self._store.now_ms(),
            name,
            value,
            target,
            b"" if fetch is None else b"1",
            keys.base_bytes,
            options,
            *fields,
        )

    def _delay_command(
        self,
        keys: QueueKeys,
        job: ClaimedJob,
        until: float,
        fields: list[str],
        fetch: Fetch | None,
        *,
        is_counted: bool,
    ) -> Command:
        due_ms = int(until * 1000)
        delay_ms = max(0, due_ms - self._store.now_ms())
        options = None
        if fetch is not None:
            options = self._claims.claim_options(job.lock, fetch.worker_id, int(fetch.lease_s * 1000))
        fields = [*fields, FIELD_DUE, str(due_ms)]
        return delay_command(
            self._store, keys, job.id, job.lock, delay_ms, fields, is_counted=is_counted, fetch=options
        )

    def _retry_command(self, keys: QueueKeys, job: ClaimedJob, fields: list[str]) -> Command:
        key, now = keys.key, self._store.now_ms()
        script_keys = (
            *(key("active"), key("wait"), key("paused"), keys.job(job.id), key("meta"), key("events")),
            *(key("delayed"), key("prioritized"), key("pc"), key("marker"), key("stalled")),
        )
        packed = _pack([*fields, FIELD_DUE, str(now)])
        return self._store.call("retryJob", script_keys, (keys.base, now, b"LPUSH", job.id, job.lock, packed))

    # --- A claim that Redis does not know ---------------------------------------------------------------------------

    async def _look_up(self, job: ClaimedJob) -> Held | None:
        """Return what is remembered of a claim, for one that was made by another engine."""
        text = await self._store.command("HGET", self._store.keys(job.queue).job(job.id), "opts")
        if text is None:
            return None
        options = read_options(text)
        return Held(job.id, job.token, job.attempts, options.removeOnComplete, options.removeOnFail)

    async def _judge(self, job: ClaimedJob) -> Finished:
        """Tell a claim that is over from one whose end this process has recorded without hearing so."""
        sent = (job.lock, job.id, job.token)
        if sent not in self._unknown:
            self._claims.forget(job.lock)
            return _NOT_RECORDED
        self._claims.abandon([job.lock])  # what was fetched with the lost answer is locked by it
        found = await self._store.command(
            "HMGET", self._store.keys(job.queue).job(job.id), "ats", "atm", "finishedOn", FIELD_DUE
        )
        del self._unknown[sent]
        started, ended, finished_on, due = found
        if started is None:
            return _RECORDED  # deleted as it finished: nobody else could have had it without a lock of their own
        is_ours = int(started) == job.token
        has_ended = finished_on is not None or int(ended or 0) > job.failures or due is not None
        return _RECORDED if is_ours and has_ended else _NOT_RECORDED


def is_final(outcome: Completed | Failed | Postponed) -> bool:
    """Tell whether a job with this outcome is finished."""
    return isinstance(outcome, Completed) or (isinstance(outcome, Failed) and outcome.retry_at is None)


def _storable(text: str) -> str:
    """Return `text` without what UTF-8 cannot say: half a surrogate pair out of somebody's message."""
    return text if text.isascii() else text.encode(errors="replace").decode()
