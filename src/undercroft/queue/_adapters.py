"""The forms of other kits: a job, or a schedule, as one mapping in BullMQ's shape, put into a queue by name.

In these mappings, and only there, a bare number for a duration is **milliseconds**, as in BullMQ; `timedelta` and text
such as `"5m"` are what they say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from undercroft._core.bound import BoundPart
from undercroft._core.durations import Duration
from undercroft._core.errors import near_names
from undercroft.queue._cron._info import CronInfo
from undercroft.queue._errors import JobDefinitionError
from undercroft.queue._facade import Queue
from undercroft.queue._handle import JobHandle
from undercroft.queue._options import JobOptions

_queue = BoundPart[Queue]("queue")
_Option = tuple[str, Callable[[Any], Any]]
_JOB_KEYS = ("data", "name", "options")
_CRON_DURATIONS = {"every", "jitter"}


async def create_job(queue: str, spec: Mapping[str, Any], /) -> JobHandle[Any]:
    """Store a run of a job, given as one mapping: `{"name": …, "data": {…}, "options": {…}}`.

        await create_job("emails", {
            "name": "email.welcome",
            "data": {"user_id": 7},
            "options": {"attempts": 3, "backoff": {"type": "exponential", "delay": 2000}},
        })

    Args:
        queue: Name of the queue.
        spec: `name` of a job that the bound queue knows, its `data`, and `options` as BullMQ has them: `attempts`,
            `backoff` and `backoff.delay`, `delay`, `timeout`, `priority`, `lifo`, `deduplication` (`id`, `ttl`,
            `extend`, `replace`), `removeOnComplete`, `removeOnFail`, and the names of `JobOptions`. Bare numbers for
            durations are milliseconds, but for the `age` of `removeOn…`, which is seconds, as in BullMQ.

    Raises:
        As `Queue.enqueue`; nothing is stored then.
    """
    _check_keys(spec, _JOB_KEYS, what="create_job")
    options = cast("JobOptions", {**job_options(spec.get("options") or {}), "queue": queue})
    return await _queue.require().enqueue(_required(spec, "create_job"), spec.get("data") or {}, **options)


async def schedule_job(queue: str, spec: Mapping[str, Any], /) -> CronInfo:
    """Store a schedule, given as one mapping: `{"name": …, "cron": "0 2 * * *", "data": {…}}`.

    Args:
        queue: Name of the queue.
        spec: `name` of the schedule, and of the job unless `job` names another; one of `cron`, `pattern`, `schedule`
            and `every` (milliseconds, if it is a bare number); `data`; and the other options of `Crons.schedule`.
            The same name again changes the schedule.

    Raises:
        As `Crons.schedule`; nothing is stored then.
    """
    name = _required(spec, "schedule_job")
    options: dict[str, Any] = {
        key: _duration(value) if key in _CRON_DURATIONS else value for key, value in spec.items()
    }
    options.pop("name")
    return await _queue.require().crons.schedule(name, queue=queue, **options)


def job_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return BullMQ's options as ours.

    Raises:
        JobDefinitionError: An unknown option.
    """
    known = {*_RENAMED, *JobOptions.__annotations__} - {"queue"}
    _check_keys(given, sorted(known), what="options")
    options: dict[str, Any] = {}
    for key, value in given.items():
        name, convert = _RENAMED.get(key, (key, lambda value: value))
        if name in options:
            raise JobDefinitionError(f"options: {key!r} and {name!r} say the same thing", hint="keep one of them")
        options[name] = convert(value)
    return options


def _duration(value: Any) -> Duration:
    """Return a duration whose bare number is milliseconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value / 1000
    return cast("Duration", value)  # what is none is refused where it is read


def _backoff(value: Any) -> Any:
    if isinstance(value, Mapping) and "delay" in value:
        return {**value, "delay": _duration(value["delay"])}
    return _duration(value)


def _deduplication(value: Any) -> Any:
    if isinstance(value, Mapping) and "ttl" in value:
        return {**value, "ttl": _duration(value["ttl"])}
    return value


def _kept(value: Any) -> Any:
    """Return `removeOn…` as `keep_…`: BullMQ says what goes, we say what stays; a number is how many stay in both."""
    return not value if isinstance(value, bool) else value


_RENAMED: dict[str, _Option] = {
    "backoff": ("backoff", _backoff),
    "deduplication": ("deduplication", _deduplication),
    "delay": ("delay", _duration),
    "idempotencyKey": ("idempotency_key", str),
    "idempotency_ttl": ("idempotency_ttl", _duration),
    "removeOnComplete": ("keep_completed", _kept),
    "removeOnFail": ("keep_failed", _kept),
    "timeout": ("timeout", _duration),
}


def _required(spec: Mapping[str, Any], what: str) -> str:
    name = spec.get("name")
    if not isinstance(name, str):
        raise JobDefinitionError(f'{what}: there is no "name" of a job', hint='write {"name": "email.welcome", …}')
    return name


def _check_keys(given: Mapping[str, Any], known: tuple[str, ...] | list[str], *, what: str) -> None:
    if not isinstance(given, Mapping):
        raise JobDefinitionError(f"{what}: {type(given).__name__} is not a mapping")
    for key in given:
        if key not in known:
            raise JobDefinitionError(
                f"{what}: unknown key {key!r}", near=near_names(str(key), known), hint=f"keys: {', '.join(known)}"
            )
