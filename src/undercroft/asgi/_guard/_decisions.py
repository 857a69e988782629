"""From a decision to what is told about it: infos for the fields, seconds for `Retry-After`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from undercroft._core.durations import format_seconds
from undercroft.asgi._guard._fields import RateLimitInfo
from undercroft.ratelimit import Decision


def infos_of(decisions: Iterable[Decision]) -> list[RateLimitInfo]:
    """Return what the fields say about decisions: one info for each limit, each under a name of its own.

    Of a refusal, only the limits that refuse tell what is available and until when, so that `Retry-After` is never
    earlier than an effective window beside it (draft-ietf-httpapi-ratelimit-headers-11 §6). Of a limit that was not
    asked, because its store was away, nothing is told.
    """
    infos: dict[str, RateLimitInfo] = {}
    for decision in decisions:
        if decision.allowed and decision.failure is not None:
            continue
        for name, each in _named(decision):
            is_refusing = each.retry_after > 0
            is_told = decision.allowed or is_refusing
            seconds = each.retry_after if is_refusing and not decision.allowed else each.reset_after
            infos[name] = RateLimitInfo(
                policy=name,
                limit=each.limit,
                remaining=(each.remaining if decision.allowed else 0) if is_told else None,
                reset_after=math.ceil(seconds) if is_told else None,
                window=max(1, math.ceil(each.window)),
            )
    return list(infos.values())


def retry_after_of(decision: Decision) -> int:
    """Return the whole seconds after which a refused call may go through: at least 1, never too few."""
    return max(1, math.ceil(decision.retry_after))


def violated_by(decision: Decision) -> list[str]:
    """Return the names of the limits that refuse, as the fields name them."""
    return [name for name, each in _named(decision) if not each.allowed or each.retry_after > 0]


def _named(decision: Decision) -> Iterator[tuple[str, Decision]]:
    if len(decision.decisions) < 2:
        yield decision.policy, decision
        return
    seen: set[str] = set()
    for number, each in enumerate(decision.decisions, start=1):
        name = f"{decision.policy}-{format_seconds(each.window)}"
        name = f"{name}-{number}" if name in seen else name
        seen.add(name)
        yield name, each
