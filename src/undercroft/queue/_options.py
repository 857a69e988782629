"""The options of a job, from every spelling into one frozen value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import msgspec

from undercroft._core.durations import Duration, to_seconds
from undercroft._core.errors import near_names
from undercroft.queue._backoff import Backoff, BackoffFunction, BackoffLike, to_backoff
from undercroft.queue._checks import (
    check_boolean,
    check_integer,
    check_key,
    check_name,
    to_deduplication,
    to_keep,
)
from undercroft.queue._errors import JobDefinitionError
from undercroft.queue._values import Deduplication, Keep

if TYPE_CHECKING:
    from undercroft.queue._job import Job

MAX_ATTEMPTS = 1000
MAX_PRIORITY = 2**21  # BullMQ's limit
MAX_TAGS = 32
KEEP_COMPLETED = Keep(age_s=24 * 3600.0, count=1000)
KEEP_FAILED = Keep(age_s=7 * 24 * 3600.0)
IDEMPOTENCY_TTL_S = 24 * 3600.0
_IDEMPOTENCY = "idempotency:"


class Priority(IntEnum):
    """Names for priorities; any whole number from 0 to 2097152 is one.

    A job without a priority has 0, and so comes before all that have a larger one: name the priority of all jobs of a
    queue, or of none.
    """

    CRITICAL = 0
    HIGH = 10
    NORMAL = 100
    LOW = 1000
    BACKGROUND = 10_000


RunIn = Literal["thread", "process"]
KeepLike = Keep | bool | int | str | timedelta | Mapping[str, Any]
"""How long a finished job is kept: `True` for ever, `False` not at all, a number of jobs, an age (`"2d"`, `timedelta`),
or `{"age": duration, "count": number}`, of which both hold."""


class JobOptions(TypedDict, total=False):
    """Options of a job, given where it is defined or where it is enqueued."""

    attempts: int
    """Runs in all, 1 to 1000. Default 3."""
    retries: int
    """Runs after the first: `retries=3` is `attempts=4`. Give one of the two."""
    backoff: BackoffLike
    """Wait between runs. Default exponential from 1 second to 60, with full jitter."""
    delay: Duration
    """Wait before the first run."""
    run_at: datetime
    """The earliest instant of the first run, with a time zone. Give this or `delay`."""
    timeout: Duration | None
    """How long one run may take; `None` is without limit. Default 30 seconds."""
    priority: int
    """0, the default, is the most urgent; larger waits longer. Up to 2097152, as in BullMQ. See `Priority`."""
    queue: str
    """Name of the queue. Default `"default"`."""
    lifo: bool
    """Come before the jobs of the same priority that wait already. Default false."""
    deduplication: Deduplication | Mapping[str, Any] | str
    """Which jobs of the queue count as the same; also `{"id", "ttl", "extend", "replace"}`, or the key alone."""
    dedupe_key: str
    """While a job with this key is not finished, another is not stored. Short for `Deduplication.simple`."""
    idempotency_key: str
    """Within `idempotency_ttl`, one job of the queue has this key, also after it finished."""
    idempotency_ttl: Duration
    """How long an idempotency key is remembered. Default 24 hours."""
    keep_completed: KeepLike
    """How long the job is kept once it is completed. Default 24 hours, and no more than 1000 of its queue."""
    keep_failed: KeepLike
    """How long the job is kept once it failed for good. Default 7 days."""
    tags: Iterable[str]
    """Labels to find it by, up to 32."""
    tenant: str
    """Whose job it is, where one application serves many: a label in `current_job().tenant` and in lists."""
    on_failure: Job[..., Any] | str
    """The job to enqueue when this one failed for good."""


class DefinitionOptions(JobOptions, total=False):
    """Options of a job, given where it is defined."""

    run_in: RunIn
    """Where a plain function runs: in a `"thread"` of the worker (the default) or in a `"process"` of its own."""


class ResolvedOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options after checking, with every default filled in. Cheap to change: `with_` is called for single jobs."""

    attempts: int = 3
    backoff: Backoff | BackoffFunction = Backoff.exponential()
    delay_s: float = 0.0
    run_at: float | None = None
    """Epoch seconds."""
    timeout_s: float | None = 30.0
    priority: int = 0
    queue: str = "default"
    lifo: bool = False
    deduplication: Deduplication | None = None
    keep_completed: Keep = KEEP_COMPLETED
    keep_failed: Keep = KEEP_FAILED
    tags: tuple[str, ...] = ()
    tenant: str | None = None
    on_failure: str | None = None
    run_in: RunIn = "thread"

    def with_(self, given: Mapping[str, Any], *, is_definition: bool = False) -> ResolvedOptions:
        """Return these options with `given` (the keys of `JobOptions`, or of `DefinitionOptions`) on top.

        Raises:
            JobDefinitionError: An unknown option, a value out of its range, or two options that say the same thing.
        """
        if not given:
            return self
        _check_names(given, is_definition)
        changes: dict[str, Any] = {}
        for key, raw in given.items():
            changes.update(_CHECKS[key](raw, given))
        return msgspec.structs.replace(self, **changes)

    def due_at(self, now: float) -> float:
        """Return the earliest instant of the first run of a job that is enqueued now."""
        if self.run_at is not None:
            return self.run_at
        return now + (self.delay_s or _debounce_s(self.deduplication))


def _debounce_s(rule: Deduplication | None) -> float:
    """Return how long a debounced job waits for another to replace it."""
    return rule.ttl_s or 0.0 if rule is not None and rule.extend and rule.replace else 0.0


def _check_names(given: Mapping[str, Any], is_definition: bool) -> None:
    known = _NAMES if is_definition else _NAMES - {"run_in"}
    for key in given:
        if key == "run_in" and not is_definition:
            raise JobDefinitionError(
                "'run_in' belongs to the job's definition", hint='write @job("its.name", run_in="process")'
            )
        if key not in known:
            raise JobDefinitionError(
                f"unknown job option {key!r}",
                near=near_names(str(key), known),
                hint=f"options: {', '.join(sorted(known))}",
            )
    for first, second, hint in _EXCLUSIVE:
        if first in given and second in given:
            raise JobDefinitionError(f"both {first!r} and {second!r} are given", hint=hint)


_ONE_KEY = "a job is deduplicated by one key; keep one of them"
_EXCLUSIVE = (
    ("attempts", "retries", "attempts = retries + 1; keep one"),
    ("delay", "run_at", "keep one of them"),
    ("deduplication", "dedupe_key", _ONE_KEY),
    ("deduplication", "idempotency_key", _ONE_KEY),
    ("dedupe_key", "idempotency_key", _ONE_KEY),
)


def _instant(raw: Any) -> float:
    if not isinstance(raw, datetime) or raw.tzinfo is None:
        raise JobDefinitionError(
            f"run_at {raw!r} is not a datetime with a time zone", hint="use datetime.now(timezone.utc) + timedelta(…)"
        )
    return raw.timestamp()


def _idempotent(key: Any, given: Mapping[str, Any]) -> Deduplication:
    ttl_s = to_seconds(given.get("idempotency_ttl", IDEMPOTENCY_TTL_S), name="idempotency_ttl")
    if ttl_s <= 0:
        raise JobDefinitionError("an idempotency_ttl of 0 would remember the key for no time")
    return Deduplication(key=f"{_IDEMPOTENCY}{check_key(key, what='idempotency_key')}", ttl_s=ttl_s)


def deduplication_of(options: ResolvedOptions, job_name: str) -> Deduplication | None:
    """Return what makes a run of this job a duplicate. An idempotency key is the job's own: others may use the same."""
    found = options.deduplication
    if found is None or not found.key.startswith(_IDEMPOTENCY):
        return found
    return msgspec.structs.replace(found, key=f"{_IDEMPOTENCY}{job_name}:{found.key.removeprefix(_IDEMPOTENCY)}")


def _idempotency_ttl(_raw: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    if "idempotency_key" not in given:
        raise JobDefinitionError(
            "'idempotency_ttl' is given without 'idempotency_key'", hint="give both where you enqueue"
        )
    return {}


def _tags(raw: Any) -> tuple[str, ...]:
    if isinstance(raw, str) or not isinstance(raw, Iterable):
        raise JobDefinitionError(f"tags {raw!r} is not a list of texts", hint=f"write tags=[{str(raw)!r}]")
    tags = tuple(dict.fromkeys(check_key(tag, what="tag") for tag in raw))
    if len(tags) > MAX_TAGS:
        raise JobDefinitionError(f"{len(tags)} tags are too many", hint=f"give up to {MAX_TAGS}")
    return tags


def _on_failure(raw: Any) -> str:
    return check_name(raw if isinstance(raw, str) else getattr(raw, "name", raw), what="on_failure job")


def _run_in(raw: Any) -> str:
    if raw not in ("thread", "process"):
        raise JobDefinitionError(f"run_in {raw!r} is not known", hint='"thread" or "process"')
    return str(raw)


_Check = Callable[[Any, Mapping[str, Any]], dict[str, Any]]
_CHECKS: dict[str, _Check] = {
    "attempts": lambda raw, _: {"attempts": check_integer("attempts", raw, low=1, high=MAX_ATTEMPTS)},
    "retries": lambda raw, _: {"attempts": 1 + check_integer("retries", raw, low=0, high=MAX_ATTEMPTS - 1)},
    "backoff": lambda raw, _: {"backoff": to_backoff(raw)},
    "delay": lambda raw, _: {"delay_s": to_seconds(raw, name="delay"), "run_at": None},
    "run_at": lambda raw, _: {"run_at": _instant(raw), "delay_s": 0.0},
    "timeout": lambda raw, _: {"timeout_s": None if raw is None else to_seconds(raw, name="timeout")},
    "priority": lambda raw, _: {"priority": check_integer("priority", raw, low=0, high=MAX_PRIORITY)},
    "queue": lambda raw, _: {"queue": check_name(raw, what="queue name")},
    "lifo": lambda raw, _: {"lifo": check_boolean("lifo", raw)},
    "deduplication": lambda raw, _: {"deduplication": to_deduplication(raw)},
    "dedupe_key": lambda raw, _: {"deduplication": Deduplication(key=check_key(raw, what="dedupe_key"))},
    "idempotency_key": lambda raw, given: {"deduplication": _idempotent(raw, given)},
    "idempotency_ttl": _idempotency_ttl,
    "keep_completed": lambda raw, _: {"keep_completed": to_keep(raw, name="keep_completed")},
    "keep_failed": lambda raw, _: {"keep_failed": to_keep(raw, name="keep_failed")},
    "tags": lambda raw, _: {"tags": _tags(raw)},
    "tenant": lambda raw, _: {"tenant": check_key(raw, what="tenant")},
    "on_failure": lambda raw, _: {"on_failure": _on_failure(raw)},
    "run_in": lambda raw, _: {"run_in": _run_in(raw)},
}
_NAMES = frozenset(_CHECKS)
