"""The Redis engine: BullMQ's scripts and keys, driven by our own loop. See the package's docstring."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Self

import anyio

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.errors import ConfigError, NotOpenError, near_names
from undercroft._core.url import Url
from undercroft.connections.redis import RedisConnection, RedisUrlError
from undercroft.queue._errors import QueueUnavailableError
from undercroft.queue._values import (
    Added,
    Advice,
    Beat,
    Claim,
    ClaimedJob,
    Completed,
    Failed,
    Fetch,
    Finished,
    NewJob,
    Postponed,
    Rescued,
)
from undercroft.queue.redis import _leases as leases
from undercroft.queue.redis import _putting_aside as putting_aside
from undercroft.queue.redis._adding import add_jobs
from undercroft.queue.redis._advice import advice
from undercroft.queue.redis._claiming import Claiming
from undercroft.queue.redis._claims import Claims
from undercroft.queue.redis._finishing import Finishing
from undercroft.queue.redis._inspecting import Inspecting
from undercroft.queue.redis._pulse import RedisPulse
from undercroft.queue.redis._retention import prune
from undercroft.queue.redis._scripts import load_scripts
from undercroft.queue.redis._standing import StandingClaims
from undercroft.queue.redis._store import Store
from undercroft.queue.redis._waiting import Waiting

_PREFIX = "prefix"
_CLOCK_EVERY_S = 60.0
_LEAVE_S = 2.0


class RedisQueue(Inspecting):
    """Jobs in Redis, as BullMQ keeps them. Opened by `async with`; lives as long as its `Infra`; for one event loop.

    Entering does no network I/O. Node's workers, producers and dashboards may use the same queues at the same time.
    """

    name = "redis"

    def __init__(self, url: Url, *, prefix: str, what: str = "queue", clock: Clock | None = None) -> None:
        """Take the settings; does no I/O but reading BullMQ's scripts.

        Args:
            url: Of `undercroft.connections.redis`.
            prefix: What BullMQ calls so: the first part of every key. On a cluster with a `{hash tag}`.

        Raises:
            MissingExtraError: redis-py or bullmq is not installed.
            ConfigError: The installed bullmq is not one we know, or the prefix will not do.
        """
        self._url, self._what, self._prefix = url, what, prefix
        self._clock = clock or SystemClock()
        self._scripts = load_scripts()
        self._connection = RedisConnection(url, what=what)
        self._opened: _Opened | None = None
        if self._connection.is_cluster and not (0 <= prefix.find("{") < prefix.find("}") - 1):
            raise ConfigError(
                f"{what}: on a cluster the prefix {prefix!r} needs a hash tag, so that all keys lie in one slot",
                hint="leave ?prefix= out, or write braces: ?prefix={bull}",
            )

    @classmethod
    def from_url(cls, url: Url, *, what: str = "queue", clock: Clock | None = None) -> Self:
        """Return the engine of a Redis URL; see the constructor. Its option `prefix` is ours, the others Redis's."""
        options = dict(url.options)
        is_cluster = url.scheme.endswith("+cluster")
        prefix = options.pop(_PREFIX, "{bull}" if is_cluster else "bull")
        if not prefix or any(character.isspace() for character in prefix):
            raise ConfigError(f"{what}: {prefix!r} is not a prefix of keys", hint="leave ?prefix= out, or name one")
        try:
            return cls(replace(url, options=options), prefix=prefix, what=what, clock=clock)
        except RedisUrlError as exc:  # which knows the connection's options alone
            near = [name for option in options for name in near_names(option, [_PREFIX])]
            hint = f"{exc.hint}; and of a queue: {_PREFIX}" if exc.hint else None
            raise RedisUrlError(exc.message, near=[*exc.near, *near], hint=hint) from exc

    async def __aenter__(self) -> Self:
        if self._opened is not None:
            raise NotOpenError("the queue's engine is open already", hint="enter it in one place only")
        await self._connection.__aenter__()
        self._opened = _Opened(Store(self._connection, prefix=self._prefix, clock=self._clock, scripts=self._scripts))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            with anyio.CancelScope(shield=True), anyio.move_on_after(_LEAVE_S):
                await opened.waiting.close()
                await opened.store.close()
            await self._connection.__aexit__(None, None, None)

    async def ping(self) -> None:
        """See `Engine.ping`."""
        await self._now.store.command("PING")

    async def advice(self) -> list[Advice]:
        """See `Engine.advice`."""
        return await advice(self._now.store)

    def time(self) -> float:
        """See `Engine.time`. With the host's clock: its time, and what Redis's was ahead of it a minute ago or less."""
        return self._clock.time() if self._opened is None else self._opened.store.time()

    # --- Adding and working -----------------------------------------------------------------------------------------

    async def add(self, jobs: Sequence[NewJob]) -> list[Added]:
        """See `Engine.add`. Several jobs are one transaction of BullMQ's scripts."""
        now = self._opened or self._now
        await now.tell_time()
        added = await add_jobs(now.store, jobs)
        now.waiting.changes += 1  # whoever waits is woken by BullMQ's marker
        return added

    async def claim(
        self, *, queues: Sequence[str], names: Sequence[str], limit: int, worker_id: str, lease_s: float
    ) -> Claim:
        """See `Engine.claim`."""
        now = self._now
        await now.tell_time()
        return await now.claiming.claim(queues=queues, names=names, limit=limit, worker_id=worker_id, lease_s=lease_s)

    async def finish(
        self, job: ClaimedJob, outcome: Completed | Failed | Postponed, *, fetch: Fetch | None = None
    ) -> Finished:
        """See `Engine.finish`."""
        now = self._opened or self._now
        finished = await now.finishing.finish(job, outcome, fetch=fetch)
        now.waiting.ended(job)
        if fetch is None:
            now.waiting.changed()  # it may have made room in a queue that is limited
        return finished

    async def beat(self, worker_id: str, jobs: Sequence[ClaimedJob], *, lease_s: float) -> Beat:
        """See `Engine.beat`. One round trip."""
        now = self._now
        await now.tell_time()
        return await leases.beat(now.store, now.claims, worker_id, jobs, lease_s=lease_s)

    def pulse(self, worker_id: str) -> RedisPulse | None:
        """See `Engine.pulse`."""
        return RedisPulse(self._url, what=self._what, prefix=self._prefix, worker_id=worker_id, claims=self._now.claims)

    async def release(self, jobs: Sequence[ClaimedJob]) -> None:
        """See `Engine.release`."""
        await leases.release(self._now.store, self._now.claims, jobs)
        self._now.waiting.changed()

    async def rescue(self, *, queues: Sequence[str], max_crashes: int, again_after_s: float) -> list[Rescued]:
        """See `Engine.rescue`. A job of a dead worker at once, any other when its lock has expired."""
        now = self._now
        rescued: list[Rescued] = []
        for queue in queues:
            rescued += await leases.rescue(now.store, queue, max_crashes=max_crashes, again_after_s=again_after_s)
        if rescued:
            now.waiting.changed()
        return rescued

    async def park_unknown(self, *, queues: Sequence[str], names: Sequence[str]) -> list[tuple[str, str]]:
        """See `Engine.park_unknown`. Looks at the 500 next in line of each queue; `claim` parks what it meets."""
        now = self._now
        known = frozenset(names)
        for queue in queues:
            await putting_aside.unpark(now.store, queue, known)
            now.claiming.parked += await putting_aside.park(now.store, queue, known)
        parked = [(job_id, name) for queue, job_id, name in now.claiming.parked if queue in queues]
        now.claiming.parked = [entry for entry in now.claiming.parked if entry[0] not in queues]
        return parked

    @asynccontextmanager
    async def attend(self, worker_id: str, *, queues: Sequence[str]) -> AsyncIterator[None]:  # noqa: ARG002
        """See `Engine.attend`. From then on the worker must beat at least every five seconds."""
        store, standing = self._now.store, self._now.standing
        await store.command(*leases.alive_command(store, worker_id))
        try:
            yield
        finally:
            standing.leave(worker_id)  # on the same connection, so it is done when the next reply comes
            with anyio.CancelScope(shield=True), anyio.move_on_after(_LEAVE_S), suppress(QueueUnavailableError):
                await store.command("DEL", store.worker_key(worker_id))  # otherwise it expires

    async def prune(self, *, queues: Sequence[str]) -> int:
        """See `Engine.prune`. BullMQ deletes when a job finishes; here is what a queue that stands still keeps."""
        return sum([await prune(self._now.store, queue) for queue in queues])

    # --- Waiting ----------------------------------------------------------------------------------------------------

    @property
    def changes(self) -> int:
        """See `Engine.changes`. Other processes are noticed by `wait_for_work` itself."""
        return self._now.waiting.changes

    async def wait_for_work(self, queues: Sequence[str], *, since: int, timeout: float) -> None:
        """See `Engine.wait_for_work`. Blocks on BullMQ's markers; returns at least every ten seconds.

        In the task of a `claim` that found less than it might have, in the only queue that is waited for, it claims:
        the next `claim` of that worker hands the job out at once. When there is none within half a second, the job is
        released.
        """
        await self._now.waiting.for_work(queues, since=since, timeout=timeout)

    async def wait_for_end(self, job_id: str, *, queue: str, timeout: float) -> None:
        """See `Engine.wait_for_end`."""
        await self._now.waiting.for_end(job_id, queue=queue, timeout=timeout)

    def __repr__(self) -> str:
        return f"<RedisQueue on {self._connection.place}, prefix {self._prefix!r}>"

    @property
    def _store(self) -> Store:
        return self._now.store

    @property
    def _now(self) -> _Opened:
        if self._opened is None:
            raise NotOpenError("the queue's engine is not open", hint="use it inside `async with`")
        return self._opened


class _Opened:
    """What exists from open to close."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.claims = Claims(store)
        self.standing = StandingClaims(store, self.claims)
        self.claiming = Claiming(store, self.claims, self.standing)
        self.finishing = Finishing(store, self.claims, self.claiming)
        self.waiting = Waiting(store, self.claims, self.standing)
        self._told_at = float("-inf")

    async def tell_time(self) -> None:
        """Compare the clocks, once a minute."""
        now = self.store.clock.monotonic()
        if now - self._told_at > _CLOCK_EVERY_S:
            self._told_at = now
            try:
                await self.store.measure_offset()
            except BaseException:
                self._told_at = float("-inf")
                raise
