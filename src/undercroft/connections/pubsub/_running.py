"""One message: decoded, claimed, handled, and what is to be done with it then. Pull and push share this."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import anyio

from undercroft._core.clock import Clock, utc
from undercroft._core.context import correlate
from undercroft._core.durations import format_seconds
from undercroft.connections.pubsub._claiming import HeldClaim, answer_of
from undercroft.connections.pubsub._counts import HandlingCounts
from undercroft.connections.pubsub._errors import (
    HandlerTimeoutError,
    NotInMessageError,
    PubSubError,
    UndecodableMessageError,
)
from undercroft.connections.pubsub._payload import Codec, claim_key, names_of
from undercroft.connections.pubsub._ports import ClaimAnswer, ClaimStore
from undercroft.connections.pubsub._protocol import Delivery, Engine, NewMessage
from undercroft.connections.pubsub._subscription import Subscription
from undercroft.connections.pubsub._tracing import process_span, tell
from undercroft.logging import Logger

DEAD_REASON = "undercroft-dead-reason"
DEAD_SUBSCRIPTION = "undercroft-dead-subscription"
DEAD_MESSAGE_ID = "undercroft-dead-message-id"

_BUSY_S = (0.05, 2.0)
"""Between two looks at a claim that somebody else has."""
_log = Logger(module="undercroft.connections.pubsub")


class Outcome(StrEnum):
    """What came of a delivery."""

    HANDLED = "handled"
    DUPLICATE = "duplicate"
    """It was handled before: acknowledged, not run."""
    DEAD_LETTERED = "dead_lettered"
    """It could not be decoded, and is in the dead-letter topic now: acknowledged."""
    FAILED = "failed"
    """The handler raised: given back."""
    UNCLAIMED = "unclaimed"
    """The claim store did not answer: not run, and given back."""
    BUSY = "busy"
    """Another process is handling it: given back."""
    UNDECODABLE = "undecodable"
    """It could not be decoded, and there is no dead-letter topic: given back."""

    @property
    def is_settled(self) -> bool:
        """Whether it may be acknowledged: it is safe somewhere."""
        return self in (Outcome.HANDLED, Outcome.DUPLICATE, Outcome.DEAD_LETTERED)

    @property
    def is_failure(self) -> bool:
        """Whether somebody should look: a message was not handled, and not because somebody else had it."""
        return (not self.is_settled and self is not Outcome.BUSY) or self is Outcome.DEAD_LETTERED


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageContext:
    """The message that is being handled, as its handler sees it."""

    id: str
    """The server's id; the same at each delivery."""
    topic: str
    subscription: str
    attempt: int | None
    """Number of this delivery, from 1; `None` where the server does not count: without a dead-letter topic."""
    attributes: dict[str, str]
    published_at: datetime
    ordering_key: str | None


_context: ContextVar[MessageContext] = ContextVar("undercroft_pubsub_message")


def current_message() -> MessageContext:
    """Return the message that this code is handling.

    Raises:
        NotInMessageError: There is none; a handler that is called directly has none either.
    """
    try:
        return _context.get()
    except LookupError:
        raise NotInMessageError(
            "no message is being handled here",
            hint="call it from a subscription's handler, run by a subscriber or a push endpoint",
        ) from None


class Processor:
    """Handles one subscription's messages. Lives as long as its subscriber or push endpoint."""

    def __init__(
        self,
        subscription: Subscription[Any, Any],
        *,
        engine: Engine,
        claims: ClaimStore | None,
        owner: str,
        clock: Clock,
        bind: Callable[[], AbstractContextManager[object]],
    ) -> None:
        self.subscription = subscription
        self._codec = Codec(subscription.topic)
        self._engine = engine
        self._claims = claims
        self._owner = owner
        self._runs = itertools.count(1)
        self._clock = clock
        self._bind = bind
        self._counts = HandlingCounts()

    async def process(self, delivery: Delivery, *, may_wait: bool = True) -> Outcome:
        """Handle a delivery and say what to do with it. Logs what went wrong; raises nothing but cancellation.

        Cancellation: the claim is given up before it propagates.

        Args:
            may_wait: Whether to wait for somebody else's claim to end, for one lease at most.
        """
        names, parent = names_of(delivery.attributes)
        span = process_span(self.subscription.name, self.subscription.topic.name, delivery, names, parent)
        started = self._clock.monotonic()
        with self._bind(), correlate(names), span as recorded:
            outcome = await self._process(delivery, may_wait=may_wait)
            seconds = self._clock.monotonic() - started
            self._counts.ended(self.subscription.name, outcome.value, seconds=seconds)
            tell(recorded, outcome.value, is_error=outcome.is_failure)
            return outcome

    async def _process(self, delivery: Delivery, *, may_wait: bool) -> Outcome:
        try:
            payload = self._codec.decode(delivery)
        except UndecodableMessageError as exc:
            return await self._bury(delivery, exc)
        if self._claims is None:
            return await self._run(delivery, payload)
        try:
            return await self._run_claimed(self._claims, delivery, payload, may_wait=may_wait)
        except Exception as exc:  # the store's, of whatever kind: without a claim nothing is run
            _log.error("claim store does not answer, message given back", exc, **self._fields(delivery))
            return Outcome.UNCLAIMED

    async def _run_claimed(self, claims: ClaimStore, delivery: Delivery, payload: Any, *, may_wait: bool) -> Outcome:
        key = claim_key(self.subscription.name, delivery)
        owner = f"{self._owner}/{next(self._runs)}"  # of this run: the owner of a claim may claim again
        result = await self._claim(claims, key, owner, may_wait=may_wait)
        if result.state == "done":
            _log.info("duplicate message acknowledged, not handled", **self._fields(delivery))
            return Outcome.DUPLICATE
        if result.state == "busy":
            _log.info("message is being handled elsewhere, given back", **self._fields(delivery))
            return Outcome.BUSY
        claim = HeldClaim(claims, key, owner, result.token, self._lease_s, self._clock)
        outcome = Outcome.FAILED
        try:
            async with anyio.create_task_group() as care:
                care.start_soon(claim.keep, name="pubsub claim")
                outcome = await self._run(delivery, payload)
                care.cancel_scope.cancel()
        finally:
            # Shielded: a claim that is left would keep the redelivered message from being handled until it ends.
            with anyio.CancelScope(shield=True):
                await claim.end(is_done=outcome is Outcome.HANDLED)
        return outcome

    async def _claim(self, claims: ClaimStore, key: str, owner: str, *, may_wait: bool) -> ClaimAnswer:
        """Claim; while somebody else is at it, ask again, for one lease at most.

        Copies of one publish tend to come together, and the first is done in a moment: giving the others back at once
        would cost each a delivery and a backoff.
        """
        pause_s, give_up_at = _BUSY_S[0], self._clock.monotonic() + self._lease_s
        while True:
            result = await answer_of(claims.claim(key, owner=owner, lease_s=self._lease_s), self._clock)
            left_s = give_up_at - self._clock.monotonic()
            if result.state != "busy" or not may_wait or left_s <= 0:
                return result
            await self._clock.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * 2, _BUSY_S[1])

    async def _run(self, delivery: Delivery, payload: Any) -> Outcome:
        token = _context.set(self._context_of(delivery))
        started = self._clock.monotonic()
        try:
            await self._call(payload)
        except (Exception, SystemExit, asyncio.CancelledError) as exc:
            if isinstance(exc, asyncio.CancelledError) and _is_cancelled_from_outside():
                raise
            _log.error("message handler failed", exc, **self._fields(delivery))
            return Outcome.FAILED
        finally:
            _context.reset(token)
        duration_ms = round((self._clock.monotonic() - started) * 1000, 1)
        _log.info("message handled", {**self._fields(delivery), "duration_ms": duration_ms})
        return Outcome.HANDLED

    async def _call(self, payload: Any) -> None:
        limit_s = self.subscription.options.timeout_s
        with self._clock.cancel_after(limit_s) as scope:
            await self.subscription(payload)
        if scope.cancelled_caught:
            raise HandlerTimeoutError(f"the handler took longer than its timeout of {format_seconds(limit_s)}")

    async def _bury(self, delivery: Delivery, exc: UndecodableMessageError) -> Outcome:
        """Put what cannot be decoded where someone can look at it; it would not decode the next time either."""
        fields = {**self._fields(delivery), "code": exc.code, "problem": exc.message}
        topic = self.subscription.options.dead_letter
        if topic is None:
            _log.error("message cannot be decoded and there is no dead-letter topic; it will come again", fields)
            return Outcome.UNDECODABLE
        added = {
            DEAD_REASON: exc.message[:500],
            DEAD_SUBSCRIPTION: self.subscription.name,
            DEAD_MESSAGE_ID: delivery.id,
        }
        try:
            await self._engine.publish(
                topic, [NewMessage(data=delivery.data, attributes={**delivery.attributes, **added})]
            )
        except PubSubError as problem:
            _log.error("message cannot be decoded, and not be dead-lettered now; it will come again", problem, **fields)
            return Outcome.UNDECODABLE
        _log.error("message cannot be decoded, moved to the dead-letter topic", {**fields, "dead_letter": topic})
        return Outcome.DEAD_LETTERED

    @property
    def _lease_s(self) -> float:
        # Not longer than the message's own lease: when this process dies, both end together.
        return self.subscription.options.ack_deadline_s

    def _fields(self, delivery: Delivery) -> dict[str, object]:
        return {"subscription": self.subscription.name, "message_id": delivery.id, "attempt": delivery.attempt}

    def _context_of(self, delivery: Delivery) -> MessageContext:
        return MessageContext(
            id=delivery.id,
            topic=self.subscription.topic.name,
            subscription=self.subscription.name,
            attempt=delivery.attempt,
            attributes=dict(delivery.attributes),
            published_at=utc(delivery.published_at),
            ordering_key=delivery.ordering_key or None,
        )


def _is_cancelled_from_outside() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
