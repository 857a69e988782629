"""Parts that a test hands in: they note what happens to them, and fail or wait where they are told to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Self

from undercroft.email import OutgoingEmail, SendReceipt
from undercroft.queue.sqlite import SqliteQueue

Step = Callable[[], Awaitable[None]]


async def nothing() -> None:
    """Be a step that does nothing."""


class NotingTransport:
    """A transport of an application's own."""

    name = "noting"
    default_from: str | None = "shop@example.com"
    is_idempotent = False

    def __init__(
        self, events: list[str] | None = None, *, opening: Step = nothing, closing: Step = nothing, ping: Step = nothing
    ) -> None:
        self.events = events if events is not None else []
        self.sent: list[OutgoingEmail] = []
        self._opening, self._closing, self._ping = opening, closing, ping

    async def send(self, message: OutgoingEmail) -> SendReceipt:
        self.sent.append(message)
        return SendReceipt(id=message.id, transport=self.name, accepted=message.recipients)

    async def ping(self) -> None:
        await self._ping()

    async def __aenter__(self) -> Self:
        self.events.append("email opening")
        await self._opening()
        self.events.append("email open")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.events.append("email closing")
        try:
            await self._closing()
        finally:
            self.events.append("email closed")


class NotingQueue(SqliteQueue):
    """The SQLite engine, noting when it is opened and closed."""

    def __init__(self, path: Path, events: list[str]) -> None:
        super().__init__(path)
        self.events = events

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.events.append("queue open")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await super().__aexit__(*exc_info)
        self.events.append("queue closed")
