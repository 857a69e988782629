"""The chain: each entry's hash covers the entry and the hash before it, so none can be changed alone.

The hash is SHA-256 of the hash before (64 hex digits), a newline, and the entry's JSON; with a key, HMAC-SHA-256 of the
same (RFC 2104). The JSON has the entry's number in it.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from undercroft.monitoring._audit._protocol import AuditMark, Sealed

VERSION = 1


class Body(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An entry as the JSON object that is stored and hashed."""

    version: int
    sequence: int
    at_us: int
    """Microseconds since the Unix epoch."""
    action: str
    resource: str
    actor: str
    outcome: str
    tenant: str | None = None
    reason: str | None = None
    ip: str | None = None
    before: Mapping[str, object] | None = None
    after: Mapping[str, object] | None = None
    request_id: str | None = None
    trace_id: str | None = None
    job_id: str | None = None


def seal(body: Body, *, after: AuditMark, key: bytes | None) -> Sealed:
    """Return `body` as the entry that follows `after`."""
    numbered = msgspec.structs.replace(body, sequence=after.sequence + 1)
    text = msgspec.json.encode(numbered).decode()
    return Sealed(sequence=numbered.sequence, body=text, hash=hash_of(text, before=after.hash, key=key))


def hash_of(body: str, *, before: str, key: bytes | None) -> str:
    """Return the hash of an entry whose predecessor has the hash `before`."""
    from hashlib import sha256
    from hmac import digest

    data = f"{before}\n{body}".encode("utf-8", "surrogateescape")
    return sha256(data).hexdigest() if key is None else digest(key, data, "sha256").hex()


def problem_of(entry: Sealed, *, before: AuditMark, key: bytes | None) -> str | None:
    """Return what is wrong with an entry that should follow `before`; `None` when nothing is."""
    from hmac import compare_digest

    expected = before.sequence + 1
    if entry.sequence != expected:
        return f"entry {expected} is missing: entry {entry.sequence} follows entry {before.sequence}"
    if not compare_digest(hash_of(entry.body, before=before.hash, key=key), entry.hash):
        return f"entry {expected} does not have the hash that it was recorded with"
    try:
        body = msgspec.json.decode(entry.body, type=Body)
    except (msgspec.MsgspecError, UnicodeError) as exc:
        return f"entry {expected} cannot be read: {exc}"
    if body.sequence != expected:
        return f"entry {expected} was recorded as entry {body.sequence}"
    return None
