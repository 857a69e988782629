"""The store. See the package's docstring for its keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple, Self

from undercroft._core.clock import Clock, SystemClock, utc
from undercroft._core.errors import ConfigError, near_names
from undercroft._core.url import Url
from undercroft.connections.redis import RedisCommandError, RedisConnection, RedisError, RedisUrlError, Script
from undercroft.ratelimit._errors import RateLimitUnavailableError
from undercroft.ratelimit._plan import Plan
from undercroft.ratelimit._protocol import Answer
from undercroft.ratelimit._rules import Rule
from undercroft.ratelimit._values import LimitedKey
from undercroft.ratelimit.redis._scripts import deciding, script

_MOST_NOTED = 10_000
_PREFIX = "prefix"
_PREFIX_TEXT = re.compile(r"[^\s{}]+")


class _Prepared(NamedTuple):
    """Of a plan: what is the same for every key."""

    script: Script
    parts: tuple[str, ...]
    numbers: tuple[bytes, ...] | None
    """`None` where they change with time."""


class RedisLimits:
    """The Redis store. Opened by `async with`; for one event loop. Entering does no network I/O.

    Args:
        connection: To the server, the primary behind Sentinels, or the cluster.
        is_owner: Whether the connection is opened and closed with this store.
        prefix: The first part of every key.
        clock: Near the server's time, to know which periods of a calendar to tell the server of.
        time_us: For tests: the time, instead of the server's clock.
    """

    name = "redis"
    is_local = False

    def __init__(
        self,
        connection: RedisConnection,
        *,
        is_owner: bool = False,
        prefix: str = "undercroft",
        clock: Clock | None = None,
        time_us: Callable[[], int] | None = None,
    ) -> None:
        self._redis = connection
        self._is_owner = is_owner
        self._prefix = prefix
        self._clock = clock or SystemClock()
        self._time_us = time_us
        self._prepared: dict[Plan, _Prepared] = {}

    @classmethod
    def from_url(cls, url: Url, *, what: str, clock: Clock | None = None, redis: RedisConnection | None = None) -> Self:
        """Return the store of a Redis URL. Its option `prefix` is ours, the others Redis's.

        Args:
            redis: A connection to the same server that somebody else opens and closes.
        """
        options = dict(url.options)
        prefix = options.pop(_PREFIX, "undercroft")
        if not _PREFIX_TEXT.fullmatch(prefix):
            raise ConfigError(f"{what}: {prefix!r} is not a prefix of keys", hint="leave ?prefix= out, or name one")
        if redis is not None:
            return cls(redis, prefix=prefix, clock=clock)
        try:
            connection = RedisConnection(replace(url, options=options), what=what)
        except RedisUrlError as exc:  # which knows the connection's options alone
            near = [name for option in options for name in near_names(option, [_PREFIX])]
            hint = f"{exc.hint}; and of rate limits: {_PREFIX}" if exc.hint else None
            raise RedisUrlError(exc.message, near=[*exc.near, *near], hint=hint) from exc
        return cls(connection, is_owner=True, prefix=prefix, clock=clock)

    async def __aenter__(self) -> Self:
        if self._is_owner:
            await self._redis.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._is_owner:
            await self._redis.__aexit__(None, None, None)

    async def ping(self) -> None:
        with _translated():
            await self._redis.ping()

    # --- Deciding ---------------------------------------------------------------------------------------------------

    async def check(self, plan: Plan, key: str, cost: int, token: str = "") -> Answer:
        return await self._decide(b"check", plan, key, cost, token)

    async def peek(self, plan: Plan, key: str, cost: int) -> Answer:
        return await self._decide(b"peek", plan, key, cost, "")

    async def _decide(self, mode: bytes, plan: Plan, key: str, cost: int, token: str) -> Answer:
        # What can be made ready is: most of what a client does for a command is to write its arguments.
        prepared = self._prepared.get(plan) or self._prepare(plan)
        numbers = prepared.numbers if prepared.numbers is not None else self._numbers(plan.rules)
        where = f"{self._prefix}:limit:{{{plan.policy}:{key}}}:"
        keys = [where + part for part in prepared.parts]
        try:
            answer = await self._redis.run_script(prepared.script, keys, (mode, self._now(), cost, token, *numbers))
        except RedisError as exc:
            raise _translation(exc) from exc
        if len(answer) == 4:
            return answer[0], ((answer[1], answer[2], answer[3]),)
        return answer[0], tuple(zip(answer[1::3], answer[2::3], answer[3::3], strict=True))

    def _prepare(self, plan: Plan) -> _Prepared:
        is_fixed = not any(rule.is_calendar for rule in plan.rules)
        prepared = self._prepared[plan] = _Prepared(
            deciding(tuple(rule.kind for rule in plan.rules)),
            tuple(rule.part for rule in plan.rules),
            self._numbers(plan.rules) if is_fixed else None,
        )
        return prepared

    def _numbers(self, rules: Sequence[Rule]) -> tuple[bytes, ...]:
        near = int(self._clock.time() * 1e6)
        return tuple(b"%d" % number for rule in rules for number in rule.lua_args(near))

    async def refund(self, plan: Plan, key: str, cost: int) -> None:
        near = int(self._clock.time() * 1e6)
        args: list[str | bytes | float] = [self._now(), cost]
        for rule in plan.rules:
            numbers = rule.lua_args(near)
            args += [rule.kind, len(numbers), *numbers]
        await self._run("refund", self._keys(plan.policy, key, plan.rules), args)

    async def release(self, plan: Plan, key: str, token: str) -> bool:
        return await self._slot("release", plan, key, token)

    async def extend(self, plan: Plan, key: str, token: str) -> bool:
        return await self._slot("extend", plan, key, token)

    async def _slot(self, what: str, plan: Plan, key: str, token: str) -> bool:
        if plan.slots is None:
            return False
        keys = self._keys(plan.policy, key, [plan.slots])
        return bool(await self._run("slot", keys, [what, self._now(), plan.slots.window_us, token]))

    async def reset(self, policy: str, key: str, rules: Sequence[Rule]) -> None:
        client: Any = self._redis.client
        until, about = self._noted(policy)
        with _translated(), self._redis.translated():
            await client.unlink(*self._keys(policy, key, rules))
            await client.zrem(until, key)
            await client.hdel(about, key)

    # --- Who is limited ---------------------------------------------------------------------------------------------

    async def note(self, policy: str, key: str, *, wait_us: int, refusals: int) -> None:
        await self._run("note", self._noted(policy), [self._now(), key, wait_us, refusals, _MOST_NOTED])

    async def limited(self, policies: Sequence[str], limit: int) -> list[LimitedKey]:
        found: list[tuple[int, LimitedKey]] = []
        for policy in policies:
            rows = await self._run("limited", self._noted(policy), [self._now(), limit])
            for key, until, about in zip(rows[::3], rows[1::3], rows[2::3], strict=True):
                found.append((int(until), _limited(policy, key, int(until), about)))
        found.sort(key=lambda entry: entry[0], reverse=True)
        return [entry for _, entry in found[:limit]]

    # --- Keys -------------------------------------------------------------------------------------------------------

    def _keys(self, policy: str, key: str, rules: Sequence[Rule]) -> list[str]:
        return [f"{self._prefix}:limit:{{{policy}:{key}}}:{rule.part}" for rule in rules]

    def _noted(self, policy: str) -> list[str]:
        return [f"{self._prefix}:limited:{{{policy}}}:{what}" for what in ("until", "about")]

    def _now(self) -> str:
        return "" if self._time_us is None else str(self._time_us())

    async def _run(self, name: str, keys: Sequence[str], args: Sequence[str | bytes | float]) -> Any:
        with _translated():
            return await self._redis.run_script(script(name), keys, args)


def _limited(policy: str, key: bytes, until: int, about: bytes) -> LimitedKey:
    since, refusals = about.split()
    return LimitedKey(
        policy=policy,
        key=key.decode(),
        since=utc(int(since) / 1e6),
        until=utc(until / 1e6),
        refusals=int(refusals),
    )


@contextmanager
def _translated() -> Iterator[None]:
    """Turn Redis's errors into ours."""
    try:
        yield
    except RedisError as exc:
        raise _translation(exc) from exc


def _translation(exc: RedisError) -> RateLimitUnavailableError:
    if isinstance(exc, RedisCommandError) and "CLOCKS" in exc.message:
        return RateLimitUnavailableError(
            "the clocks of this machine and of Redis differ by more than a quota's period",
            hint="set the clocks: timedatectl, chrony or ntpd",
        )
    return RateLimitUnavailableError(exc.message, hint=exc.hint, retry_after=exc.retry_after)
