"""Checks of single values: each returns the value in its one form, or says what is wrong."""

from __future__ import annotations

import inspect
from typing import Any

from undercroft._core.durations import Duration, to_seconds
from undercroft.resilience._saga._errors import SagaDefinitionError


def check_name(name: Any, *, what: str) -> str:
    """Return `name` if it may name a saga or a step.

    1 to 100 printable characters, no white space, and no `:`, which parts a saga's id from a step in idempotency keys.
    """
    is_plain = isinstance(name, str) and 0 < len(name) <= 100 and name.isprintable()
    if not is_plain or ":" in name or any(map(str.isspace, name)):
        raise SagaDefinitionError(
            f"{what} {name!r} is not valid", hint="use 1 to 100 printable characters, no spaces and no ':'"
        )
    return str(name)


def check_id(saga_id: Any) -> str:
    """Return `saga_id` if it may be a saga's id: 1 to 200 printable characters, no white space."""
    is_plain = isinstance(saga_id, str) and 0 < len(saga_id) <= 200 and saga_id.isprintable()
    if not is_plain or any(map(str.isspace, saga_id)):
        raise SagaDefinitionError(
            f"saga id {saga_id!r} is not valid", hint="use 1 to 200 printable characters, no spaces"
        )
    return str(saga_id)


def check_count(value: Any, *, what: str, low: int = 1, high: int = 1000) -> int:
    """Return `value` if it is a whole number from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise SagaDefinitionError(f"{what} {value!r} is not a whole number from {low} to {high}")
    return value


def check_action(action: Any, *, what: str) -> Any:
    """Return `action` if it is an async function, or an object that is called like one."""
    if inspect.iscoroutinefunction(action) or inspect.iscoroutinefunction(getattr(action, "__call__", None)):  # noqa: B004
        return action
    raise SagaDefinitionError(
        f"{what} is {action!r}, which is not an async function",
        hint="write `async def`; for blocking work: await anyio.to_thread.run_sync(…)",
    )


def check_limit(value: Duration | None, *, what: str) -> float | None:
    """Return a time limit in seconds; `None` is none."""
    if value is None:
        return None
    seconds = to_seconds(value, name=what)
    if seconds <= 0:
        raise SagaDefinitionError(f"a {what} of 0 would never let it begin", hint="None is without limit")
    return seconds
