"""The options of a job, from every spelling into one frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypedDict

from undercroft._core.durations import Duration, to_seconds
from undercroft._core.errors import near_names
from undercroft.queue._backoff import Backoff, BackoffFunction, BackoffLike, to_backoff
from undercroft.queue._errors import JobDefinitionError

MAX_ATTEMPTS = 1000
MAX_PRIORITY = 2**21  # BullMQ's limit


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
    """0, the default, is the most urgent; larger waits longer. Up to 2097152, as in BullMQ."""
    queue: str
    """Name of the queue. Default `"default"`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedOptions:
    """Options after checking, with every default filled in."""

    attempts: int = 3
    backoff: Backoff | BackoffFunction = field(default_factory=Backoff.exponential)
    delay_s: float = 0.0
    run_at: float | None = None
    """Epoch seconds."""
    timeout_s: float | None = 30.0
    priority: int = 0
    queue: str = "default"

    def with_(self, given: Mapping[str, Any]) -> ResolvedOptions:
        """Return these options with `given` (the keys of `JobOptions`) on top.

        Raises:
            JobDefinitionError: An unknown option, or a value out of its range.
        """
        for key in given:
            if key not in JobOptions.__annotations__:
                raise JobDefinitionError(
                    f"unknown job option {key!r}",
                    near=near_names(key, JobOptions.__annotations__),
                    hint=f"options: {', '.join(sorted(JobOptions.__annotations__))}",
                )
        return replace(self, **{name: value for key, raw in given.items() for name, value in _checked(key, raw, given)})


def _checked(key: str, raw: Any, given: Mapping[str, Any]) -> list[tuple[str, Any]]:
    if key in ("attempts", "retries"):
        if "attempts" in given and "retries" in given:
            raise JobDefinitionError("both 'attempts' and 'retries' are given", hint="attempts = retries + 1; keep one")
        return [("attempts", check_integer(key, raw, low=key == "attempts", high=MAX_ATTEMPTS) + (key == "retries"))]
    if key == "backoff":
        return [("backoff", to_backoff(raw))]
    if key == "delay":
        if "run_at" in given:
            raise JobDefinitionError("both 'delay' and 'run_at' are given", hint="keep one of them")
        return [("delay_s", to_seconds(raw, name="delay")), ("run_at", None)]
    if key == "run_at":
        return [("run_at", _instant(raw)), ("delay_s", 0.0)]
    if key == "timeout":
        return [("timeout_s", None if raw is None else to_seconds(raw, name="timeout"))]
    if key == "priority":
        return [("priority", check_integer(key, raw, low=0, high=MAX_PRIORITY))]
    return [("queue", check_name(raw, what="queue name"))]


def check_integer(key: str, raw: Any, *, low: int, high: int) -> int:
    """Return `raw` if it is a whole number from `low` to `high`."""
    if isinstance(raw, bool) or not isinstance(raw, int) or not low <= raw <= high:
        raise JobDefinitionError(f"{key} {raw!r} is not a whole number from {int(low)} to {high}")
    return raw


def _instant(raw: Any) -> float:
    if not isinstance(raw, datetime) or raw.tzinfo is None:
        raise JobDefinitionError(
            f"run_at {raw!r} is not a datetime with a time zone", hint="use datetime.now(timezone.utc) + timedelta(…)"
        )
    return raw.timestamp()


def check_name(name: Any, *, what: str) -> str:
    """Return `name` if it may name a job or a queue: 1 to 200 characters, no white space, no control characters."""
    is_plain = isinstance(name, str) and 0 < len(name) <= 200 and name.isprintable() and not any(map(str.isspace, name))
    if not is_plain:
        raise JobDefinitionError(f"{what} {name!r} is not valid", hint="use 1 to 200 printable characters, no spaces")
    return str(name)
