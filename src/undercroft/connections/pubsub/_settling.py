"""Acknowledging in batches: what is settled while a request is on the way goes with the next one."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence

import anyio

from undercroft._core.clock import Clock
from undercroft.connections.pubsub._errors import PubSubError, PubSubUnavailableError
from undercroft.connections.pubsub._protocol import Engine
from undercroft.logging import Logger

BATCH = 1000
"""Ids per request: Pub/Sub takes 512 kB, and its ids are some 200 bytes long."""
_RETRY_S = (0.1, 2.0)
_log = Logger(module="undercroft.connections.pubsub")


class Settling:
    """What is to be acknowledged or given back for one subscription, and the leases of what is held.

    An acknowledgement that got no answer is sent again until the lease of its message would have ended; it is a fact
    by then whether the message comes again.
    """

    def __init__(self, subscription: str, *, engine: Engine, clock: Clock, ack_deadline_s: float) -> None:
        self._subscription = subscription
        self._engine = engine
        self._clock = clock
        self._ack_deadline_s = ack_deadline_s
        self.held: dict[str, None] = {}
        """Ids of what is ours: their leases are extended."""
        self._acks: dict[str, float] = {}
        """Id → when to give up, monotonic."""
        self._nacks: dict[str, float] = {}
        self._changed = anyio.Event()
        self.unsettled = 0
        """Settlements that were given up: the messages come again."""

    def hold(self, ack_id: str) -> None:
        """Keep the lease of a message from now on."""
        self.held[ack_id] = None

    def acknowledge(self, ack_id: str) -> None:
        """Settle a message for good, soon."""
        self._acks[ack_id] = self._clock.monotonic() + self._ack_deadline_s
        self._changed.set()

    def give_back(self, ack_id: str) -> None:
        """Let a message come again, soon."""
        self.held.pop(ack_id, None)
        self._nacks[ack_id] = self._clock.monotonic() + self._ack_deadline_s
        self._changed.set()

    async def run(self) -> None:
        """Send settlements until cancelled."""
        delay_s = _RETRY_S[0]
        while True:
            await self._changed.wait()
            self._changed = anyio.Event()
            if await self._send():
                delay_s = _RETRY_S[0]
                continue
            await self._clock.sleep(delay_s * random.uniform(0.5, 1.0))
            delay_s = min(delay_s * 2, _RETRY_S[1])
            self._changed.set()

    async def flush(self) -> None:
        """Send what is left. For the end: the caller sets the deadline."""
        while self._acks or self._nacks:
            if not await self._send():
                await self._clock.sleep(_RETRY_S[0])

    async def keep_leases(self) -> None:
        """Extend the leases of everything that is held, until cancelled."""
        while True:
            await self._clock.sleep(self._ack_deadline_s / 3)
            held = list(self.held)
            for start in range(0, len(held), BATCH):
                try:
                    await self._engine.modify_deadline(
                        self._subscription, held[start : start + BATCH], self._ack_deadline_s
                    )
                except PubSubError as exc:
                    _log.warning("leases could not be extended, will try again", error_text=exc.message)
                except Exception:  # a loop that ends would let every message come again
                    _log.exception("leases could not be extended, will try again")

    async def _send(self) -> bool:
        """Send everything; `False` when the server did not answer, and it is to be sent again."""
        acks, nacks = list(self._acks)[:BATCH], list(self._nacks)[:BATCH]
        is_sent = await self._tell(acks, self._acks, self._acknowledge)
        is_sent = await self._tell(nacks, self._nacks, self._return) and is_sent
        if is_sent and (self._acks or self._nacks):
            self._changed.set()
        return is_sent

    async def _tell(
        self, ids: list[str], waiting: dict[str, float], tell: Callable[[Sequence[str]], Awaitable[None]]
    ) -> bool:
        if not ids:
            return True
        try:
            await tell(ids)
        except PubSubUnavailableError as exc:
            now = self._clock.monotonic()
            late = [ack_id for ack_id in ids if waiting[ack_id] <= now]
            self._forget(late, waiting)
            self.unsettled += len(late)
            _log.warning("pubsub does not answer, will settle again", error_text=exc.message, given_up=len(late))
            return False
        except Exception as exc:  # refused, or a surprise: the loop must go on, and the messages come again
            _log.error("messages could not be settled; they will come again", exc, subscription=self._subscription)
            self.unsettled += len(ids)
        self._forget(ids, waiting)
        return True

    def _forget(self, ids: Sequence[str], waiting: dict[str, float]) -> None:
        for ack_id in ids:
            waiting.pop(ack_id, None)
            self.held.pop(ack_id, None)

    async def _acknowledge(self, ids: Sequence[str]) -> None:
        await self._engine.acknowledge(self._subscription, ids)

    async def _return(self, ids: Sequence[str]) -> None:
        await self._engine.modify_deadline(self._subscription, ids, 0)
