"""What a service says about when to come back."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from contextlib import suppress

_SECONDS = re.compile(r"[0-9]{1,10}")


def parse_retry_after(value: object, *, now: Callable[[], float] = time.time) -> float | None:
    """Return the seconds that a `Retry-After` header asks to wait; `None` when it says nothing that can be read.

    Source: RFC 9110, 10.2.3: whole seconds, or an HTTP date. Fractions, which some services send, are read too. A date
    that has passed is 0. The date is compared with this host's clock, so it is as right as that.

    Args:
        value: The header's value. A number is taken as seconds.
        now: Epoch seconds.
    """
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if math.isfinite(value) and value >= 0 else None
    if not isinstance(value, str):
        return None
    text = value.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    whole, dot, fraction = text.partition(".")
    if dot and _SECONDS.fullmatch(whole) and _SECONDS.fullmatch(fraction):
        return float(text)
    return _until_date(text, now)


def retry_after_of(error: BaseException, *, now: Callable[[], float] = time.time) -> float | None:
    """Return the seconds after which this error says that a retry may help.

    Read from `error.retry_after` (undercroft's errors have it), or from the `Retry-After` header of `error.response`,
    as the errors of httpx, aiohttp's and requests' like have one.
    """
    told = getattr(error, "retry_after", None)
    if told is None:
        headers = getattr(getattr(error, "response", None), "headers", None)
        with suppress(Exception):  # whatever calls itself headers
            told = headers.get("retry-after") or headers.get("Retry-After") if headers is not None else None
    return parse_retry_after(told, now=now)


def _until_date(text: str, now: Callable[[], float]) -> float | None:
    from email.utils import parsedate_to_datetime

    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if at.tzinfo is None:  # RFC 9110, 5.6.7: asctime has no zone and means UTC; "-0000" is read so as well
        from datetime import UTC

        at = at.replace(tzinfo=UTC)
    with suppress(OverflowError, ValueError):
        return max(0.0, at.timestamp() - now())
    return None
