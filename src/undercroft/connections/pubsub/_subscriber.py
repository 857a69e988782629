"""The subscriber: handles the messages of some subscriptions until it is stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import anyio
import anyio.abc

from undercroft._core.background import InBackground
from undercroft._core.clock import Clock
from undercroft._core.durations import Duration, to_seconds
from undercroft._core.errors import NotOpenError
from undercroft.connections.pubsub._consumer import Consumer
from undercroft.connections.pubsub._ports import ClaimStore
from undercroft.connections.pubsub._protocol import Engine
from undercroft.connections.pubsub._running import Outcome, Processor
from undercroft.connections.pubsub._subscription import Subscription
from undercroft.logging import Logger

_log = Logger(module="undercroft.connections.pubsub")


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberStats:
    """What a subscriber did so far, in deliveries; a message that came twice counts twice."""

    received: int = 0
    handled: int = 0
    failed: int = 0
    """The handler raised or was cancelled: given back."""
    unclaimed: int = 0
    """The claim store did not answer: not run, and given back."""
    duplicate: int = 0
    """Handled before, by the claim store: acknowledged, not run."""
    busy: int = 0
    """Being handled elsewhere, by the claim store: given back."""
    dead_lettered: int = 0
    """Could not be decoded, and put into the dead-letter topic."""
    undecodable: int = 0
    """Could not be decoded, and given back, as there was no dead-letter topic, or no answer from it."""
    unsettled: int = 0
    """Acknowledgements that the server did not take in time: those messages come again."""


class Subscriber:
    """Handles messages until it is stopped. One life: make a new one to work again.

    `await run()` works until `stop()`; `async with subscriber:` works in the background for the block. The server need
    not be up at the start: it is asked again, every two seconds at most.

    A message is acknowledged when its handler returned, given back when it raised; while it is ours, its lease is
    extended every third of the ack deadline. A process that dies leaves its messages to the end of their leases.

    Stopping: nothing more is received; what no handler has begun is given back; running handlers may finish within the
    grace; what is left then is cancelled and given back. Cancelling `run()` is a stop with no grace.
    """

    def __init__(
        self,
        subscriptions: Sequence[Subscription[Any, Any]],
        *,
        engine: Engine,
        claims: ClaimStore | None,
        id: str,  # noqa: A002 - as a worker's
        grace: Duration,
        clock: Clock,
        bind: Callable[[], AbstractContextManager[object]],
    ) -> None:
        self.id = id
        self._grace_s = to_seconds(grace, name="grace")
        self._consumers = [
            Consumer(
                Processor(each, engine=engine, claims=claims, owner=id, clock=clock, bind=bind),
                engine=engine,
                clock=clock,
            )
            for each in subscriptions
        ]
        self._has_started = False
        self._stopped = anyio.Event()
        self._background = InBackground(self.run, self.stop, name=f"undercroft subscriber {self.id}")

    @property
    def is_running(self) -> bool:
        """Whether it has started and not yet stopped."""
        return self._has_started and not self._stopped.is_set()

    @property
    def active(self) -> int:
        """How many handlers run now."""
        return sum(consumer.active for consumer in self._consumers)

    @property
    def held(self) -> int:
        """How many messages are ours now: handled, waiting, or with their acknowledgement on the way."""
        return sum(consumer.held for consumer in self._consumers)

    @property
    def stats(self) -> SubscriberStats:
        """What it did so far, of all its subscriptions."""
        counted = {name: sum(each.counts[name] for each in self._consumers) for name in ("received", *Outcome)}
        return SubscriberStats(
            **{str(name): count for name, count in counted.items()},
            unsettled=sum(consumer.unsettled for consumer in self._consumers),
        )

    async def __aenter__(self) -> Self:
        await self._background.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return await self._background.__aexit__(exc_type, exc, traceback)

    async def run(self) -> None:
        """Work until `stop()` is called, then drain and return."""
        if self._has_started:
            raise NotOpenError("this subscriber was started before", hint="make a new one: a subscriber has one life")
        self._has_started = True
        names = ",".join(consumer.name for consumer in self._consumers)
        _log.info("subscriber started", subscriber=self.id, subscriptions=names)
        try:
            async with anyio.create_task_group() as tasks:
                for consumer in self._consumers:
                    tasks.start_soon(consumer.run, lambda: self._grace_s, name=f"pubsub {consumer.name}")
        finally:
            self._stopped.set()
            _log.info("subscriber stopped", subscriber=self.id, handled=self.stats.handled)

    async def stop(self, grace: Duration | None = None) -> None:
        """Stop and return when it has stopped. A second call with `grace=0` cuts the draining short."""
        # Set before the first await: one that has not started yet must not start working later.
        if grace is not None:
            self._grace_s = to_seconds(grace, name="grace")
        for consumer in self._consumers:
            consumer.stop(at_once=self._grace_s == 0)
        if self._has_started:
            await self._stopped.wait()
