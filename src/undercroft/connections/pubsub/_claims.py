"""Claims in this process: for one process, and for tests."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.durations import Duration, to_seconds
from undercroft.connections.pubsub._checks import check_whole
from undercroft.connections.pubsub._ports import ClaimResult


@dataclass(slots=True)
class _Entry:
    owner: str
    token: int
    until: float
    """When the lease ends; when the key is forgotten, once it is done. Monotonic seconds."""
    is_done: bool = False


class MemoryClaims:
    """A `ClaimStore` in this process. Several processes do not see each other's: use a database's for those.

    Args:
        max_keys: How many keys are kept. Beyond it the oldest *done* keys are forgotten, and a duplicate of one of them
            would be handled again; claims that are held are never forgotten.
        keep: How long a done key is remembered; Pub/Sub keeps messages for 7 days unless it is told otherwise.
    """

    def __init__(self, *, clock: Clock | None = None, max_keys: int = 100_000, keep: Duration = "7d") -> None:
        check_whole("max_keys", max_keys, 1, 2**40)
        self._clock = clock or SystemClock()
        self._max_keys = max_keys
        self._keep_s = to_seconds(keep, name="keep")
        self._tokens = 0
        self._held: dict[str, _Entry] = {}
        self._done: OrderedDict[str, _Entry] = OrderedDict()

    def __len__(self) -> int:
        """Keys that are kept."""
        return len(self._held) + len(self._done)

    async def claim(self, key: str, *, owner: str, lease_s: float) -> ClaimResult:
        """Take `key`; see `ClaimStore.claim`."""
        now = self._clock.monotonic()
        done = self._done.get(key)
        if done is not None and done.until > now:
            return ClaimResult(state="done", token=0, lease_until=0.0)
        held = self._held.get(key)
        if held is not None and held.until > now and held.owner != owner:
            return ClaimResult(state="busy", token=0, lease_until=self._clock.time() + held.until - now)
        if held is None or held.until <= now:
            self._tokens += 1
            held = self._held[key] = _Entry(owner, self._tokens, now)
        held.until = now + lease_s
        self._trim(now)
        return ClaimResult(state="claimed", token=held.token, lease_until=self._clock.time() + lease_s)

    async def done(self, key: str, token: int) -> bool:
        """Mark `key` as done; see `ClaimStore.done`."""
        held = self._held.get(key)
        if held is None or held.token != token:
            return False
        del self._held[key]
        held.until = self._clock.monotonic() + self._keep_s
        self._done[key] = held
        self._done.move_to_end(key)
        self._trim(self._clock.monotonic())
        return True

    async def release(self, key: str, token: int) -> bool:
        """Give up the claim; see `ClaimStore.release`."""
        held = self._held.get(key)
        if held is None or held.token != token:
            return False
        del self._held[key]
        return True

    def _trim(self, now: float) -> None:
        while self._done and (len(self) > self._max_keys or next(iter(self._done.values())).until <= now):
            self._done.popitem(last=False)
        if len(self._held) > self._max_keys:  # of holders that died
            for key in [key for key, held in self._held.items() if held.until <= now]:
                del self._held[key]
