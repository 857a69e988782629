"""The penalty box: who is blocked, for how long, and how often that has happened."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from undercroft._core.clock import Clock
from undercroft._core.durations import Duration, to_seconds
from undercroft.asgi._guard._errors import GuardConfigError


@dataclass(slots=True)
class _Sentence:
    until: float
    offences: int


class PenaltyBox:
    """Blocks clients, each time for longer. In this process's memory, for at most `limit` clients at once.

        box = PenaltyBox(clock=clock, block="1m", growth=2, max_block="1h")
        box.offend("ip:192.0.2.7")          # 60.0: blocked for a minute; for two minutes the next time, up to an hour
        box.blocked_for("ip:192.0.2.7")     # seconds that are left, or 0

    A client that behaves for `forget_after` from the end of its block begins anew. Beyond `limit`, the block that was
    given longest ago is dropped, those given by hand last. Lives as long as its owner; not for several threads.

    Args:
        clock: Its monotonic time.
        block: The first block.
        growth: By how much the next one is longer; 1 keeps them alike.
        max_block: The longest one.
        forget_after: After how long without an offence, counted from the end of the last block.
        limit: How many clients are remembered.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        block: Duration = "1m",
        growth: float = 2.0,
        max_block: Duration = "1h",
        forget_after: Duration = "1h",
        limit: int = 100_000,
    ) -> None:
        self._clock = clock
        self._block_s = to_seconds(block, name="block")
        self._max_s = to_seconds(max_block, name="max_block")
        self._forget_s = to_seconds(forget_after, name="forget_after")
        if not 0 < self._block_s <= self._max_s:
            raise GuardConfigError(f"block {block!r} is not above 0 and at most max_block {max_block!r}")
        if growth < 1 or limit < 1:
            raise GuardConfigError(f"growth {growth!r} and limit {limit!r} must both be at least 1")
        self._growth = growth
        self._limit = limit
        self._sentences: OrderedDict[str, _Sentence] = OrderedDict()
        self._by_hand: dict[str, float] = {}

    def __len__(self) -> int:
        """How many clients it remembers, blocked or not."""
        return len(self._sentences) + len(self._by_hand)

    def blocked_for(self, key: str) -> float:
        """Return the seconds for which a client is blocked still; 0 when it is not."""
        if not self._sentences and not self._by_hand:
            return 0.0
        now = self._clock.monotonic()
        until = self._by_hand.get(key, 0.0)
        if 0.0 < until <= now:
            del self._by_hand[key]
        sentence = self._sentences.get(key)
        return max(0.0, until - now, sentence.until - now if sentence else 0.0)

    def offend(self, key: str) -> float:
        """Block a client for its next offence; return for how many seconds."""
        now = self._clock.monotonic()
        last = self._sentences.pop(key, None)
        offences = 0 if last is None or now >= last.until + self._forget_s else last.offences
        seconds = self._length(offences)
        self._sentences[key] = _Sentence(now + seconds, offences + 1)
        self._keep_bounds(now)
        return seconds

    def serve(self, key: str, seconds: float) -> None:
        """Take over a block that another process gave; never shortens one."""
        now = self._clock.monotonic()
        sentence = self._sentences.pop(key, None) or _Sentence(0.0, 1)
        sentence.until = max(sentence.until, now + min(seconds, self._max_s))
        self._sentences[key] = sentence
        self._keep_bounds(now)

    def block(self, key: str, duration: Duration) -> None:
        """Block a client by hand; does not count as an offence, and may be longer than `max_block`."""
        self._by_hand[key] = self._clock.monotonic() + to_seconds(duration, name="duration")
        while len(self._by_hand) > self._limit:
            del self._by_hand[next(iter(self._by_hand))]

    def unblock(self, key: str) -> bool:
        """Let a client go, and forget its offences; return whether it was blocked."""
        was_blocked = self.blocked_for(key) > 0
        self._sentences.pop(key, None)
        self._by_hand.pop(key, None)
        return was_blocked

    def release(self, key: str) -> None:
        """End a client's block, and remember its offences."""
        sentence = self._sentences.get(key)
        if sentence is not None:
            sentence.until = min(sentence.until, self._clock.monotonic())
        self._by_hand.pop(key, None)

    def list_blocked(self, *, limit: int = 100) -> dict[str, float]:
        """Return who is blocked, with the seconds that are left, the longest first."""
        keys = {*self._sentences, *self._by_hand}
        left = {key: seconds for key in keys if (seconds := self.blocked_for(key)) > 0}
        return dict(sorted(left.items(), key=lambda pair: -pair[1])[:limit])

    def _length(self, offences: int) -> float:
        try:
            return min(self._max_s, self._block_s * self._growth**offences)
        except OverflowError:
            return self._max_s

    def _keep_bounds(self, now: float) -> None:
        # Each new one may drop two old ones that are forgotten, so that they go at least as fast as they come.
        for _ in range(2):
            oldest = next(iter(self._sentences.values()))
            if now < oldest.until + self._forget_s and len(self._sentences) <= self._limit:
                return
            self._sentences.popitem(last=False)
            if not self._sentences:
                return
