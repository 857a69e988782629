"""Our errors as RFC 9457 problem documents (`application/problem+json`)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from undercroft._core.codec import to_json
from undercroft._core.context import correlation
from undercroft._core.errors import UndercroftError
from undercroft.asgi._guard._problems import kind_of
from undercroft.asgi._types import Headers

_RETRY_AFTER_S = 5.0
"""What a 503 asks for when the error does not know: without it some clients retry at once, and some never."""
_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A response for an error."""

    status: int
    headers: Headers
    body: bytes
    """`{"type", "title", "status", "code", "request_id"?, "violated-policies"?, "detail"?, "near"?, "hint"?}`, UTF-8
    JSON."""


def problem_of(error: UndercroftError, *, show_details: bool) -> Problem:
    """Return the response for `error`.

    A refusal (below 500) always says what was wrong with the request, since whoever sent it must mend it. What is wrong
    on our side, and hints, which are meant for the developer, are told only with `show_details`: they name settings,
    hosts and files. `Retry-After` is the error's own `retry_after`, or 5 seconds for a 503 without one. A limit that is
    reached has the type `quota-exceeded` of draft-ietf-httpapi-ratelimit-headers-11, and its rate-limit fields.
    """
    return build_problem(error, show_details=show_details, fields=kind_of(error).fields())


def build_problem(error: UndercroftError, *, show_details: bool, fields: Headers) -> Problem:
    """As `problem_of`, with the given rate-limit fields."""
    status = error.http_status
    kind = kind_of(error)
    document: dict[str, object] = {
        "type": kind.type or f"urn:undercroft:error:{error.code}",
        "title": kind.title or _title(error),
        "status": status,
        "code": error.code,
        **kind.members,
    }
    request_id = correlation().request_id
    if request_id is not None:
        document["request_id"] = request_id
    if status < 500 or show_details:
        document["detail"] = error.message
        if error.near:
            document["near"] = list(error.near)
    if show_details and error.hint:
        document["hint"] = error.hint
    headers: Headers = [(b"content-type", b"application/problem+json"), *fields]
    wait_s = error.retry_after if error.retry_after is not None else _RETRY_AFTER_S if status == 503 else None
    if wait_s is not None and math.isfinite(wait_s):
        headers.append((b"retry-after", str(max(kind.least_wait_s, math.ceil(wait_s))).encode()))
    return Problem(status=status, headers=headers, body=to_json(document))


def _title(error: UndercroftError) -> str:
    words = _WORDS.sub(" ", type(error).__name__.removesuffix("Error"))
    return words.capitalize()
