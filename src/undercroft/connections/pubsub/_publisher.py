"""Publishing in batches: what is published at the same time goes out together, and each caller gets its own answer."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass, field
from typing import Self

import anyio
import anyio.abc

from undercroft._core.clock import Clock
from undercroft._core.durations import Duration, to_seconds
from undercroft._core.errors import NotOpenError
from undercroft.connections.pubsub._checks import check_whole
from undercroft.connections.pubsub._errors import PubSubError, PubSubUnavailableError
from undercroft.connections.pubsub._protocol import Engine, NewMessage
from undercroft.logging import Logger

_RETRY_S = (0.05, 2.0)
_IN_FLIGHT = 4
"""Batches of one topic on the way at once; one per ordering key."""
_log = Logger(module="undercroft.connections.pubsub")


@dataclass(frozen=True, slots=True, init=False)
class Batching:
    """How publishes are put together into requests.

    Args:
        max_messages: Per request, 1 to 1000, which is Pub/Sub's limit.
        max_bytes: Per request, up to 10 MB, which is Pub/Sub's limit; a larger message goes alone.
        latency: How long the first message of a batch may wait for others. 0, the default, does not wait: what is
            published in one turn of the event loop, or while a request is on the way, goes together.
        max_pending: Messages that wait here; beyond it `publish` waits for room.
    """

    max_messages: int
    max_bytes: int
    latency_s: float
    max_pending: int

    def __init__(
        self,
        *,
        max_messages: int = 1000,
        max_bytes: int = 5_000_000,
        latency: Duration = 0.0,
        max_pending: int = 10_000,
    ) -> None:
        check_whole("max_messages", max_messages, 1, 1000)
        check_whole("max_bytes", max_bytes, 1, 10_000_000)
        check_whole("max_pending", max_pending, 1, 10_000_000)
        object.__setattr__(self, "max_messages", max_messages)
        object.__setattr__(self, "max_bytes", max_bytes)
        object.__setattr__(self, "latency_s", to_seconds(latency, name="latency"))
        object.__setattr__(self, "max_pending", max_pending)


@dataclass(slots=True)
class _Pending:
    message: NewMessage
    size_bytes: int
    answer: asyncio.Future[str]


@dataclass(slots=True)
class _Lane:
    """What waits for one topic, or for one ordering key of it."""

    topic: str
    key: str
    pending: deque[_Pending] = field(default_factory=deque)
    size_bytes: int = 0
    senders: int = 0
    filled: anyio.Event = field(default_factory=anyio.Event)
    """Set when there is a full batch."""


class Publisher:
    """Sends messages through an engine for as long as its `PubSub` is open.

    A request that got no answer is sent again until `timeout_s` is over; its messages carry our own id, by which
    consumers tell a repeated one. Per ordering key one request is on the way at a time. When it fails for good, what
    waits behind it fails too: otherwise it would overtake.
    """

    def __init__(self, engine: Engine, *, clock: Clock, batching: Batching, timeout_s: float, flush_s: float) -> None:
        self._engine = engine
        self._clock = clock
        self._batching = batching
        self._timeout_s = timeout_s
        self._flush_s = flush_s
        self._lanes: dict[tuple[str, str], _Lane] = {}
        self._pending = 0
        self._freed = anyio.Event()
        self._tasks: anyio.abc.TaskGroup | None = None
        self._is_open = False

    async def __aenter__(self) -> Self:
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._is_open = True
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Send what waits, within the flush deadline; what is left then fails at its caller."""
        assert self._tasks is not None
        self._is_open = False
        for lane in self._lanes.values():
            lane.filled.set()  # nothing more will come: what waits for others goes now
        try:
            with self._clock.cancel_after(self._flush_s):
                await self.flush()
        finally:
            if self._pending:
                _log.error("closing with messages that were not sent", {"code": "UC4405", "messages": self._pending})
            self._tasks.cancel_scope.cancel()
            await self._tasks.__aexit__(None, None, None)
            for lane in self._lanes.values():
                _fail(lane.pending, _closed())

    async def send(self, topic: str, message: NewMessage) -> str:
        """Return the server's id once the message is stored.

        Cancellation: a message that is not on the way yet is not sent; one that is may be stored.

        Raises:
            NotOpenError: The `PubSub` is not open.
            PubSubError: It was not stored, or nobody knows: see `PubSubUnavailableError.may_have_been_sent`.
        """
        while self._pending >= self._batching.max_pending and self._is_open:
            await self._freed.wait()
        if not self._is_open or self._tasks is None:
            raise NotOpenError("this PubSub is not open", hint="async with PubSub(…) as pubsub: …")
        waiting = _Pending(message, message.size_bytes, asyncio.get_running_loop().create_future())
        lane = self._lanes.get((topic, message.ordering_key))
        if lane is None:
            lane = self._lanes[topic, message.ordering_key] = _Lane(topic, message.ordering_key)
        lane.pending.append(waiting)
        lane.size_bytes += waiting.size_bytes
        self._pending += 1
        self._wake(lane, self._tasks)
        return await waiting.answer

    async def flush(self) -> None:
        """Return when everything that waits now, and what is added meanwhile, has its answer."""
        while self._pending:
            await self._freed.wait()

    def _wake(self, lane: _Lane, tasks: anyio.abc.TaskGroup) -> None:
        is_full = self._is_full(lane)
        if is_full:
            lane.filled.set()
        if lane.senders == 0 or (is_full and not lane.key and lane.senders < _IN_FLIGHT):
            lane.senders += 1
            tasks.start_soon(self._send_all, lane, name=f"pubsub publish {lane.topic}")

    def _is_full(self, lane: _Lane) -> bool:
        return len(lane.pending) >= self._batching.max_messages or lane.size_bytes >= self._batching.max_bytes

    async def _send_all(self, lane: _Lane) -> None:
        try:
            while lane.pending:
                if self._batching.latency_s and not self._is_full(lane) and self._is_open:
                    with self._clock.cancel_after(self._batching.latency_s):
                        await lane.filled.wait()
                if batch := self._next_batch(lane):
                    await self._send_batch(lane, batch)
        finally:
            lane.senders -= 1
            if not lane.senders and not lane.pending:
                self._lanes.pop((lane.topic, lane.key), None)

    def _next_batch(self, lane: _Lane) -> list[_Pending]:
        batch: list[_Pending] = []
        size = 0
        while lane.pending and len(batch) < self._batching.max_messages:
            next_bytes = lane.pending[0].size_bytes
            if batch and size + next_bytes > self._batching.max_bytes:
                break
            waiting = lane.pending.popleft()
            lane.size_bytes -= next_bytes
            if waiting.answer.cancelled():  # its caller gave up before it was sent
                self._settled(1)
                continue
            size += next_bytes
            batch.append(waiting)
        if not self._is_full(lane):
            lane.filled = anyio.Event()
        return batch

    async def _send_batch(self, lane: _Lane, batch: list[_Pending]) -> None:
        try:
            ids = await self._publish(lane.topic, [waiting.message for waiting in batch])
        except PubSubError as exc:
            _fail(batch, exc)
            if lane.key:
                behind = list(lane.pending)
                lane.pending.clear()
                lane.size_bytes = 0
                _fail(behind, exc)
                self._settled(len(behind))
        except BaseException:
            _fail(batch, _closed())
            raise
        else:
            for waiting, message_id in zip(batch, ids, strict=True):
                if not waiting.answer.done():
                    waiting.answer.set_result(message_id)
        finally:
            self._settled(len(batch))

    async def _publish(self, topic: str, messages: list[NewMessage]) -> list[str]:
        deadline, delay_s = self._clock.monotonic() + self._timeout_s, _RETRY_S[0]
        while True:
            try:
                return await self._engine.publish(topic, messages)
            except PubSubUnavailableError as exc:
                wait_s = max(delay_s * random.uniform(0.5, 1.0), exc.retry_after or 0.0)
                if self._clock.monotonic() + wait_s >= deadline:
                    raise
                _log.warning("pubsub does not answer, will publish again", topic=topic, error_text=exc.message)
                await self._clock.sleep(wait_s)
                delay_s = min(delay_s * 2, _RETRY_S[1])

    def _settled(self, count: int) -> None:
        self._pending -= count
        self._freed.set()
        self._freed = anyio.Event()


def _fail(waiting: deque[_Pending] | list[_Pending], exc: PubSubError) -> None:
    for each in waiting:
        if not each.answer.done():
            each.answer.set_exception(_again(exc))


def _again(exc: PubSubError) -> PubSubError:
    """Return a copy: an error that several tasks raise would collect all their tracebacks."""
    copy = type(exc).__new__(type(exc), *exc.args)
    copy.__dict__.update(exc.__dict__)
    copy.__cause__ = exc.__cause__
    return copy


def _closed() -> PubSubUnavailableError:
    return PubSubUnavailableError("this PubSub was closed before the message was stored", hint="publish before closing")
