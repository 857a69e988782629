"""A job's options as BullMQ stores them, and what we keep beside them.

The hash of a job has `name`, `data` (JSON), `opts` (JSON of `StoredOptions`), `timestamp`, `delay`, `priority`, `ats`
(claims), `atm` (runs that ended), `stc` (crashes), `defa` (why it must not run), `pb` (worker), `processedOn`,
`finishedOn`, `returnvalue`, `failedReason`, `stacktrace`, `parent`, `parentKey`, `deid`, … Ours are the `FIELD_…`s.
"""

from __future__ import annotations

from typing import Any

import msgspec

from undercroft._core.carrier import BAGGAGE, TRACEPARENT, TRACESTATE
from undercroft.queue._backoff import Backoff
from undercroft.queue._values import Keep, NewJob, OnChildFailure

FIELD_DUE = "ucDue"
"""When a job that came back is due, in ms."""
FIELD_ERROR = "ucError"
"""The error type of the last run that failed."""
FIELD_PARKED = "ucParked"
"""Set while it is parked."""
FIELD_CRASHES = "ucCrashes"
"""For how many crashes (`stc`) it has waited already."""
CANCELLED = "cancelled"
"""`defa` of a job that was cancelled while it waited."""
STALLED = "job stalled more than allowable limit"
"""`defa` of a job that took down too many workers: BullMQ's words."""


class Ours(msgspec.Struct, omit_defaults=True):
    """What BullMQ knows nothing of: the option `uc`, which marks a job as added by us."""

    v: int
    backoff: Backoff | None = None
    timeout_s: float | None = None
    request_id: str | None = None
    tags: tuple[str, ...] = ()
    on_failure: str | None = None
    due_ms: int | None = None
    """When that is not `timestamp` + `delay`."""


class StoredOptions(msgspec.Struct, omit_defaults=True):
    """The field `opts`, in BullMQ's short names; whatever else is in it is left alone."""

    attempts: Any = 1
    backoff: Any = None
    delay: Any = 0
    priority: Any = 0
    lifo: Any = False
    removeOnComplete: Any = None  # noqa: N815 - BullMQ's name
    removeOnFail: Any = None  # noqa: N815
    de: Any = None
    fpof: Any = False
    idof: Any = False
    tm: Any = None
    """The carrier of a trace's context, as JSON text."""
    uc: Ours | None = None


_UNREADABLE = StoredOptions()
_decode = msgspec.json.Decoder(StoredOptions).decode
_decode_any = msgspec.json.Decoder().decode


def read_options(text: bytes | None) -> StoredOptions:
    """Read the field `opts`; of one that makes no sense, the defaults."""
    if not text:
        return _UNREADABLE
    try:
        return _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _UNREADABLE


def options_of(job: NewJob, *, created_ms: int, delay_ms: int) -> StoredOptions:
    """Return what is stored of a new job."""
    due_ms = int(job.due_at * 1000)
    deduplication = job.deduplication
    is_child = job.parent_id is not None
    return StoredOptions(
        attempts=job.attempts,
        backoff=None if job.backoff is None else _nodes_backoff(job.backoff),
        delay=delay_ms,
        priority=job.priority,
        lifo=job.lifo,
        removeOnComplete=_remove_on(job.keep_completed),
        removeOnFail=_remove_on(job.keep_failed),
        de=None if deduplication is None else _deduplication(deduplication),
        fpof=is_child and job.on_child_failure is OnChildFailure.FAIL,
        idof=is_child and job.on_child_failure is OnChildFailure.IGNORE,
        tm=None if job.carrier is None else _telemetry(job.carrier),
        uc=Ours(
            1,
            backoff=job.backoff,
            timeout_s=job.timeout_s,
            request_id=job.request_id,
            tags=job.tags,
            on_failure=job.on_failure,
            due_ms=None if due_ms == created_ms + delay_ms else due_ms,
        ),
    )


def attempts_of(options: StoredOptions) -> int:
    """Return how often the job may run; Node writes 0 for once."""
    return max(1, _whole(options.attempts, 1))


def backoff_of(options: StoredOptions) -> Backoff | None:
    """Return the backoff, also of a job that Node added: `{type, delay}` or milliseconds."""
    if options.uc is not None:
        return options.uc.backoff
    given = options.backoff
    if isinstance(given, int | float) and given:
        return Backoff(kind="fixed", base_s=given / 1000)
    if not isinstance(given, dict) or given.get("type") not in ("fixed", "exponential"):
        return None
    return Backoff(kind=given["type"], base_s=_whole(given.get("delay"), 0) / 1000)


def carrier_of(options: StoredOptions) -> str | None:
    """Return the W3C headers that the job carries, in the form of `_core.carrier.pack`."""
    if not isinstance(options.tm, str):
        return None
    try:
        found = _decode_any(options.tm)
    except msgspec.DecodeError:
        return None
    if not isinstance(found, dict) or not isinstance(found.get(TRACEPARENT), str):
        return None
    return options.tm if TRACESTATE in found or BAGGAGE in found else found[TRACEPARENT]


def keep_jobs(remove_on: Any) -> dict[str, Any]:
    """Return `keepJobs` of `moveToFinished` for the options `removeOnComplete` and `removeOnFail`."""
    if isinstance(remove_on, dict):
        return remove_on
    if isinstance(remove_on, bool) or remove_on is None:
        return {"count": 0 if remove_on else -1}
    return {"count": _whole(remove_on, -1)}


def keep_of(remove_on: Any) -> Keep:
    """Return the same as a `Keep`."""
    kept = keep_jobs(remove_on)
    age, count = kept.get("age"), kept.get("count")
    if not isinstance(count, int | float) or count < 0:
        count = None
    return Keep(age_s=float(age) if isinstance(age, int | float) else None, count=None if count is None else int(count))


def _remove_on(keep: Keep) -> Any:
    if keep.count == 0:
        return True
    kept: dict[str, Any] = {}
    if keep.age_s is not None:
        kept["age"] = int(keep.age_s) if keep.age_s == int(keep.age_s) else keep.age_s
    if keep.count is not None:
        kept["count"] = keep.count
    return kept or None


def _nodes_backoff(backoff: Backoff) -> dict[str, Any]:
    # Node knows two kinds and throws at others; its workers get the nearest, ours read the whole from `uc`.
    kind = "exponential" if backoff.kind == "exponential" else "fixed"
    return {"type": kind, "delay": int(backoff.base_s * 1000)}


def _deduplication(wanted: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"id": wanted.key}
    if wanted.ttl_s is not None:
        given["ttl"] = max(1, int(wanted.ttl_s * 1000))
    if wanted.extend:
        given["extend"] = True
    if wanted.replace:
        given["replace"] = True
    return given


def _telemetry(carrier: str) -> str:
    # BullMQ keeps what its telemetry injects here: a JSON object of headers.
    return carrier if carrier.startswith("{") else msgspec.json.encode({TRACEPARENT: carrier}).decode()


def _whole(value: Any, default: int) -> int:
    return int(value) if isinstance(value, int | float) else default
