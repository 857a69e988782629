"""Waiting for work and for the end of a job, without asking all the time.

BullMQ wakes workers by a sorted set, `marker`: whoever adds a job puts an element in, and one of the workers that block
on it takes it out. Whoever takes it must look for work, or put it back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import anyio

from undercroft._core.clock import SystemClock
from undercroft.queue._values import ClaimedJob
from undercroft.queue.redis._claims import Claims
from undercroft.queue.redis._pipe import Command, Lost, Pipe, Refused
from undercroft.queue.redis._standing import StandingClaims, Wish
from undercroft.queue.redis._store import Store

_LONGEST_S = 10.0
"""Of one blocking command: a server that cannot be told to stop one does so by itself."""
_UNDER_ANOTHER_CLOCK_S = 0.05
_STOP_S = 0.5
"""How long a server may take to end a blocking command. It takes a round trip, unless something is wrong."""
_INSIST_S = 0.02
"""It is told again after this: the first time, the command that blocks may not have reached it."""
_POLL_S = (0.005, 0.25)
"""How soon the end of a job is looked for again: at first, and at most."""


class Waiting:
    """Who waits here, and for what. For one engine, while it is open."""

    def __init__(self, store: Store, claims: Claims, standing: StandingClaims) -> None:
        self._store = store
        self.claims = claims
        self.standing = standing
        self._wakers: set[asyncio.Future[None]] = set()
        self._ends: dict[tuple[str, str], set[asyncio.Future[None]]] = {}
        self._idle: list[_Blocker] = []
        self._all: set[_Blocker] = set()
        self._is_closed = False
        self.changes = 0

    def changed(self) -> None:
        """Something in this process may have made work."""
        self.changes += 1
        for waker in self._wakers:
            _wake(waker)

    def ended(self, job: ClaimedJob) -> None:
        """A run has come to its end in this process."""
        for waker in self._ends.get((job.queue, job.id), ()):
            _wake(waker)

    async def for_work(self, queues: Sequence[str], *, since: int, timeout: float) -> None:
        """See `Engine.wait_for_work`."""
        if self.changes != since or timeout <= 0 or not queues:
            return
        wish = self.standing.wish_for(queues)
        if wish is not None and wish.row:
            await asyncio.sleep(0)  # the job that has just come begins first
            if self.changes != since:
                return
        waker: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._wakers.add(waker)
        try:
            await self._store.pipe()  # by which the blocking one can be stopped
            blocker = await self._take_blocker()
            keys = [self._store.keys(queue).key("marker") for queue in queues]
            longest = _LONGEST_S if isinstance(self._store.clock, SystemClock) else _UNDER_ANOTHER_CLOCK_S
            await blocker.wait(keys, min(timeout, longest), waker, wish)
        finally:
            self._wakers.discard(waker)

    async def for_end(self, job_id: str, *, queue: str, timeout: float) -> None:
        """See `Engine.wait_for_end`. At once for jobs that end in this process, others within a quarter second."""
        waker: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        wakers = self._ends.setdefault((queue, job_id), set())
        wakers.add(waker)
        try:
            with self._store.clock.cancel_after(timeout):
                await self._poll(self._store.keys(queue).job(job_id), waker)
        finally:
            wakers.discard(waker)
            if not wakers:
                self._ends.pop((queue, job_id), None)

    async def close(self) -> None:
        """Close the connections that block. Whoever waits gets a `QueueUnavailableError`."""
        self._is_closed = True
        self.standing.leave()
        stays = [stay for blocker in self._all if (stay := blocker.stay) is not None and stay.lock is not None]
        for stay in stays:
            stay.is_left = stay.is_closed = True
            await stay.stop()
        await self.standing.returned(_STOP_S)
        for blocker in list(self._all):
            await blocker.pipe.close()
        self._all.clear()
        self._idle.clear()
        self.changed()

    async def _poll(self, key: str, waker: asyncio.Future[None]) -> None:
        pause, longest = _POLL_S
        while not waker.done():
            name, finished_on = await self._store.command("HMGET", key, "name", "finishedOn")
            if name is None or finished_on is not None:
                return
            await asyncio.wait([waker], timeout=pause)
            pause = min(pause * 1.5, longest)

    # --- The connections that block ---------------------------------------------------------------------------------

    async def _take_blocker(self) -> _Blocker:
        while self._idle:
            blocker = self._idle.pop()
            if blocker.pipe.lost is None:
                return blocker
        for blocker in [blocker for blocker in self._all if blocker.pipe.lost is not None]:
            await self.drop(blocker)
        pipe = await self._store.connect()
        try:
            client_id = await pipe.request(("CLIENT", "ID"))
        except BaseException:
            await pipe.close()
            raise
        blocker = _Blocker(self, pipe, client_id)
        self._all.add(blocker)
        return blocker

    def tell(self, *command: Any) -> None:
        """Send a command to whose reply nobody listens."""
        pipe = self._store.open_pipe
        if pipe is not None:
            pipe.request(command)

    def unavailable(self, problem: Any) -> Exception:
        """Return what to raise for a `Lost` or a `Refused`."""
        return self._store.unavailable(problem)

    def give_back(self, blocker: _Blocker) -> None:
        """Keep a connection for the next who waits."""
        if not self._is_closed:
            self._idle.append(blocker)

    async def drop(self, blocker: _Blocker) -> None:
        """Close a connection that failed."""
        self._all.discard(blocker)
        await blocker.pipe.close()


class _Blocker:
    """A connection that blocks for one waiter at a time."""

    def __init__(self, waiting: Waiting, pipe: Pipe, client_id: int) -> None:
        self.waiting = waiting
        self.client_id = client_id
        self._answer_s = pipe.timeout_s
        self.pipe = pipe
        self.stay: _Stay | None = None
        """What it blocks for now."""
        self.has_script = False

    async def wait(self, keys: Sequence[str], seconds: float, waker: asyncio.Future[None], wish: Wish | None) -> None:
        """Return when there is a marker, the waker is woken, or the time is over."""
        stay = self._begin(keys, seconds, waker, wish)
        try:
            await waker
            if not stay.over.done():
                await self._leave(stay)
        except BaseException:
            stay.is_left = True
            with anyio.CancelScope(shield=True):
                if stay.over.done():
                    stay.undo()
                else:
                    await self._leave(stay)
                await self.waiting.standing.returned(_STOP_S)
            raise
        if stay.problem is not None or stay.is_closed:
            await self.waiting.drop(self)
            raise self.waiting.unavailable(stay.problem or Lost(self.pipe.lost or ConnectionError("closed")))
        if not stay.is_left:
            self.waiting.give_back(self)

    def _begin(self, keys: Sequence[str], seconds: float, waker: asyncio.Future[None], wish: Wish | None) -> _Stay:
        waiting, lock = self.waiting, None
        commands: list[Command] = [("BZPOPMIN", *keys, f"{max(seconds, 0.001):.3f}")]
        if wish is not None:
            if not self.has_script:
                self.pipe.request(waiting.standing.load_command)
                self.has_script = True
            lock = waiting.claims.new_lock(wish.worker_id)
            commands.append(waiting.standing.command(wish, lock))
        self.pipe.timeout_s = self._answer_s + seconds
        stay = self.stay = _Stay(self, waker, wish, lock, seconds)
        self.pipe.request_for(stay, commands)
        return stay

    async def _leave(self, stay: _Stay) -> None:
        """End the command that blocks. What a standing claim brings by then is not lost sight of."""
        if stay.lock is not None:
            await stay.stop()
        if not stay.over.done():
            stay.is_left = True
            stay.unblock()


class _Stay:
    """One blocking command, and the claim behind it. It receives their replies by itself, which saves a wake-up two
    turns of the loop."""

    def __init__(
        self, blocker: _Blocker, waker: asyncio.Future[None], wish: Wish | None, lock: str | None, seconds: float
    ) -> None:
        self._blocker = blocker
        self._waker = waker
        self._wish = wish
        self._seconds = seconds
        self._replies: list[Any] = []
        self._has_job = False
        self.lock = lock
        """Of the claim, if there is one."""
        self.over: asyncio.Future[None] = waker.get_loop().create_future()
        self.problem: Any = None
        self.is_left = False
        """Nobody waits any more. What comes nevertheless is for another worker."""
        self.is_closed = False

    # --- For the pipe -----------------------------------------------------------------------------------------------

    def done(self) -> bool:
        return False

    def set_result(self, reply: Any) -> None:
        if self.over.done():
            return
        self._replies.append(reply)
        if reply.__class__ is Lost or (reply.__class__ is Refused and len(self._replies) == 1):
            self.problem = reply
        if reply.__class__ is not Lost and len(self._replies) <= (self.lock is not None):
            return
        self.over.set_result(None)
        self._blocker.stay = None
        if self.lock is not None and self._wish is not None:
            self._settle(self.lock, self._wish, self._replies[-1])
        if self.is_left:
            self._go()
        else:
            _wake(self._waker)

    def _settle(self, lock: str, wish: Wish, reply: Any) -> None:
        claims, standing = self._blocker.waiting.claims, self._blocker.waiting.standing
        if reply.__class__ is Lost:
            standing.lose(lock, self._seconds)
        elif reply.__class__ is Refused:
            if str(reply).startswith("NOSCRIPT"):  # the next claim finds what is there
                self._blocker.has_script = False
                claims.forget(lock)
            else:
                claims.abandon([lock])
        elif reply[0].__class__ is not list:
            claims.forget(lock)
        else:
            self._has_job = True
            if self.is_left:
                standing.give_back(wish.keys, lock, reply)
            else:
                standing.keep(wish, lock, reply)

    # --- Leaving ----------------------------------------------------------------------------------------------------

    def unblock(self) -> None:
        """Have Redis end the blocking command."""
        self._blocker.waiting.tell("CLIENT", "UNBLOCK", self._blocker.client_id)

    async def stop(self) -> None:
        """Have Redis end the blocking command, and wait for the replies, but not for long."""
        for _ in range(round(_STOP_S / _INSIST_S)):
            self.unblock()
            await asyncio.wait([self.over], timeout=_INSIST_S)
            if self.over.done():
                return

    def undo(self) -> None:
        """Let go of what came when the waiter was just leaving."""
        if self._has_job and self.lock is not None:
            self._blocker.waiting.standing.drop(self.lock)
        self._go()

    def _go(self) -> None:
        blocker, popped = self._blocker, self._replies[0]
        if isinstance(popped, list) and not self._has_job:
            key, member, score = popped
            blocker.pipe.request(("ZADD", key, score, member))
        if self.problem is None:
            blocker.waiting.give_back(blocker)
        elif self.problem.__class__ is Refused:
            blocker.pipe.retire(self.problem)


def _wake(waker: asyncio.Future[None]) -> None:
    if not waker.done():
        waker.set_result(None)
