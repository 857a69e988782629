"""Which jobs somebody means."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, TypedDict

from undercroft._core.errors import near_names
from undercroft.queue._checks import check_name
from undercroft.queue._errors import JobDefinitionError
from undercroft.queue._values import JobFilter, JobState, tenant_tag

StateLike = JobState | Literal["waiting", "delayed", "blocked", "active", "completed", "failed", "parked"]


UNFINISHED = tuple(state for state in JobState if not state.is_final)


class JobConditions(TypedDict, total=False):
    """Which jobs: every condition that is given must hold."""

    state: StateLike | str | None
    queue: str | None
    name: str | None
    tag: str | None
    tenant: str | None
    error_type: str | None
    """Class name of the last error."""
    text: str | None
    """Part of the data's JSON text or of the error, in any case of letters."""
    request_id: str | None
    created_after: datetime | None
    created_before: datetime | None


def job_filter(wanted: JobConditions, *, state: JobState | None = None) -> JobFilter:
    """Check conditions and return them as an engine takes them; `state` is the one when none is given."""
    known = JobConditions.__annotations__
    for key in wanted:
        if key not in known:
            raise JobDefinitionError(
                f"unknown condition {key!r}",
                near=near_names(key, known),
                hint=f"conditions: {', '.join(sorted(known))}",
            )
    given: dict[str, Any] = {**wanted}
    tenant = given.pop("tenant", None)
    if tenant is not None:
        if given.get("tag") is not None:
            raise JobDefinitionError("both 'tag' and 'tenant' are given", hint="a tenant is a tag; ask for one of them")
        given["tag"] = tenant_tag(tenant)
    given["state"] = state if given.get("state") is None else to_state(given["state"])
    if given.get("queue") is not None:
        check_name(given["queue"], what="queue name")
    for key in ("created_after", "created_before"):
        given[key] = _epoch(key, given.get(key))
    return JobFilter(**given)


def to_state(state: str) -> JobState:
    """Return the state of this name."""
    try:
        return JobState(state)
    except ValueError:
        raise JobDefinitionError(
            f"state {state!r} is unknown", near=near_names(str(state), JobState), hint=f"states: {', '.join(JobState)}"
        ) from None


def _epoch(key: str, at: object) -> float | None:
    if at is None or isinstance(at, float):
        return at
    if not isinstance(at, datetime) or at.tzinfo is None:
        raise JobDefinitionError(f"{key} {at!r} is not a datetime with a time zone")
    return at.timestamp()
