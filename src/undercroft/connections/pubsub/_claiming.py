"""A claim that is held while its message is handled."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

import anyio

from undercroft._core.clock import Clock
from undercroft.connections.pubsub._ports import ClaimStore
from undercroft.logging import Logger

T = TypeVar("T")
_STORE_S = 10.0
"""Deadline for each answer of the claim store."""
_TRIES = 3
_log = Logger(module="undercroft.connections.pubsub")


class HeldClaim:
    """A claim that is kept while a handler runs, and ended once."""

    def __init__(self, claims: ClaimStore, key: str, owner: str, token: int, lease_s: float, clock: Clock) -> None:
        self._claims = claims
        self._key = key
        self._owner = owner
        self._token = token
        self._lease_s = lease_s
        self._clock = clock

    async def keep(self) -> None:
        """Renew the claim until cancelled. A store that does not answer is asked again: the handler goes on."""
        while True:
            await self._clock.sleep(self._lease_s / 3)
            try:
                # Shielded: a renewal may change the token, and a cancelled one would leave us with the old.
                with anyio.CancelScope(shield=True):
                    renewal = self._claims.claim(self._key, owner=self._owner, lease_s=self._lease_s)
                    result = await answer_of(renewal, self._clock)
            except Exception as exc:
                _log.warning("claim could not be renewed, will try again", exc, key=self._key)
                continue
            if result.state == "claimed":
                self._token = result.token

    async def end(self, *, is_done: bool) -> None:
        """Mark as done, or give up. Never raises: the message's fate does not hang on it any more."""
        for attempt in range(1, _TRIES + 1):
            try:
                change = self._claims.done if is_done else self._claims.release
                is_current = await answer_of(change(self._key, self._token), self._clock)
            except Exception as exc:
                if attempt == _TRIES:
                    _log.error("claim could not be ended, and will end by itself", exc, key=self._key, done=is_done)
                    return
                await self._clock.sleep(0.1 * attempt)
            else:
                if is_done and not is_current:
                    _log.warning("message was handled, but its claim was taken over: perhaps twice", key=self._key)
                return


async def answer_of(asked: Awaitable[T], clock: Clock) -> T:
    """Await a claim store's answer, with a deadline.

    Raises:
        TimeoutError: It did not come in time.
    """
    answers: list[T] = []
    with clock.cancel_after(_STORE_S):
        answers.append(await asked)
    if answers:
        return answers[0]
    raise TimeoutError(f"the claim store did not answer within {_STORE_S:g}s")
