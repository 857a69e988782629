"""The problem types of draft-ietf-httpapi-ratelimit-headers-11 §5, for the errors that they fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from undercroft._core.errors import UndercroftError
from undercroft.asgi._types import Headers

_REGISTRY = "https://iana.org/assignments/http-problem-types"


def _no_fields() -> Headers:
    return []


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemKind:
    """What an error's document has beside the usual."""

    type: str = ""
    """Empty for a type of ours."""
    title: str = ""
    members: Mapping[str, object] = field(default_factory=dict)
    fields: Callable[[], Headers] = _no_fields
    """Makes the rate-limit fields, where nobody says which ones are wanted."""
    least_wait_s: int = 0


_PLAIN = ProblemKind()


def kind_of(error: UndercroftError) -> ProblemKind:
    """Return the type that the draft has for an error, or none."""
    if not error.code.startswith("UC51"):  # neither of the limits nor of the guards: what follows need not be loaded
        return _PLAIN
    from undercroft.asgi._guard import _errors
    from undercroft.ratelimit import RateLimitedError

    if isinstance(error, RateLimitedError):
        return _quota_exceeded(error)
    if isinstance(error, _errors.ClientBlockedError):
        return ProblemKind(
            type=f"{_REGISTRY}#abnormal-usage-detected",
            title="Request not satisfied due to detection of abnormal request pattern",
            members={"violated-policies": [error.policy]},
            least_wait_s=1,
        )
    if isinstance(error, _errors.OverloadedError):
        return ProblemKind(
            type=f"{_REGISTRY}#temporary-reduced-capacity",
            title="Request cannot be satisfied due to temporary server capacity constraints",
            members={"violated-policies": [error.policy]},
            least_wait_s=1,
        )
    return _PLAIN


def _quota_exceeded(error: UndercroftError) -> ProblemKind:
    from undercroft.asgi._guard._decisions import infos_of, violated_by
    from undercroft.asgi._guard._fields import rate_limit_headers
    from undercroft.asgi._guard._here import DEFAULT_HEADERS

    decision = error.decision  # type: ignore[attr-defined]  # of a RateLimitedError, which is imported late

    def fields() -> Headers:
        return rate_limit_headers(infos_of([decision]), headers=DEFAULT_HEADERS, now=decision.decided_at_s)

    return ProblemKind(
        type=f"{_REGISTRY}#quota-exceeded",
        title="Request cannot be satisfied as assigned quota has been exceeded",
        members={"violated-policies": violated_by(decision)},
        fields=fields,
        least_wait_s=1,
    )
