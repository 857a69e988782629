"""Cron definitions: values that say when a job runs by itself. They register nowhere."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, ParamSpec, TypeVar, Unpack, overload

from undercroft._core.errors import MissingExtraError
from undercroft.queue._checks import check_name
from undercroft.queue._cron._expression import parse_expression
from undercroft.queue._cron._options import CronOptions, Misfire, Overlap, job_options, rules_of, timetable_of
from undercroft.queue._cron._slots import Timetable, field_slots
from undercroft.queue._errors import JobArgumentsError, JobDefinitionError
from undercroft.queue._job import Job, define_job
from undercroft.queue._options import ResolvedOptions

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class CronJob(Generic[P, T]):
    """A cron's definition. Immutable, made by `cron` or `define_cron`; `await it(…)` just runs the handler."""

    name: str
    job: Job[P, T]
    """What it runs. Usually has the cron's name."""
    options: ResolvedOptions = field(repr=False)
    """Of each run."""
    data: bytes = field(repr=False)
    """Of each run; checked, one JSON object."""
    timetable: Timetable
    enabled: bool = True
    description: str = ""
    overlap: Overlap = Overlap.SKIP
    misfire: Misfire = Misfire.ONE
    jitter_s: float = 0.0
    max_runs: int | None = None

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the handler here and now: no queue, no retries."""
        return await self.job(*args, **kwargs)

    @property
    def queue(self) -> str:
        """The queue its jobs go to."""
        return self.options.queue

    @property
    def schedule(self) -> str:
        """The expression, or `every 5m`."""
        return self.timetable.text

    @property
    def tz(self) -> str:
        """The time zone of the expression."""
        return self.timetable.tz

    def describe(self) -> str:
        """Say in words when it fires."""
        return self.timetable.describe()

    def after(self, instant: datetime) -> Iterator[datetime]:
        """Yield the firings later than an aware instant, in order; an expression's end after 50 years without one."""
        return self.timetable.after(instant)

    def due_at(self, slot: int) -> float:
        """Return when the job of a slot is due: with its jitter, the same for every scheduler."""
        if not self.jitter_s:
            return float(slot)
        digest = hashlib.blake2b(f"{self.name}\n{slot}".encode(), digest_size=8).digest()
        return slot + self.jitter_s * (int.from_bytes(digest) / 2**64)


def is_valid_cron_expression(expression: object) -> bool:
    """Tell whether an expression can be used: every field is right, and it fires at some time.

    Raises:
        MissingExtraError: `cronsim` is not installed.
    """
    try:
        field_slots(parse_expression(expression), "UTC", what="cron expression")
    except MissingExtraError:
        raise
    except JobDefinitionError:
        return False
    return True


def cron(
    name: str, expression: str | None = None, /, *, schema: type[Any] | None = None, **options: Unpack[CronOptions]
) -> CronDecorator:
    """Make a function a cron: `@cron("cleanup", "0 3 * * *", tz="Europe/Berlin")` or `@cron("ping", every="5m")`.

    Args:
        name: What the schedule and its job are called, for good.
        expression: When it fires; see `docs/cron.md`. Or one of `schedule`, `pattern`, `cron`, `every`.
        schema: As for `job`.
        options: See `ScheduleOptions` and `JobOptions`.

    Raises:
        JobDefinitionError: The name, the expression or an option is not valid.
        MissingExtraError: An expression needs `cronsim`, which is not installed.
    """
    if not isinstance(name, str):
        raise JobDefinitionError(
            f"@cron needs a name: it got {name!r}",
            hint=f'write @cron("{getattr(name, "__name__", "name")}", "0 3 * * *")',
        )
    return CronDecorator(name, expression, schema, options)


class CronDecorator:
    """What `cron(name, …)` returns: give it the handler."""

    def __init__(self, name: str, expression: str | None, schema: type[Any] | None, options: CronOptions) -> None:
        self._arguments = (name, expression, schema, options)

    @overload
    def __call__(self, handler: Callable[P, Coroutine[Any, Any, T]], /) -> CronJob[P, T]: ...

    @overload
    def __call__(self, handler: Callable[P, T], /) -> CronJob[P, T]: ...

    def __call__(self, handler: Callable[P, Any], /) -> CronJob[P, Any]:
        name, expression, schema, options = self._arguments
        return define_cron(name, expression, handler=handler, schema=schema, **options)


@overload
def define_cron(
    name: str,
    expression: str | None = None,
    *,
    handler: Callable[P, Coroutine[Any, Any, T]],
    schema: type[Any] | None = None,
    **options: Unpack[CronOptions],
) -> CronJob[P, T]: ...


@overload
def define_cron(
    name: str,
    expression: str | None = None,
    *,
    handler: Callable[P, T],
    schema: type[Any] | None = None,
    **options: Unpack[CronOptions],
) -> CronJob[P, T]: ...


@overload
def define_cron(
    name: str, expression: str | None = None, *, job: Job[P, T], **options: Unpack[CronOptions]
) -> CronJob[P, T]: ...


def define_cron(
    name: str,
    expression: str | None = None,
    *,
    handler: Callable[..., Any] | None = None,
    job: Job[..., Any] | None = None,
    schema: type[Any] | None = None,
    **options: Any,
) -> CronJob[..., Any]:
    """Make a cron of a handler, or of a job that there is already; otherwise the same as the decorator `cron`."""
    what = f"cron {check_name(name, what='cron name')!r}"
    if (handler is None) == (job is None):
        raise JobDefinitionError(f"{what}: give one of handler= and job=")
    if handler is not None and not callable(handler):
        raise JobDefinitionError(f"{what}: the handler {handler!r} is not a function")
    of_job = job_options(options, what=what)
    runs = job or define_job(name=name, handler=handler, schema=schema, options=of_job)  # type: ignore[arg-type]
    return CronJob(
        name=name,
        job=runs,
        options=runs.options if job is None else runs.options.with_(of_job),
        data=_data(runs, options.get("data"), what),
        timetable=timetable_of(expression, options, what=what),
        **rules_of(options, what=what),
    )


def _data(job: Job[..., Any], data: object, what: str) -> bytes:
    try:
        return job.store_data({} if data is None else data)
    except JobArgumentsError as exc:
        hint = exc.hint or "give data={…} with what the handler needs"
        raise JobDefinitionError(f"{what}: data: {exc.message}", hint=hint, near=exc.near) from exc
