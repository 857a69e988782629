"""Consuming one subscription: stream, run, settle, stop without losing any."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import anyio
import anyio.abc

from undercroft._core.clock import Clock
from undercroft.connections.pubsub._errors import PubSubUnavailableError
from undercroft.connections.pubsub._protocol import Delivery, Engine
from undercroft.connections.pubsub._running import Outcome, Processor
from undercroft.connections.pubsub._settling import Settling
from undercroft.logging import Logger

_RETRY_S = (0.1, 2.0)
_FLUSH_S = 5.0
_log = Logger(module="undercroft.connections.pubsub")


class Consumer:
    """Handles one subscription's messages until it is stopped. One life, inside its `Subscriber`.

    Messages of one ordering key are handled one after another; when one fails, those behind it are given back with it.
    """

    def __init__(self, processor: Processor, *, engine: Engine, clock: Clock) -> None:
        self.name = processor.subscription.name
        self.counts: Counter[str] = Counter()
        self._options = processor.subscription.options
        self._processor = processor
        self._engine = engine
        self._clock = clock
        self._settling = Settling(self.name, engine=engine, clock=clock, ack_deadline_s=self._options.ack_deadline_s)
        self._ready: deque[Delivery] = deque()
        self._lanes: dict[str, deque[Delivery]] = {}
        """Ordering key → what waits behind the message of it that is ready or running."""
        self._running: dict[str, anyio.CancelScope] = {}
        self._is_stopping = False
        self._pause = anyio.CancelScope()
        self._draining = anyio.CancelScope()
        self._ended = anyio.Event()

    @property
    def active(self) -> int:
        """How many handlers run now."""
        return len(self._running)

    @property
    def held(self) -> int:
        """How many messages are ours now: running, waiting, or with their acknowledgement on the way."""
        return len(self._settling.held)

    @property
    def unsettled(self) -> int:
        """Settlements that were given up."""
        return self._settling.unsettled

    async def run(self, grace_s: Callable[[], float]) -> None:
        """Work until `stop()`, then drain for as long as `grace_s()` says. Cancelling it is a stop with no grace."""
        async with anyio.create_task_group() as care:
            care.start_soon(self._settling.keep_leases, name=f"pubsub leases {self.name}")
            care.start_soon(self._settling.run, name=f"pubsub settle {self.name}")
            try:
                async with anyio.create_task_group() as runs:
                    await self._stream_until_stopped(runs)
                    self._give_back_waiting()
                    await self._finish_within(grace_s())
            finally:
                self._give_back_waiting()
                care.cancel_scope.cancel()
                with anyio.CancelScope(shield=True), self._clock.cancel_after(_FLUSH_S):
                    await self._settling.flush()

    def stop(self, *, at_once: bool) -> None:
        """Stop receiving; `at_once`, also stop waiting for handlers."""
        self._is_stopping = True
        self._pause.cancel()
        if at_once:
            self._draining.cancel()

    async def _stream_until_stopped(self, runs: anyio.abc.TaskGroup) -> None:
        delay_s = _RETRY_S[0]
        while not self._is_stopping:
            received = self.counts["received"]
            with anyio.CancelScope() as self._pause:
                try:
                    await self._stream(runs)
                except PubSubUnavailableError as exc:
                    _log.warning("pubsub stream ended, will open another", subscription=self.name, why=exc.message)
                except Exception as exc:  # not there yet, refused, or a surprise: the loop must survive
                    _log.error("pubsub stream failed, will try again", exc, subscription=self.name)
                    delay_s = _RETRY_S[1]
                if self.counts["received"] > received:
                    delay_s = _RETRY_S[0]
                if not self._is_stopping:
                    await self._clock.sleep(delay_s * random.uniform(0.5, 1.0))
                delay_s = min(delay_s * 2, _RETRY_S[1])

    async def _stream(self, runs: anyio.abc.TaskGroup) -> None:
        if self._is_stopping:
            return
        async with self._engine.open_stream(
            self.name,
            ack_deadline_s=self._options.ack_deadline_s,
            max_messages=self._options.max_outstanding,
            max_bytes=self._options.max_outstanding_bytes,
        ) as stream:
            while not self._is_stopping:
                for delivery in await stream.receive():
                    self._accept(delivery)
                self._start(runs)

    def _accept(self, delivery: Delivery) -> None:
        self.counts["received"] += 1
        self._settling.hold(delivery.ack_id)
        key = delivery.ordering_key
        if not key:
            self._ready.append(delivery)
        elif key in self._lanes:
            self._lanes[key].append(delivery)
        else:
            self._lanes[key] = deque()
            self._ready.append(delivery)

    def _start(self, runs: anyio.abc.TaskGroup) -> None:
        while self._ready and len(self._running) < self._options.concurrency and not self._is_stopping:
            delivery = self._ready.popleft()
            self._running[delivery.ack_id] = anyio.CancelScope()
            runs.start_soon(self._handle, delivery, runs, name=f"pubsub {self.name} {delivery.id}")

    async def _handle(self, delivery: Delivery, runs: anyio.abc.TaskGroup) -> None:
        outcome = Outcome.FAILED
        try:
            with self._running[delivery.ack_id]:
                outcome = await self._processor.process(delivery)
        finally:
            del self._running[delivery.ack_id]
            self.counts[outcome] += 1
            self._settle(delivery, outcome)
            self._ended.set()
            self._ended = anyio.Event()
        self._start(runs)

    def _settle(self, delivery: Delivery, outcome: Outcome) -> None:
        behind = self._lanes.get(delivery.ordering_key) if delivery.ordering_key else None
        if outcome.is_settled:
            self._settling.acknowledge(delivery.ack_id)
            if behind:
                self._ready.append(behind.popleft())
                return
        else:
            self._settling.give_back(delivery.ack_id)
            for later in behind or ():
                self._settling.give_back(later.ack_id)
        if behind is not None:
            del self._lanes[delivery.ordering_key]

    def _give_back_waiting(self) -> None:
        """Give back what no handler has begun, so that others get it at once."""
        waiting: list[Any] = [*self._ready, *(later for lane in self._lanes.values() for later in lane)]
        self._ready.clear()
        self._lanes.clear()
        for delivery in waiting:
            self._settling.give_back(delivery.ack_id)

    async def _finish_within(self, grace_s: float) -> None:
        if grace_s > 0 and not self._draining.cancel_called:
            with self._draining, self._clock.cancel_after(grace_s):
                while self._running:
                    await self._ended.wait()
        for scope in self._running.values():
            scope.cancel()
