"""Locks in Redis, for any number of machines. URLs are those of `undercroft.connections.redis`.

Keys, all of one name in one hash slot; `<name>` has no braces:

    undercroft:lock:{<name>}               "<claim> <token> <acquired, microseconds> <owner>"; expires by the lease
    undercroft:lock:{<name>}:token         the last token; expires a week after it was given
    undercroft:lock:{<name>}:gone:<claim>  a claim that was given up while its request may still have been on its way

Each call is one script, thus one step, by the server's clock. A token that was forgotten (a week, an eviction, an empty
replacement of the server) is no harm, as the next one is at least the server's time. Redis keeps expiry times by its
wall clock: one that is set forward ends leases early, which holders notice by their next renewal.

A replica that takes over may lack the last writes, so that a second holder can be let in while the first still counts
on its lease; that is what tokens are for. `WAIT` would make it less likely, not impossible, and is not used.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from typing import Any, Self

from undercroft._core.clock import Clock
from undercroft._core.url import Url
from undercroft.connections.redis import RedisConnection, RedisError, Script
from undercroft.resilience._locks._errors import LockUnavailableError
from undercroft.resilience._locks._protocol import Granted, Held, LockRecord

_PREFIX = "undercroft:lock:{"
_TOKEN_MS = 7 * 86_400_000
_GONE_MS = 60_000
_SCAN_COUNT = 1000

_ACQUIRE = Script("""\
local held = redis.call('GET', KEYS[1])
if held then
  if string.sub(held, 1, #ARGV[1]) == ARGV[1] then
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
    return {1, held, 0}
  end
  return {0, held, redis.call('PTTL', KEYS[1])}
end
if redis.call('EXISTS', KEYS[3]) == 1 then
  return {0, '', 0}
end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local token = string.format('%.0f', math.max((tonumber(redis.call('GET', KEYS[2])) or 0) + 1, now))
local value = ARGV[1] .. ' ' .. token .. ' ' .. string.format('%.0f', now) .. ' ' .. ARGV[2]
redis.call('SET', KEYS[2], token, 'PX', ARGV[4])
redis.call('SET', KEYS[1], value, 'PX', ARGV[3])
return {1, value, 0}
""")
_EXTEND = Script("""\
if string.sub(redis.call('GET', KEYS[1]) or '', 1, #ARGV[1]) ~= ARGV[1] then
  return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
""")
_RELEASE = Script("""\
if string.sub(redis.call('GET', KEYS[1]) or '', 1, #ARGV[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
redis.call('SET', KEYS[2], '', 'PX', ARGV[2])
return 0
""")
_LOOK = Script("""\
return {redis.call('GET', KEYS[1]) or '', redis.call('PTTL', KEYS[1])}
""")
_FORCE = Script("""\
local held = {redis.call('GET', KEYS[1]) or '', redis.call('PTTL', KEYS[1])}
redis.call('DEL', KEYS[1])
return held
""")


class RedisLocks:
    """Leases in Redis. Lives as long as its `Locks`; connects by the first call."""

    name = "redis"
    is_local = False

    def __init__(self, connection: RedisConnection, *, owns_connection: bool = True) -> None:
        """Use `connection`, which is opened and closed here if it is ours, and else by somebody else."""
        self._connection = connection
        self._owns_connection = owns_connection

    @classmethod
    def from_url(
        cls, url: Url, *, what: str = "locks", clock: Clock | None = None, redis: RedisConnection | None = None
    ) -> Self:
        """Build the store on `redis`, which is shared, or on a connection of its own to `url`."""
        if redis is not None:
            return cls(redis, owns_connection=False)
        return cls(RedisConnection(url, what=what, clock=clock))

    async def __aenter__(self) -> Self:
        if self._owns_connection:
            await self._connection.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._owns_connection:
            await self._connection.__aexit__(None, None, None)

    async def ping(self) -> None:
        """See `LockStore.ping`."""
        with _translated():
            await self._connection.ping()

    async def acquire(self, name: str, *, owner: str, claim: str, ttl_s: float) -> Granted | Held:
        """See `LockStore.acquire`."""
        key = _key(name)
        answer = await self._run(
            _ACQUIRE, [key, f"{key}:token", f"{key}:gone:{claim}"], [claim, owner, _ms(ttl_s), _TOKEN_MS]
        )
        is_granted, held, left_ms = answer
        if is_granted:
            return Granted(int(held.split(b" ", 2)[1]))
        return Held(held.split(b" ", 3)[3].decode() if held else "", max(0, left_ms) / 1000)

    async def extend(self, name: str, *, claim: str, ttl_s: float) -> bool:
        """See `LockStore.extend`."""
        return bool(await self._run(_EXTEND, [_key(name)], [claim, _ms(ttl_s)]))

    async def release(self, name: str, *, claim: str) -> bool:
        """See `LockStore.release`."""
        key = _key(name)
        return bool(await self._run(_RELEASE, [key, f"{key}:gone:{claim}"], [claim, _GONE_MS]))

    async def list_held(self, *, prefix: str, limit: int) -> list[LockRecord]:
        """See `LockStore.list_held`. Walks over all keys of the server, a thousand at a time."""
        names: list[str] = []
        client: Any = self._connection.client
        with _translated(), self._connection.translated():
            async with aclosing(client.scan_iter(match=f"{_PREFIX}{_escaped(prefix)}*}}", count=_SCAN_COUNT)) as keys:
                async for key in keys:
                    names.append(key.decode().removeprefix(_PREFIX).removesuffix("}"))
                    if len(names) >= limit:
                        break
        found = [_record(name, await self._run(_LOOK, [_key(name)], [])) for name in sorted(set(names))]
        return [record for record in found if record is not None]

    async def force_release(self, name: str) -> LockRecord | None:
        """See `LockStore.force_release`."""
        return _record(name, await self._run(_FORCE, [_key(name)], []))

    async def _run(self, script: Script, keys: list[str], args: list[str | float]) -> Any:
        with _translated():
            return await self._connection.run_script(script, keys, args)


def _key(name: str) -> str:
    return f"{_PREFIX}{name}}}"


def _ms(seconds: float) -> int:
    return math.ceil(seconds * 1000)


def _escaped(text: str) -> str:
    """Return `text` as a pattern of SCAN that matches it."""
    return "".join(f"\\{character}" if character in "*?[]^-\\" else character for character in text)


def _record(name: str, answer: tuple[bytes, int]) -> LockRecord | None:
    held, left_ms = answer
    if not held or left_ms <= 0:
        return None
    _, token, acquired_us, owner = held.split(b" ", 3)
    return LockRecord(
        name=name,
        owner=owner.decode(),
        token=int(token),
        expires_in_s=left_ms / 1000,
        acquired_at=int(acquired_us) / 1e6,
    )


@contextmanager
def _translated() -> Iterator[None]:
    """Turn Redis's errors, refusals too, into that of locks: whatever it is, nobody may enter."""
    try:
        yield
    except RedisError as exc:
        raise LockUnavailableError(exc.message, hint=exc.hint) from exc
