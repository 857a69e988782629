"""The audit log that is used: checks, redaction, the chain, search; the store only keeps."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, Self

import msgspec

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.context import correlation
from undercroft._core.extras import Schemes
from undercroft._core.url import Url
from undercroft.monitoring._audit._chain import VERSION, Body, problem_of, seal
from undercroft.monitoring._audit._changes import changes_between
from undercroft.monitoring._audit._entry import (
    AuditEntry,
    AuditOutcome,
    checked,
    checked_outcome,
    checked_reason,
    entry_of,
    microseconds,
)
from undercroft.monitoring._audit._errors import AuditEntryError, AuditUnavailableError
from undercroft.monitoring._audit._protocol import AuditMark, AuditQuery, AuditStore, Sealed
from undercroft.monitoring._metrics._declared import Counter
from undercroft.monitoring._tracking._ports import Redact

SCHEMES = Schemes(
    "audit log",
    {
        "memory": "undercroft.monitoring._audit.memory:MemoryAuditStore",
        "sqlite": "undercroft.monitoring._audit.sqlite:SqliteAuditStore",
    },
)
_MAX_FOUND = 1_000
_PAGE = 500
_LEAST_KEY_BYTES = 16


class AuditVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the log is as it was recorded. Has a JSON form."""

    is_intact: bool
    checked_count: int
    """Entries that were found to be as they were recorded, from the first one on."""
    end: AuditMark
    """The last of them."""
    problem: str | None = None
    """What is wrong with the entry after that."""


class AuditLog:
    """Records who did what to which thing. Used inside `async with`, which opens and closes its store.

    Any number of processes may share a store.

    Args:
        redact: Hides secrets in `before`, `after` and `reason`, `undercroft.logging.redact_pii` for one. What it
            raises, `record` raises, and nothing is recorded.
        key: Makes the hashes ones that only its holder can compute, so that whoever can write the store cannot write
            the log anew. At least 16 bytes; the same for the whole life of a log. Without a key, only marks that are
            kept elsewhere show that.

    Raises:
        AuditEntryError: The key is too short.
    """

    def __init__(
        self, store: AuditStore, *, redact: Redact, key: str | bytes | None = None, clock: Clock | None = None
    ) -> None:
        self._store = store
        self._redact = redact
        self._key = key.encode() if isinstance(key, str) else key
        self._clock = clock or SystemClock()
        self._recorded = Counter(
            "undercroft_audit_entries_total", help="Entries of the audit log, by outcome.", labels=("outcome",)
        )
        self._unrecorded = Counter(
            "undercroft_audit_unrecorded_total", help="Entries that the audit log's store did not take."
        )
        if self._key is not None and len(self._key) < _LEAST_KEY_BYTES:
            raise AuditEntryError(
                f"the audit log's key has {len(self._key)} bytes, and {_LEAST_KEY_BYTES} are the least",
                hint="make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'",
            )

    async def record(
        self,
        action: str,
        resource: str,
        *,
        actor: str,
        tenant: str | None = None,
        before: Mapping[str, object] | None = None,
        after: Mapping[str, object] | None = None,
        outcome: AuditOutcome | Literal["success", "failure", "denied"] = AuditOutcome.SUCCESS,
        reason: str | None = None,
        ip: str | None = None,
    ) -> AuditEntry:
        """Record one action, and return once it is durable. The request's, trace's and job's ids are added.

        Cancellation: the entry may be recorded all the same.

        Args:
            action: What was done: `"order.refund"`.
            resource: To what: `"order:7"`.
            actor: Who did it: a user's id, `"system"`, `"cron:cleanup"`. Kept as it is, like the other names.
            before, after: The thing's state. With both, only what differs is kept. At most 64 KiB of JSON each.

        Raises:
            AuditEntryError: An argument cannot be used; nothing was recorded.
            AuditUnavailableError: The store did not take it; nothing was recorded.
        """
        names = correlation()
        old, new = changes_between(before, after, self._redact)
        body = Body(
            version=VERSION,
            sequence=0,
            at_us=round(self._clock.time() * 1_000_000),
            action=checked(action, "action"),
            resource=checked(resource, "resource"),
            actor=checked(actor, "actor"),
            outcome=checked_outcome(outcome).value,
            tenant=None if tenant is None else checked(tenant, "tenant"),
            reason=None if reason is None else self._redacted(checked_reason(reason)),
            ip=None if ip is None else checked(ip, "ip"),
            before=old,
            after=new,
            request_id=names.request_id,
            trace_id=names.trace.trace_id if names.trace else None,
            job_id=names.job_id,
        )
        try:
            sealed = await self._store.append(lambda last: seal(body, after=last, key=self._key))
        except AuditUnavailableError:
            self._unrecorded.increment()
            raise
        self._recorded.increment(outcome=body.outcome)
        return entry_of(sealed)

    async def search(
        self,
        *,
        action: str | None = None,
        resource: str | None = None,
        actor: str | None = None,
        tenant: str | None = None,
        outcome: AuditOutcome | Literal["success", "failure", "denied"] | None = None,
        request_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        older_than: int | None = None,
        limit: int = 50,
    ) -> list[AuditEntry]:
        """Return the entries that match all that is given, the newest first.

        Args:
            since, until: Recorded at `since` or later, and before `until`.
            older_than: A sequence number; the last one of a page gets the next page.
            limit: From 1 to 1,000.

        Raises:
            AuditEntryError: An argument cannot be used.
            AuditDamagedError: An entry that matches cannot be read.
            AuditUnavailableError: The store did not answer.
        """
        if not 1 <= limit <= _MAX_FOUND:
            raise AuditEntryError(f"limit {limit!r} is not between 1 and {_MAX_FOUND}", hint="page with older_than=")
        query = AuditQuery(
            action=action,
            resource=resource,
            actor=actor,
            tenant=tenant,
            outcome=None if outcome is None else checked_outcome(outcome),
            request_id=request_id,
            since_us=None if since is None else microseconds(since, "since"),
            until_us=None if until is None else microseconds(until, "until"),
            older_than=older_than,
            limit=limit,
        )
        return [entry_of(sealed) for sealed in await self._store.find(query)]

    async def mark(self) -> AuditMark:
        """Return the mark of the last entry. Kept elsewhere, it proves later that nothing before it was taken away.

        Raises:
            AuditUnavailableError: The store did not answer.
        """
        return await self._store.last()

    async def verify(self, *, mark: AuditMark | None = None) -> AuditVerdict:
        """Read the whole log, and tell whether it is as it was recorded.

        Sees entries that were changed, inserted, moved, or taken out of the middle. Entries taken from the end, and a
        log that was written anew, are seen by a `mark` from before; the latter also by the key. Entries that are
        recorded meanwhile are not looked at.

        Raises:
            AuditUnavailableError: The store did not answer.
        """
        end = await self._store.last()
        reached, is_marked = AuditMark(), mark is None or mark == AuditMark()
        while reached.sequence < end.sequence:
            page = await self._store.read(after=reached.sequence, limit=_PAGE)
            for sealed in page:
                problem = problem_of(sealed, before=reached, key=self._key) or _differs(sealed, mark)
                if problem is not None:
                    return _broken(reached, problem)
                reached = AuditMark(sequence=sealed.sequence, hash=sealed.hash)
                is_marked = is_marked or reached == mark
            if not page:
                return _broken(reached, f"entry {reached.sequence + 1} is missing, and all after it")
        if not is_marked and mark is not None:
            return _broken(reached, f"the log ends with entry {reached.sequence}, and had entry {mark.sequence} once")
        return AuditVerdict(is_intact=True, checked_count=reached.sequence, end=reached)

    async def ping(self) -> None:
        """Return when the store answers.

        Raises:
            AuditUnavailableError: It does not.
        """
        await self._store.ping()

    async def __aenter__(self) -> Self:
        await self._store.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._store.__aexit__(*exc_info)

    def __repr__(self) -> str:
        return f"AuditLog(store={self._store.name!r}, has_key={self._key is not None})"

    def _redacted(self, reason: str) -> str:
        return str(self._redact({"reason": reason})["reason"])


def create_audit_log(
    url: str, *, redact: Redact, key: str | bytes | None = None, clock: Clock | None = None
) -> AuditLog:
    """Return the audit log in the store that `url` names. Opens nothing yet.

    - `sqlite:///var/audit.db`: a file, durable when `record` returns. Options: `busy_timeout_s`.
    - `memory://`: this process, for tests.

    Raises:
        UrlError: The URL cannot be read, or has an option that the store does not know.
        ConfigError: There is no store for its scheme.
        AuditEntryError: The key is too short.
    """
    parsed = Url.parse(url, what="audit log")
    store: AuditStore = SCHEMES.load(parsed, what="audit log").from_url(parsed, what="audit log")
    return AuditLog(store, redact=redact, key=key, clock=clock)


def _differs(sealed: Sealed, mark: AuditMark | None) -> str | None:
    if mark is None or mark.sequence != sealed.sequence or mark.hash == sealed.hash:
        return None
    return f"entry {sealed.sequence} is not the one of the mark: the log was written anew"


def _broken(reached: AuditMark, problem: str) -> AuditVerdict:
    return AuditVerdict(is_intact=False, checked_count=reached.sequence, end=reached, problem=problem)
