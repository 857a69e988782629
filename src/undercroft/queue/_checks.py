"""Checks of single values that the queue is given: each returns the value in its one form, or says what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from undercroft._core.durations import to_seconds
from undercroft._core.errors import near_names
from undercroft.queue._errors import JobDefinitionError
from undercroft.queue._values import Deduplication, Keep

MAX_KEY = 256
"""Characters of a deduplication key or a tag."""
MAX_KEPT = 10**9


def check_integer(key: str, raw: Any, *, low: int, high: int) -> int:
    """Return `raw` if it is a whole number from `low` to `high`."""
    if isinstance(raw, bool) or not isinstance(raw, int) or not low <= raw <= high:
        raise JobDefinitionError(f"{key} {raw!r} is not a whole number from {int(low)} to {high}")
    return int(raw)


def check_name(name: Any, *, what: str) -> str:
    """Return `name` if it may name a job or a queue: 1 to 200 characters, no white space, no control characters."""
    is_plain = isinstance(name, str) and 0 < len(name) <= 200 and name.isprintable() and not any(map(str.isspace, name))
    if not is_plain:
        raise JobDefinitionError(f"{what} {name!r} is not valid", hint="use 1 to 200 printable characters, no spaces")
    return str(name)


def check_key(key: Any, *, what: str) -> str:
    """Return `key` if it may be a deduplication key or a tag: 1 to 256 printable characters."""
    if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY or not key.isprintable():
        raise JobDefinitionError(f"{what} {key!r} is not a text of 1 to {MAX_KEY} printable characters")
    return key


def to_keep(raw: Any, *, name: str) -> Keep:
    """Normalise every spelling of `KeepLike`."""
    if isinstance(raw, Keep):
        return raw
    if isinstance(raw, bool):
        return Keep() if raw else Keep(count=0)
    if isinstance(raw, int):
        return Keep(count=check_integer(f"{name} (a number of jobs)", raw, low=0, high=MAX_KEPT))
    if isinstance(raw, str | timedelta):
        return Keep(age_s=to_seconds(raw, name=name))
    if isinstance(raw, Mapping) and raw and raw.keys() <= {"age", "count"}:
        age, count = raw.get("age"), raw.get("count")
        return Keep(
            age_s=None if age is None else to_seconds(age, name=f"{name} age"),
            count=None if count is None else check_integer(f"{name} count", count, low=0, high=MAX_KEPT),
        )
    raise JobDefinitionError(
        f"{name} {raw!r} does not say how long to keep a job",
        hint='give a number of jobs, an age such as "2d", {"age": …, "count": …}, True (for ever) or False',
    )


def to_deduplication(raw: Any) -> Deduplication:
    """Normalise a `Deduplication`, `{"id", "ttl", "extend", "replace"}` with a duration, or a key alone."""
    if isinstance(raw, Deduplication):
        rule = raw
    elif isinstance(raw, str):
        rule = Deduplication(key=raw)
    elif isinstance(raw, Mapping):
        rule = _rule_of(raw)
    else:
        raise JobDefinitionError(f"deduplication {raw!r} is not a rule", hint='use Deduplication.throttle("key", "5m")')
    check_key(rule.key, what="deduplication key")
    if rule.ttl_s is not None and rule.ttl_s <= 0:
        raise JobDefinitionError("a deduplication ttl of 0 would hold its key for no time")
    if rule.extend and rule.ttl_s is None:
        raise JobDefinitionError("deduplication 'extend' prolongs a ttl, and there is none", hint="give 'ttl' as well")
    return rule


def _rule_of(raw: Mapping[str, Any]) -> Deduplication:
    known = ("id", "ttl", "extend", "replace")
    for key in raw:
        if key not in known:
            raise JobDefinitionError(
                f"unknown key {key!r} in deduplication",
                near=near_names(str(key), known),
                hint=f"keys: {', '.join(known)}; 'ttl' is a duration (seconds or text)",
            )
    if "id" not in raw:
        raise JobDefinitionError(f"deduplication {dict(raw)!r} has no 'id'", hint="'id' is the key")
    return Deduplication(
        key=raw["id"],
        ttl_s=None if raw.get("ttl") is None else to_seconds(raw["ttl"], name="deduplication ttl"),
        extend=check_boolean("deduplication extend", raw.get("extend", False)),
        replace=check_boolean("deduplication replace", raw.get("replace", False)),
    )


def check_boolean(key: str, raw: Any) -> bool:
    """Return `raw` if it is `True` or `False`."""
    if not isinstance(raw, bool):
        raise JobDefinitionError(f"{key} {raw!r} is not True or False")
    return raw
