"""The last occurrence of an error, small and without secrets: what a person reads to understand the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec

from undercroft._core.context import correlation
from undercroft._core.errors import UndercroftError
from undercroft.monitoring._tracking._frames import Frame
from undercroft.monitoring._tracking._ports import Redact

_MAX_MESSAGE = 1_000
_MAX_CONTEXT_BYTES = 4_096
_MAX_STACK = 20


class ErrorSample(msgspec.Struct, frozen=True, kw_only=True):
    """One occurrence of an error. Secrets are hidden."""

    at: datetime
    message: str
    """At most 1,000 characters."""
    stack: tuple[str, ...]
    """The innermost 20 calls, the innermost first: `shop.pay:charge line 31`."""
    context: Mapping[str, object] = {}
    """What was passed along, as plain data; if that was more than 4 KiB of JSON, a note instead."""
    request_id: str | None = None
    trace_id: str | None = None
    job_id: str | None = None


def sample_of(
    exc: BaseException, frames: Iterable[Frame], *, context: Mapping[str, object] | None, redact: Redact, at: datetime
) -> ErrorSample:
    """Make a sample. Never raises: what cannot be shown becomes a text that says so."""
    message, shown = _redacted(_message_of(exc), context or {}, redact)
    names = correlation()
    return ErrorSample(
        at=at,
        message=message,
        stack=tuple(str(frame) for frame in [*frames][:_MAX_STACK]),
        context=shown,
        request_id=names.request_id,
        trace_id=names.trace.trace_id if names.trace else None,
        job_id=names.job_id,
    )


def _message_of(exc: BaseException) -> str:
    try:
        text = exc.message if isinstance(exc, UndercroftError) else str(exc)
    except Exception as problem:  # whatever its __str__ does, the error it stands for must be counted
        return f"<unprintable {type(exc).__name__}: {type(problem).__name__}>"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _redacted(message: str, context: Mapping[str, object], redact: Redact) -> tuple[str, Mapping[str, object]]:
    try:
        shown = redact({"message": message, "context": _plain(context)})
        text, plain = str(shown["message"]), shown["context"]
        if not isinstance(plain, Mapping):
            plain = {"context": plain}
    except Exception as problem:  # closed: what could not be redacted is not kept
        note = f"<not kept, since redacting it failed: {type(problem).__name__}>"
        return note, {}
    return _cut(text, _MAX_MESSAGE), plain


def _plain(context: Mapping[str, object]) -> object:
    """Return the context as plain data of its own, or a text that says why not."""
    try:
        encoded = msgspec.json.encode(dict(context), enc_hook=_name_of, order=None)
    except Exception as problem:  # a cycle, a key or a value that is not JSON; it must not hide the error
        return f"<context not kept: {type(problem).__name__}>"
    if len(encoded) > _MAX_CONTEXT_BYTES:
        return f"<context not kept: {len(encoded)} bytes>"
    return msgspec.json.decode(encoded)


def _name_of(value: object) -> str:
    return f"<{type(value).__name__}>"


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…(+{len(text) - limit} characters)"
