"""A listener to what changes in Redis, that knows when it may be missing something.

A PING goes over the connection that messages come on, four times a second; its answer comes behind every message that
was published before. So an answer tells that everything up to the moment of its PING has been heard. On a cluster it
tells that of the node that is asked: what the others publish comes by the cluster's bus, whose failures show only when
the cluster itself notices them.
"""

from __future__ import annotations

import asyncio
import math
import random
from typing import Any, Self

import msgspec

from undercroft._core.clock import Clock
from undercroft.cache._protocol import Tell
from undercroft.cache.redis import _keys as names
from undercroft.connections.redis import RedisConnection, RedisError
from undercroft.logging import Logger

_log = Logger(module="undercroft.cache")
_PING_EVERY_S = 0.25
SURE_S = 1.0
"""For how long after a PING that was answered nothing can have been missed that matters: a change is told within that,
or `is_listening` is false."""
_GIVE_UP_S = 3.0
"""A connection on which nothing is answered for so long is given up."""
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0
_decode = msgspec.json.Decoder(tuple[str, tuple[str, ...], tuple[str, ...]]).decode


class RedisChanges:
    """`Changes` of a Redis. Opened by `async with`, once; while it is open, it listens, and connects again by itself.

    The connection must be open before, and until after.
    """

    def __init__(self, connection: RedisConnection, *, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self._tell: Tell | None = None
        self._sure_until = -math.inf
        self._pings: dict[bytes, float] = {}
        self._count = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def is_listening(self) -> bool:
        return self._clock.monotonic() < self._sure_until

    def listen(self, tell: Tell) -> None:
        self._tell = tell

    async def __aenter__(self) -> Self:
        # Not in a task group, which must be left by the task that entered it: a cache may be closed by another one.
        self._task = asyncio.create_task(self._live(), name="undercroft cache changes")
        return self

    async def __aexit__(self, *_: object) -> None:
        task, self._task = self._task, None
        self._sure_until = -math.inf
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _live(self) -> None:
        pause_s = _SHORTEST_PAUSE_S
        while True:
            problem = await self._listen_until_it_ends()
            has_listened, self._sure_until = self._sure_until > -math.inf, -math.inf
            if has_listened:
                pause_s = _SHORTEST_PAUSE_S
            if problem is not None and pause_s == _SHORTEST_PAUSE_S:
                _log.warning("changes of the cache are not heard; its local tier is passed by", error=problem)
            await self._clock.sleep(random.uniform(0, pause_s))
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _listen_until_it_ends(self) -> str | None:
        try:
            await self._listen()
        except RedisError as exc:
            return exc.message
        except Exception as exc:  # the loop must survive, or the application would end with it
            return f"{type(exc).__name__}: {exc}"
        return None

    async def _listen(self) -> None:
        """Listen on one connection until it ends, or may have been replaced by another behind our back."""
        self._pings.clear()
        with self._connection.translated():
            async with self._connection.pubsub() as pubsub:
                await pubsub.subscribe(names.CHANGES)
                subscriptions, has_missed, ping_at = 0, True, self._clock.monotonic()
                while True:
                    now = self._clock.monotonic()
                    if now >= ping_at:
                        if self._is_dead(now):
                            return
                        await self._ping(pubsub, now)
                        ping_at = now + _PING_EVERY_S
                    message = await pubsub.get_message(timeout=max(0.001, ping_at - now))
                    if message is None:
                        continue
                    kind = message["type"]
                    if kind == "message":
                        self._pass_on(message["data"])
                    elif kind == "pong":
                        has_missed = self._hear(message["data"], has_missed=has_missed)
                    else:
                        subscriptions += 1
                        if subscriptions > 1:  # redis-py has connected again, in silence
                            return

    def _is_dead(self, now: float) -> bool:
        return any(now - sent_at > _GIVE_UP_S for sent_at in self._pings.values())

    async def _ping(self, pubsub: Any, now: float) -> None:
        self._count += 1
        text = str(self._count)
        self._pings[text.encode()] = now
        await pubsub.ping(text)

    def _hear(self, answer: bytes, *, has_missed: bool) -> bool:
        """Take the answer to a PING; return whether changes have been missed that nobody was told of."""
        sent_at = self._pings.pop(answer, None)
        if sent_at is None:
            return has_missed
        if has_missed and self._tell is not None:
            self._tell(None, (), ())
        self._sure_until = sent_at + SURE_S
        return False

    def _pass_on(self, data: bytes) -> None:
        change: tuple[str | None, tuple[str, ...], tuple[str, ...]]
        try:
            change = _decode(data)
        except msgspec.MsgspecError:
            change = None, (), ()  # of another version, or not ours: whatever it says may have changed
        if self._tell is not None:
            self._tell(*change)
