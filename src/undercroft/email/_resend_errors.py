"""What Resend answers, in our words.

Error bodies are `{"statusCode": 422, "name": "validation_error", "message": "…"}`; the names are listed at
https://resend.com/docs/api-reference/errors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from undercroft.email._errors import (
    BadAnswerError,
    SendRefusedError,
    TransportAuthError,
    TransportUnavailableError,
    shorten,
)

_NAME = "resend"
_AUTH = {"missing_api_key", "invalid_api_key", "restricted_api_key"}
_LATER = {408, 425, 429}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Answer:
    """One HTTP answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def fields_of(body: bytes) -> dict[str, Any]:
    """Return a JSON object's fields; none when the body is anything else."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def check(answer: Answer, *, key: str, now: float) -> None:
    """Return if the answer is a success.

    Args:
        key: Taken out of whatever the vendor says.
        now: Epoch seconds, for a `Retry-After` that is a date.

    Raises:
        EmailError: See the transport's `send`.
    """
    status = answer.status
    if 200 <= status < 300:
        return
    fields = fields_of(answer.body)
    name = str(fields.get("name", ""))[:64]
    words = _words(fields, key)
    if status >= 500 or status in _LATER or name == "concurrent_idempotent_requests":
        raise TransportUnavailableError(
            f"Resend said to try later ({status}){words}",
            transport=_NAME,
            status=status,
            retry_after=_retry_after(answer.headers, now),
            # 5xx comes from in front of, or after, the place where the message is taken; the others from in front.
            may_have_been_sent=status >= 500 and status != 503,
        )
    if status < 400:
        raise BadAnswerError(f"Resend answered with {status}; redirects are not followed", transport=_NAME)
    if status == 401 or name in _AUTH:
        raise TransportAuthError(
            f"Resend does not accept the API key ({status}){words}",
            transport=_NAME,
            status=status,
            vendor_code=name or None,
            hint="check RESEND_API_KEY: it must exist, be active, and be allowed to send",
        )
    raise SendRefusedError(
        f"Resend refused the message ({status}){words}", transport=_NAME, status=status, vendor_code=name or None
    )


def _words(fields: Mapping[str, Any], key: str) -> str:
    message = fields.get("message")
    if not isinstance(message, str) or not message:
        return ""
    printable = "".join(c if c.isprintable() else " " for c in message.replace(key, "***"))
    return f": {shorten(printable, 200)}"


def _retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds of `Retry-After` (RFC 9110 section 10.2.3), a number or a date, at most a day."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return min(float(text), 86_400.0)
    from email.utils import parsedate_to_datetime

    try:
        return min(max(0.0, parsedate_to_datetime(text).timestamp() - now), 86_400.0)
    except (ValueError, OverflowError):
        return None
