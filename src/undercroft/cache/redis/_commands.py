"""Scripts and reads of many keys in one round trip, on a cluster one for each node; and walks over all keys."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple

from undercroft.connections.redis import RedisConnection, RedisError, Script

_SCANNED_AT_ONCE = 500
_WRONG_TYPE = "WRONGTYPE"


class Call(NamedTuple):
    """One call of a script."""

    keys: Sequence[str]
    args: Sequence[str | bytes | float]


class Commands:
    """What the backend asks of Redis. Stateless."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection
        self._translated = connection.translated()  # has no state either
        self.at_once = 1 if connection.is_cluster else 100
        """How many entries or tags one call of a script may take: on a cluster their keys lie in different slots."""

    @property
    def _client(self) -> Any:
        return self._connection.client

    async def run(self, script: Script, call: Call) -> Any:
        """Run one script."""
        return await self._connection.run_script(script, *call)

    async def run_all(self, script: Script, calls: Sequence[Call]) -> list[Any]:
        """Run a script several times, in one round trip for each node. What was refused raises when all have run."""
        if len(calls) == 1:
            return [await self.run(script, calls[0])]
        from redis.exceptions import NoScriptError

        replies = await self._pipe([("EVALSHA", script.sha, len(keys), *keys, *args) for keys, args in calls])
        unknown = [n for n, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            again = [("EVAL", script.text, len(calls[n].keys), *calls[n].keys, *calls[n].args) for n in unknown]
            for n, reply in zip(unknown, await self._pipe(again), strict=True):
                replies[n] = reply
        for reply in replies:
            if isinstance(reply, Exception):
                with self._translated:
                    raise reply
        return replies

    async def get(self, name: str) -> bytes | None:
        """Return a string; `None` when there is none, or something else in its place."""
        try:
            with self._translated:
                found: bytes | None = await self._client.get(name)
        except RedisError as exc:
            if _is_wrong_type(exc.__cause__):
                return None
            raise
        return found

    async def get_all(self, names: Sequence[str]) -> list[bytes | None]:
        """Return several strings, as `get` does."""
        if len(names) == 1:
            return [await self.get(names[0])]
        if not names:
            return []
        if self._connection.is_cluster:
            return [self._found(reply) for reply in await self._pipe([("GET", name) for name in names])]
        with self._translated:
            found: list[bytes | None] = await self._client.mget(names)
        return found

    async def get_with_ttl(self, names: Sequence[str], others: Sequence[str]) -> list[tuple[bytes | None, int]]:
        """Return strings and how many milliseconds each has left, -1 for no end; of `others`, always -1."""
        commands = [("GET", name) for name in (*names, *others)] + [("PTTL", name) for name in names]
        replies = await self._pipe(commands)
        count = len(names) + len(others)
        left = [int(self._checked(reply)) for reply in replies[count:]] + [-1] * len(others)
        return [(self._found(reply), ttl_ms) for reply, ttl_ms in zip(replies[:count], left, strict=True)]

    async def walk(self, pattern: str) -> AsyncIterator[list[bytes]]:
        """Go over the names of all keys that match, in portions; a name may come twice."""
        cursor: str | None = None
        while True:
            names, cursor = await self.step(pattern, cursor, at_once=_SCANNED_AT_ONCE)
            yield names
            if cursor is None:
                return

    async def step(self, pattern: str, cursor: str | None, *, at_once: int) -> tuple[list[bytes], str | None]:
        """Take one step of a walk, after `cursor`. About `at_once` keys are looked at, whether they match or not."""
        where, _, number = (cursor or "").rpartition("@")
        place = int(number or 0)
        nodes = await self._nodes()
        index = min(int(where or 0), len(nodes) - 1)
        with self._translated:
            place, names = await self._client.scan(place, match=pattern, count=at_once, **nodes[index])
        if isinstance(place, dict):  # a cluster answers for each node that was asked
            (place,) = place.values()
        if place:
            return names, f"{index}@{place}"
        return names, f"{index + 1}@0" if index + 1 < len(nodes) else None

    async def _nodes(self) -> list[dict[str, Any]]:
        """Return the arguments that address each primary, always in one order."""
        if not self._connection.is_cluster:
            return [{}]
        with self._translated:
            await self._client.initialize()
        return [{"target_nodes": node} for node in sorted(self._client.get_primaries(), key=lambda node: node.name)]

    async def _pipe(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        with self._translated:
            pipeline = self._client.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            replies: list[Any] = await pipeline.execute(raise_on_error=False)
        return replies

    def _checked(self, reply: Any) -> Any:
        if isinstance(reply, Exception):
            with self._translated:
                raise reply
        return reply

    def _found(self, reply: Any) -> bytes | None:
        if _is_wrong_type(reply):
            return None
        found: bytes | None = self._checked(reply)
        return found


def _is_wrong_type(exc: object) -> bool:
    return isinstance(exc, Exception) and _WRONG_TYPE in str(exc)
