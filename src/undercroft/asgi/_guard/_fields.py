"""The rate-limit fields, one serialiser for each generation.

There is no published standard for them. `draft-11` is draft-ietf-httpapi-ratelimit-headers-11 (23 May 2026), work in
progress that may still change its names, so an option names the number that it means. `draft-7` and `draft-6` are
earlier numbers of it, which many servers and clients still speak. `X-RateLimit-*` was never written down anywhere: its
reset is the seconds left with some (`legacy-delta`) and the time of day since 1970 with others (`legacy-epoch`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from undercroft._core.errors import near_names
from undercroft.asgi._guard._errors import GuardConfigError
from undercroft.asgi._guard._structured import write_bytes, write_integer, write_string
from undercroft.asgi._types import Headers

Generation = Literal["draft-11", "draft-7", "draft-6", "legacy-delta", "legacy-epoch", "off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimitInfo:
    """What rate-limit fields say about one policy. Whole seconds and whole units, as they stand on the wire."""

    policy: str = ""
    """Its name; empty where the fields know no names (`draft-7`, `draft-6`, legacy)."""
    limit: int | None = None
    """How much one window allows."""
    remaining: int | None = None
    """The available quota: a hint, no promise."""
    reset_after: int | None = None
    """The effective window: seconds within which no more than `remaining` may be used."""
    window: int | None = None
    """Seconds of the policy's window."""
    unit: str | None = None
    """`requests` where it is left out; `content-bytes` or `concurrent-requests` else."""
    partition_key: bytes | None = None


Writer = Callable[[Sequence[RateLimitInfo], float], Headers]


def generations_of(option: Generation | Iterable[Generation]) -> tuple[Generation, ...]:
    """Return what an option says, without `off`.

    Raises:
        GuardConfigError: A name is not known, or two of them write the same fields.
    """
    named: tuple[Generation, ...] = (option,) if isinstance(option, str) else tuple(option)
    for name in named:
        if name != "off" and name not in _WRITERS:
            raise GuardConfigError(
                f"rate-limit headers {name!r} are not known",
                hint=f"one or several of {', '.join((*_WRITERS, 'off'))}",
                near=near_names(str(name), (*_WRITERS, "off")),
            )
    wanted = tuple(dict.fromkeys(name for name in named if name != "off"))
    for family in ("draft-", "legacy-"):
        rivals = [name for name in wanted if name.startswith(family)]
        if len(rivals) > 1:
            raise GuardConfigError(f"{' and '.join(rivals)} write the same fields", hint="choose one of them")
    return wanted


def rate_limit_headers(
    infos: Sequence[RateLimitInfo], *, headers: Generation | Iterable[Generation], now: float
) -> Headers:
    """Return the fields of every generation asked for; none for no infos.

    Args:
        infos: One for each policy. Generations without names tell the one that is nearest to its end.
        headers: Which generations.
        now: Seconds since 1970, for `legacy-epoch`.
    """
    if not infos:
        return []
    return [field for name in generations_of(headers) for field in _WRITERS[name](infos, now)]


def nearest_of(infos: Sequence[RateLimitInfo]) -> RateLimitInfo:
    """Return the one of which least remains; of several with as little, the one that takes longest."""
    return min(infos, key=lambda info: (_or(info.remaining, 2**63), -_or(info.reset_after, 0)))


def _draft_11(infos: Sequence[RateLimitInfo], _: float) -> Headers:
    policies = [_policy_item(info) for info in infos if info.limit is not None]
    limits = [_limit_item(info) for info in infos if info.remaining is not None]
    fields = ((b"ratelimit-policy", policies), (b"ratelimit", limits))
    return [(name, ", ".join(items).encode("ascii")) for name, items in fields if items]


def _policy_item(info: RateLimitInfo) -> str:
    window = None if info.window is None else max(1, info.window)
    unit = None if info.unit is None else write_string(info.unit)
    return write_string(info.policy) + _parameters(info, ("q", info.limit), ("qu", unit), ("w", window))


def _limit_item(info: RateLimitInfo) -> str:
    return write_string(info.policy) + _parameters(info, ("r", info.remaining), ("t", info.reset_after))


def _parameters(info: RateLimitInfo, *pairs: tuple[str, int | str | None]) -> str:
    key = None if info.partition_key is None else write_bytes(info.partition_key)
    return "".join(
        f";{name}={value if isinstance(value, str) else write_integer(max(0, value))}"
        for name, value in (*pairs, ("pk", key))
        if value is not None
    )


def _draft_7(infos: Sequence[RateLimitInfo], _: float) -> Headers:
    info = nearest_of(infos)
    figures = (("limit", info.limit), ("remaining", info.remaining), ("reset", info.reset_after))
    text = ", ".join(f"{name}={write_integer(value)}" for name, value in figures if value is not None)
    return [*([(b"ratelimit", text.encode("ascii"))] if text else []), *_unnamed_policies(infos)]


def _draft_6(infos: Sequence[RateLimitInfo], _: float) -> Headers:
    return [*_three(b"ratelimit-", nearest_of(infos)), *_unnamed_policies(infos)]


def _legacy_delta(infos: Sequence[RateLimitInfo], _: float) -> Headers:
    return _three(b"x-ratelimit-", nearest_of(infos))


def _legacy_epoch(infos: Sequence[RateLimitInfo], now: float) -> Headers:
    info = nearest_of(infos)
    # Rounded up: a client that comes back at that second must not be too early.
    reset_at = None if info.reset_after is None else -int(-now // 1) + info.reset_after
    return _three(b"x-ratelimit-", info, reset=reset_at)


def _three(prefix: bytes, info: RateLimitInfo, *, reset: int | None = None) -> Headers:
    reset = info.reset_after if reset is None else reset
    figures = ((b"limit", info.limit), (b"remaining", info.remaining), (b"reset", reset))
    return [(prefix + name, str(value).encode("ascii")) for name, value in figures if value is not None]


def _unnamed_policies(infos: Sequence[RateLimitInfo]) -> Headers:
    items = [f"{info.limit};w={info.window}" for info in infos if info.limit is not None and info.window]
    return [(b"ratelimit-policy", ", ".join(items).encode("ascii"))] if items else []


def _or(value: int | None, other: int) -> int:
    return other if value is None else value


_WRITERS: Mapping[str, Writer] = MappingProxyType(
    {
        "draft-11": _draft_11,
        "draft-7": _draft_7,
        "draft-6": _draft_6,
        "legacy-delta": _legacy_delta,
        "legacy-epoch": _legacy_epoch,
    }
)
