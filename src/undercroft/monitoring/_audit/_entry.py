"""An audit entry as it is read, and how texts are checked before they become one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from undercroft._core.clock import utc
from undercroft._core.errors import near_names
from undercroft.monitoring._audit._chain import Body
from undercroft.monitoring._audit._errors import AuditDamagedError, AuditEntryError
from undercroft.monitoring._audit._protocol import AuditMark, Sealed

_MAX_NAME = 512
_MAX_REASON = 4_096
_EPOCH = utc(0)


class AuditOutcome(StrEnum):
    """How the action ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    """It was allowed and did not work."""
    DENIED = "denied"
    """It was not allowed."""


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what to which thing, when, and how it ended. Has a JSON form."""

    sequence: int
    """Its number in the log, from 1, without gaps."""
    at: datetime
    action: str
    resource: str
    actor: str
    tenant: str | None
    outcome: AuditOutcome
    reason: str | None
    ip: str | None
    before: Mapping[str, object] | None
    """What differs, as it was; `None` when there was nothing before. Secrets are hidden."""
    after: Mapping[str, object] | None
    request_id: str | None
    trace_id: str | None
    job_id: str | None
    hash: str
    """Of this entry and all before it."""

    @property
    def mark(self) -> AuditMark:
        """Where it stands in the log, for `verify`."""
        return AuditMark(sequence=self.sequence, hash=self.hash)


def entry_of(sealed: Sealed) -> AuditEntry:
    """Read a stored entry.

    Raises:
        AuditDamagedError: It is not what `record` stores.
    """
    try:
        body = msgspec.json.decode(sealed.body, type=Body)
        outcome, at = AuditOutcome(body.outcome), _EPOCH + timedelta(microseconds=body.at_us)
    except (msgspec.MsgspecError, ValueError, OverflowError) as exc:
        raise AuditDamagedError(
            f"entry {sealed.sequence} of the audit log cannot be read: {exc}",
            sequence=sealed.sequence,
            hint="`verify()` tells from where on the log is not as it was recorded",
        ) from exc
    fields = msgspec.structs.asdict(body)
    del fields["version"], fields["at_us"]
    return AuditEntry(**{**fields, "outcome": outcome, "at": at, "hash": sealed.hash})


def microseconds(at: datetime, what: str) -> int:
    """Return an aware instant in microseconds since the Unix epoch.

    Raises:
        AuditEntryError: It has no time zone.
    """
    if at.tzinfo is None:
        raise AuditEntryError(f"{what} {at!r} has no time zone", hint="datetime.now(UTC)")
    return (at - _EPOCH) // timedelta(microseconds=1)


def checked(text: object, what: str, *, limit: int = _MAX_NAME) -> str:
    """Return `text` if an entry can have it.

    Raises:
        AuditEntryError: It is no text, blank, too long, or holds half of a surrogate pair.
    """
    if not isinstance(text, str) or not text.strip():
        raise AuditEntryError(f"{what} is {text!r}, and must be a text that is not blank", hint=_HINTS.get(what))
    if len(text) > limit:
        raise AuditEntryError(f"{what} has {len(text)} characters, and {limit} are the most")
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise AuditEntryError(f"{what} is not Unicode: half of a surrogate pair at {exc.start}") from None
    return text


def checked_reason(reason: object) -> str:
    """Return the reason if an entry can have it; raises as `checked` does."""
    return checked(reason, "reason", limit=_MAX_REASON)


def checked_outcome(outcome: str) -> AuditOutcome:
    """Return the outcome as one.

    Raises:
        AuditEntryError: There is no such outcome.
    """
    try:
        return AuditOutcome(outcome)
    except ValueError:
        raise AuditEntryError(
            f"outcome {outcome!r} is not known",
            near=near_names(str(outcome), tuple(AuditOutcome)),
            hint=f"known: {', '.join(AuditOutcome)}",
        ) from None


_HINTS = {
    "actor": 'say who did it: a user\'s id, "system", "cron:cleanup"',
    "action": 'say what was done: "order.refund"',
    "resource": 'say to what: "order:7"',
}
