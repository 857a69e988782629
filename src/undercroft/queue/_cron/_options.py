"""The options of a cron, from every spelling into checked values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal, TypedDict, TypeVar

from undercroft._core.durations import Duration, to_seconds
from undercroft._core.errors import near_names
from undercroft.queue._checks import check_integer
from undercroft.queue._cron._expression import parse_expression
from undercroft.queue._cron._slots import Slots, Timetable, field_slots, interval_slots
from undercroft.queue._errors import JobDefinitionError
from undercroft.queue._options import DefinitionOptions

MAX_RUNS = 10**9


E = TypeVar("E", bound=StrEnum)


class Overlap(StrEnum):
    """What happens at a slot when the run of an earlier one is not finished."""

    SKIP = "skip"
    """Nothing runs; the slot is recorded as skipped."""
    QUEUE = "queue"
    """It runs when the earlier one is finished: one at a time, in order."""
    ALLOW = "allow"
    """It runs beside the earlier one."""
    REPLACE = "replace"
    """It runs, and the earlier one is cancelled."""


class Misfire(StrEnum):
    """What happens to slots that passed while no scheduler was at work."""

    ONE = "one"
    """The latest runs now; the others are recorded as missed."""
    ALL = "all"
    """Each of them runs, oldest first; of more than 1000 the latest 1000."""
    SKIP = "skip"
    """Those that are more than a minute late are recorded as missed."""


class ScheduleOptions(TypedDict, total=False):
    """When and how a cron fires."""

    schedule: str
    """The expression. Give exactly one of `schedule`, `pattern`, `cron` and `every`, or the expression by position."""
    pattern: str
    """The expression, by another name."""
    cron: str
    """The expression, by another name."""
    every: Duration
    """Instead of an expression: this often, at whole multiples since 1970-01-01T00:00Z. Whole seconds."""
    tz: str
    """Whose clock the expression is about, a name such as `Europe/Berlin`. Default `UTC`."""
    enabled: bool
    """`False`: it fires only by hand. Default `True`."""
    description: str
    """What it is for, for people."""
    overlap: Overlap | Literal["skip", "queue", "allow", "replace"]
    """See `Overlap`. Default `skip`."""
    misfire: Misfire | Literal["one", "all", "skip"]
    """See `Misfire`. Default `one`."""
    jitter: Duration
    """Delay each run by up to this, by a share that depends on the name and the slot only. Default none."""
    start: datetime
    """No firing before this instant, which has a time zone."""
    end: datetime
    """No firing after this instant, which has a time zone."""
    max_runs: int
    """How often it fires in all; runs by hand are not counted."""
    data: Mapping[str, Any]
    """What each run gets, as the job takes it. Default none."""


class CronOptions(ScheduleOptions, DefinitionOptions, total=False):
    """Options of a cron: those of its schedule, and those of the job that it runs."""


_EXPRESSIONS = ("schedule", "pattern", "cron")
_SENSELESS = {"delay": "jitter", "run_at": "start"}


def job_options(options: Mapping[str, Any], *, what: str) -> DefinitionOptions:
    """Return those options that are the job's.

    Raises:
        JobDefinitionError: There is one that is nobody's.
    """
    of_job = DefinitionOptions.__annotations__
    known = {*ScheduleOptions.__annotations__, *of_job} - set(_SENSELESS)
    for key in options:
        if key in _SENSELESS:
            raise JobDefinitionError(f"{what}: {key} is not for crons", hint=f"see {_SENSELESS[key]}=")
        if key not in known:
            raise JobDefinitionError(
                f"{what}: unknown option {key!r}",
                near=near_names(key, known),
                hint=f"options: {', '.join(sorted(known))}",
            )
    return {key: value for key, value in options.items() if key in of_job}  # type: ignore[return-value]


def timetable_of(expression: str | None, options: Mapping[str, Any], *, what: str) -> Timetable:
    """Return when a cron fires, from the expression by position and the options.

    Raises:
        JobDefinitionError: Not exactly one expression is given, or it, the zone or a bound is not valid.
    """
    given = {name: options[name] for name in (*_EXPRESSIONS, "every") if options.get(name) is not None}
    if expression is not None:
        given = {"an expression by position": expression, **given}
    if len(given) != 1:
        raise JobDefinitionError(
            f"{what}: {' and '.join(given) or 'no schedule'} {'are' if given else 'is'} given, not exactly one",
            hint='write the expression once, as in "0 3 * * *", or every="5m"',
        )
    bounds = {name: _instant(name, options[name], what) for name in ("start", "end") if options.get(name) is not None}
    if len(bounds) == 2 and bounds["start"] > bounds["end"]:
        raise JobDefinitionError(f"{what}: it ends ({bounds['end']}) before it starts ({bounds['start']})")
    tz = options.get("tz", "UTC")
    return Timetable(_slots(given, tz, what), tz, bounds.get("start"), bounds.get("end"))


def _slots(given: Mapping[str, Any], tz: Any, what: str) -> Slots:
    ((spelling, value),) = given.items()
    if spelling != "every":
        return field_slots(parse_expression(value, what=what), tz, what=what)
    if tz != "UTC":
        raise JobDefinitionError(f"{what}: tz {tz!r} has no meaning for every=", hint="leave it out")
    return interval_slots(value, what=what)


def _instant(name: str, raw: Any, what: str) -> datetime:
    if not isinstance(raw, datetime) or raw.tzinfo is None:
        raise JobDefinitionError(
            f"{what}: {name} {raw!r} is not a datetime with a time zone",
            hint=f"write {name}=datetime(2030, 1, 31, tzinfo=timezone.utc)",
        )
    return raw.astimezone(UTC)


def rules_of(options: Mapping[str, Any], *, what: str) -> dict[str, Any]:
    """Return the other options, by the names that `CronJob` has for them.

    Raises:
        JobDefinitionError: One is not valid, or two do not go together.
    """
    overlap = _one_of(Overlap, "overlap", options.get("overlap", Overlap.SKIP), what)
    misfire = _one_of(Misfire, "misfire", options.get("misfire", Misfire.ONE), what)
    if misfire is Misfire.ALL and overlap not in (Overlap.QUEUE, Overlap.ALLOW):
        raise JobDefinitionError(
            f"{what}: misfire='all' with overlap={overlap.value!r}: of several missed slots only one would run",
            hint="add overlap='queue' (one after the other) or overlap='allow' (at once)",
        )
    max_runs = options.get("max_runs")
    return {
        "enabled": _typed(bool, "enabled", options.get("enabled", True), what),
        "description": _typed(str, "description", options.get("description", ""), what),
        "overlap": overlap,
        "misfire": misfire,
        "jitter_s": to_seconds(options.get("jitter", 0), name=f"{what}: jitter"),
        "max_runs": None if max_runs is None else check_integer(f"{what}: max_runs", max_runs, low=1, high=MAX_RUNS),
    }


def _one_of(kind: type[E], name: str, raw: Any, what: str) -> E:
    try:
        return kind(raw)
    except ValueError:
        known = [member.value for member in kind]
        near = near_names(raw, known) if isinstance(raw, str) else ()
        raise JobDefinitionError(
            f"{what}: {name} {raw!r} is not known", near=near, hint=f"one of: {', '.join(known)}"
        ) from None


def _typed(kind: type[Any], name: str, raw: Any, what: str) -> Any:
    if not isinstance(raw, kind):
        raise JobDefinitionError(f"{what}: {name} {raw!r} is not a {kind.__name__}")
    return raw
