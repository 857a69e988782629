"""The client's side: read the rate-limit fields of a response, whichever generation its server writes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

from undercroft._core.clock import SystemClock
from undercroft.asgi._guard._fields import RateLimitInfo
from undercroft.asgi._guard._structured import LARGEST, Item, MalformedFieldError, parse_dictionary, parse_list

ResponseHeaders = Mapping[str, str] | Iterable[tuple[str, str]] | Iterable[tuple[bytes, bytes]]
"""Headers of a response as clients have them: a mapping (httpx2, requests), or pairs."""

_EPOCH_FROM = 1_000_000_000
"""A reset that is larger is a time since 1970 (September 2001), not seconds to wait (31 years)."""
_MILLISECONDS_FROM = 100_000_000_000
_DIGITS = re.compile(r"[0-9]{1,15}")
_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,6})?")


def parse_rate_limit_headers(headers: ResponseHeaders, *, now: float | None = None) -> list[RateLimitInfo]:
    """Return what a response says about rate limits, one entry for each policy; an empty list when it says nothing.

    Reads draft-ietf-httpapi-ratelimit-headers-11 (the same as -08 to -10), -07, up to -06, and `X-RateLimit-*` with a
    reset in seconds, as a time since 1970 (seconds or milliseconds) or as ISO text; of several, the newest that is well
    formed. Malformed fields are ignored, as the draft wants. Never raises for what a server sends.

    Args:
        headers: A mapping, or pairs of text or bytes.
        now: Seconds since 1970, for a reset that is a time of day. Default: the response's `Date`, which is by the
            server's own clock, else this host's clock.
    """
    fields = _fields_of(headers)
    for read in (_draft_11, _draft_7, _draft_6):
        found = read(fields)
        if found:
            return found
    return _legacy(fields, lambda: _now_of(fields, now))


def parse_retry_after(headers: ResponseHeaders, *, now: float | None = None) -> float | None:
    """Return the seconds of a response's `Retry-After` (RFC 9110 §10.2.3), whether it says seconds or a date.

    0 for a date that has passed, `None` when there is none or it is malformed. It takes precedence over all others.
    """
    fields = _fields_of(headers)
    text = fields.get("retry-after", "").strip()
    if _DIGITS.fullmatch(text):
        return float(text)
    at = _date(text)
    return None if at is None else max(0.0, at - _now_of(fields, now))


def _fields_of(headers: ResponseHeaders) -> dict[str, str]:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    fields: dict[str, str] = {}
    for name, value in pairs:
        key = _text(name).lower()
        fields[key] = f"{fields[key]}, {_text(value)}" if key in fields else _text(value)
    return fields


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _draft_11(fields: Mapping[str, str]) -> list[RateLimitInfo]:
    policies = {(str(item.value), _key_of(item)): item for item in _named(fields.get("ratelimit-policy", ""), "q")}
    told: set[tuple[str, bytes | None]] = set()
    found = []
    for item in _named(fields.get("ratelimit", ""), "r"):
        name, key = str(item.value), _key_of(item)
        # A server may give the partition in one of the two fields only.
        of_policy = next((each for each in ((name, key), (name, None)) if each in policies), None)
        of_policy = of_policy or next((each for each in policies if each[0] == name and key is None), None)
        told |= {of_policy} if of_policy else set()
        found.append(_info(name, key, policies.get(of_policy) if of_policy else None, item))
    silent = [_info(name, key, policy, None) for (name, key), policy in policies.items() if (name, key) not in told]
    return [*found, *silent]


def _named(text: str, required: str) -> list[Item]:
    return [item for item in _items(text) if type(item.value) is str and _count(item, required) is not None]


def _info(name: str, key: bytes | None, policy: Item | None, limit: Item | None) -> RateLimitInfo:
    unit = policy.parameters.get("qu") if policy else None
    return RateLimitInfo(
        policy=name,
        limit=_count(policy, "q") if policy else None,
        remaining=_count(limit, "r") if limit else None,
        reset_after=_count(limit, "t") if limit else None,
        window=_count(policy, "w") if policy else None,
        unit=unit if type(unit) is str else None,
        partition_key=key if key is not None or policy is None else _key_of(policy),
    )


def _draft_7(fields: Mapping[str, str]) -> list[RateLimitInfo]:
    try:
        items = parse_dictionary(fields.get("ratelimit", ""))
    except MalformedFieldError:
        return []
    figures = {name: _whole(items[name].value) if name in items else None for name in ("limit", "remaining", "reset")}
    if figures["remaining"] is None:
        return []
    return [_unnamed(figures["limit"], figures["remaining"], figures["reset"], fields)]


def _draft_6(fields: Mapping[str, str]) -> list[RateLimitInfo]:
    figures = [_first_whole(fields.get(f"ratelimit-{name}", "")) for name in ("limit", "remaining", "reset")]
    return [] if figures[1] is None else [_unnamed(figures[0], figures[1], figures[2], fields)]


def _unnamed(limit: int | None, remaining: int | None, reset: int | None, fields: Mapping[str, str]) -> RateLimitInfo:
    windows = [_count(item, "w") for item in _items(fields.get("ratelimit-policy", "")) if _whole(item.value) == limit]
    window = windows[0] if limit is not None and windows else None
    return RateLimitInfo(limit=limit, remaining=remaining, reset_after=reset, window=window)


def _legacy(fields: Mapping[str, str], now: Callable[[], float]) -> list[RateLimitInfo]:
    for prefix in ("x-ratelimit-", "x-rate-limit-"):
        limit, remaining = (_first_whole(fields.get(prefix + name, "")) for name in ("limit", "remaining"))
        if remaining is not None:
            reset = _legacy_reset(fields.get(f"{prefix}reset", ""), now)
            return [RateLimitInfo(limit=limit, remaining=remaining, reset_after=reset)]
    return []


def _legacy_reset(text: str, now: Callable[[], float]) -> int | None:
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        at = _date(text)
        return None if at is None else _left(at, now)
    number = float(text)
    if number < _EPOCH_FROM:
        return math.ceil(number)
    return _left(number / 1000 if number >= _MILLISECONDS_FROM else number, now)


def _left(at: float, now: Callable[[], float]) -> int:
    return max(0, math.ceil(at - now()))


def _now_of(fields: Mapping[str, str], now: float | None) -> float:
    if now is not None:
        return now
    at = _date(fields.get("date", ""))
    return SystemClock().time() if at is None else at


def _date(text: str) -> float | None:
    from email.utils import parsedate_to_datetime  # takes its time to load

    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            at = read(text)
            return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
    return None


def _items(text: str) -> list[Item]:
    try:
        return parse_list(text)
    except MalformedFieldError:
        return []


def _first_whole(text: str) -> int | None:
    items = _items(text)
    return _whole(items[0].value) if items else None


def _key_of(item: Item) -> bytes | None:
    key = item.parameters.get("pk")
    return key if isinstance(key, bytes) else None


def _count(item: Item, name: str) -> int | None:
    return _whole(item.parameters.get(name))


def _whole(value: object) -> int | None:
    return value if type(value) is int and 0 <= value <= LARGEST else None
