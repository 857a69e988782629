"""Blocks that several processes know of, through the store of the rate limits.

The store is written when a block begins and read every few seconds, never for a request that is refused. It has no
list of blocks, but one of who is limited now: a block of n seconds is a bucket that is emptied, and then asked for what
it gets back in n seconds. That call is refused, and the list says until when.
"""

from __future__ import annotations

import math

from undercroft._core.bound import BoundPart
from undercroft._core.clock import Clock
from undercroft.asgi._guard._penalty import PenaltyBox
from undercroft.logging import Logger
from undercroft.ratelimit import RateLimits, RateLimitUnavailableError, RatePolicy, TokenBucket

_bound = BoundPart[RateLimits]("limits")
_EVERY_S = 2.0
_EVERY_WHILE_AWAY_S = 10.0
_MOST = 1000
_log = Logger(module="undercroft.asgi.guard")


class SharedBlocks:
    """Tells the others of blocks, and takes over theirs. Lives as long as its protection.

    Args:
        box: Whose blocks they are.
        limits: Whose store; `None` is that of the bound `Infra`.
        longest_s: The longest block.
        clock: Its monotonic time.
    """

    def __init__(self, box: PenaltyBox, limits: RateLimits | None, *, longest_s: float, clock: Clock) -> None:
        self._box = box
        self._limits = limits
        self._clock = clock
        self._longest = max(1, math.ceil(longest_s))
        self._policy = RatePolicy("guard.blocks", TokenBucket(self._longest, "1/s"), fail="closed")
        self._read_at = 0.0
        self._known: set[str] = set()

    async def tell(self, key: str, seconds: float) -> None:
        """Tell the others of a block. If the store is away, it is this process's alone."""
        limits = self._limits or _bound.require()
        wanted = min(self._longest, max(1, math.ceil(seconds)))
        try:
            await limits.reset(self._policy, key)
            await limits.check(self._policy, key, cost=self._longest)
            await limits.check(self._policy, key, cost=wanted)
        except RateLimitUnavailableError as error:
            _log.warning("a block is not shared: the store did not answer", problem=error.message)
        else:
            self._known.add(key)

    async def forget(self, key: str) -> None:
        """Tell the others that a block is over.

        Raises:
            RateLimitUnavailableError: The store did not answer; the others may not know.
        """
        self._known.discard(key)
        await (self._limits or _bound.require()).reset(self._policy, key)

    async def read(self) -> None:
        """Take over what the others have told, if it is time to look again."""
        now = self._clock.monotonic()
        if now < self._read_at:
            return
        self._read_at = now + _EVERY_WHILE_AWAY_S  # before the first await: one request looks, the others do not wait
        try:
            found = await (self._limits or _bound.require()).limited(self._policy, limit=_MOST)
        except RateLimitUnavailableError:
            return
        self._read_at = now + _EVERY_S
        listed = {entry.key: entry.until.timestamp() - self._clock.time() for entry in found}
        for key, seconds in listed.items():
            if seconds > 0:
                self._box.serve(key, seconds)
        if len(listed) < _MOST:  # else some may be left out
            for key in self._known - listed.keys():
                self._box.release(key)
            self._known = set(listed)
