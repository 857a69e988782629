"""Claims that stand in Redis until there is a job for them.

An idle worker blocks on its queue's marker. Right behind that command it sends the claim, on the same connection: Redis
runs it in the turn in which the marker comes, and the job arrives with the wake-up, one round trip earlier. Such a job
is kept here for the next `claim` of its worker. If none comes it goes back, uncounted.

Redis runs the two one after the other, not as one step. That does not matter: what a marker means is that somebody
must look, and the standing claim looks after the marker was taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from undercroft._core.clock import SystemClock
from undercroft.connections.redis import Script
from undercroft.queue.redis._claiming import release_command
from undercroft.queue.redis._claims import Claims
from undercroft.queue.redis._keys import QueueKeys
from undercroft.queue.redis._pipe import Command, Lost, Refused
from undercroft.queue.redis._store import Store

KEPT_S = 0.5
"""How long a job waits here for its worker's next claim. A worker that is not stopping takes microseconds."""
_LATE_S = 1.0
_NOW = "local now = redis.call('TIME') ARGV[2] = string.format('%d%03d', now[1], math.floor(now[2] / 1000))\n"


class Wish(msgspec.Struct):
    """What the last claim of a task would have liked to find."""

    keys: QueueKeys
    worker_id: str
    lease_ms: int
    row: int
    """How many jobs came by standing claims one after the other."""


class Found(msgspec.Struct):
    """A job that came by a standing claim."""

    keys: QueueKeys
    worker_id: str
    lock: str
    reply: Any
    row: int
    timer: asyncio.TimerHandle


class StandingClaims:
    """What this process's idle workers want, and what came. For one engine, while it is open."""

    def __init__(self, store: Store, claims: Claims) -> None:
        self._store = store
        self._claims = claims
        self._wishes: WeakKeyDictionary[asyncio.Task[Any], Wish] = WeakKeyDictionary()
        self._found: list[Found] = []
        self._returns: set[asyncio.Future[Any]] = set()
        # BullMQ's script takes the time from its caller, who here speaks long before the script runs.
        self._script = Script(_NOW + store.scripts["moveToActive"].text)
        self._is_used = isinstance(store.clock, SystemClock)

    @property
    def load_command(self) -> Command:
        """What teaches a server the script."""
        return (b"SCRIPT", b"LOAD", self._script.text)

    # --- Wishes -----------------------------------------------------------------------------------------------------

    def wish(self, keys: QueueKeys | None, worker_id: str, lease_ms: int, row: int = 0) -> None:
        """Note that this task's claim found less than it could have taken; with `None`, that it needs nothing."""
        task = asyncio.current_task()
        if task is None or not self._is_used:
            return
        if keys is None:
            self._wishes.pop(task, None)
        else:
            self._wishes[task] = Wish(keys, worker_id, lease_ms, row)

    def wish_for(self, queues: Sequence[str]) -> Wish | None:
        """Return what this task wants of `queues`. Of one queue only: which marker was taken is known too late."""
        task = asyncio.current_task()
        wish = None if task is None or len(queues) != 1 else self._wishes.get(task)
        return wish if wish is not None and wish.keys.queue == queues[0] else None

    def command(self, wish: Wish, lock: str) -> Command:
        """Return the claim that is sent ahead."""
        options = self._claims.claim_options(lock, wish.worker_id, wish.lease_ms)
        keys = wish.keys
        return (
            b"EVALSHA",
            self._script.sha.encode(),
            len(keys.to_active),
            *keys.to_active,
            keys.base_bytes,
            0,
            options,
        )

    # --- What came --------------------------------------------------------------------------------------------------

    def keep(self, wish: Wish, lock: str, reply: Any) -> None:
        """Keep a job for the next claim of its worker."""
        found = Found(wish.keys, wish.worker_id, lock, reply, wish.row + 1, _NEVER)
        found.timer = asyncio.get_running_loop().call_later(KEPT_S, self._give_up, found)
        self._found.append(found)

    def take(self, worker_id: str, queues: Sequence[str]) -> Found | None:
        """Return a job that is kept for a worker; it is the caller's from now on."""
        for found in self._found:
            if found.worker_id == worker_id and found.keys.queue in queues:
                found.timer.cancel()
                self._found.remove(found)
                return found
        return None

    def leave(self, worker_id: str | None = None) -> None:
        """Give back what is kept for a worker, or for all: they claim no more."""
        for task in [task for task, wish in self._wishes.items() if worker_id in (None, wish.worker_id)]:
            del self._wishes[task]
        for found in [found for found in self._found if worker_id in (None, found.worker_id)]:
            found.timer.cancel()
            self._give_up(found)

    def drop(self, lock: str) -> None:
        """Give back the job that came by one claim, if it is still kept."""
        for found in [found for found in self._found if found.lock == lock]:
            found.timer.cancel()
            self._give_up(found)

    def give_back(self, keys: QueueKeys, lock: str, reply: Any) -> None:
        """Release a job that came when nobody waited any more. Sent at once; whoever cares awaits `returned`."""
        pipe = self._store.open_pipe
        if pipe is None:
            self._claims.abandon([lock])
            return
        script = self._store.scripts["moveJobFromActiveToWait"]
        call = release_command(self._store, keys, reply[1].decode(), lock)
        back = pipe.request((b"EVAL", script.text, *call[2:]))  # the whole text: nobody is there to send it again
        self._returns.add(back)
        back.add_done_callback(lambda _: self._gave_back(back, lock))
        pipe.request(("ZADD", keys.key("marker"), 0, "0"))  # which the script forgets for jobs with a priority

    async def returned(self, timeout_s: float) -> None:
        """Return when what was given back has arrived, or after some seconds."""
        if self._returns:
            await asyncio.wait(list(self._returns), timeout=timeout_s)

    def lose(self, lock: str, blocked_s: float) -> None:
        """Note that nobody will hear what came of a claim: its connection is gone."""
        self._claims.abandon([lock])
        # A server that has not noticed goes on blocking, and may yet claim a job.
        asyncio.get_running_loop().call_later(blocked_s + _LATE_S, self._claims.abandon, [])

    def _give_up(self, found: Found) -> None:
        self._found.remove(found)
        self.give_back(found.keys, found.lock, found.reply)

    def _gave_back(self, back: asyncio.Future[Any], lock: str) -> None:
        self._returns.discard(back)
        if isinstance(back.result(), Lost | Refused):
            self._claims.abandon([lock])  # the next claim looks for it
        else:
            self._claims.forget(lock)


_NEVER: Any = None
