"""A streaming pull of Google Pub/Sub. Imported by `google.py` only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from typing import Any

import anyio
import anyio.lowlevel

from undercroft.connections.pubsub import _google_values as values
from undercroft.connections.pubsub._errors import PubSubUnavailableError
from undercroft.connections.pubsub._google_channel import require
from undercroft.connections.pubsub._google_errors import translated
from undercroft.connections.pubsub._protocol import Delivery

_HEARTBEAT_S = 30.0
"""The server ends streams that say nothing for longer; Google's own client says something as often."""


class GoogleStream:
    """A `DeliveryStream` over one call, which its opener cancels."""

    def __init__(self, call: Any, subscription: str, first: Any) -> None:
        self._call = call
        self._subscription = subscription
        self._first = first
        self._has_begun = False
        self._end: Any = require("grpc.aio").EOF

    async def receive(self) -> Sequence[Delivery]:
        """Wait for messages; see `DeliveryStream.receive`."""
        with translated(f"receive from {self._subscription!r}", subscription=self._subscription):
            if not self._has_begun:
                self._has_begun = True
                with suppress(asyncio.InvalidStateError):  # over already: reading says why
                    await _cancellable(self._call.write(self._first))
            while True:
                answer = await _cancellable(self._call.read())
                if answer is self._end:
                    await self._raise_status()
                if received := values.deliveries_of(answer):
                    return received

    async def keep_alive(self) -> None:
        """Say something now and then, until cancelled, or until the stream is over, which its reader finds out."""
        request: Any = require("google.pubsub_v1").StreamingPullRequest
        while not self._call.done():
            await anyio.sleep(_HEARTBEAT_S)
            try:
                with translated("keep a stream alive"):
                    await _cancellable(self._call.write(request()))
            except (PubSubUnavailableError, asyncio.InvalidStateError):
                return

    async def _raise_status(self) -> None:
        """The server ended the stream: with an error, which is raised, or in good order, which is unavailable too."""
        code = await self._call.code()
        if code.name != "OK":
            raise require("grpc.aio").AioRpcError(code, None, None, details=await self._call.details())
        raise PubSubUnavailableError(f"the server ended the stream of {self._subscription!r}")


async def _cancellable(step: Awaitable[Any]) -> Any:
    """Await one step of a stream. grpc raises a cancellation of its own, which anyio's scopes do not know as theirs.

    Cancellation: ends the stream.
    """
    try:
        return await step
    except asyncio.CancelledError:
        await anyio.lowlevel.checkpoint_if_cancelled()
        raise
