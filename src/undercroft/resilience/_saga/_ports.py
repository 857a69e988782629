"""What sagas need of a store. `undercroft.app` makes one of the queue's engine; `MemorySagaStore` is one process's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec


class StoredSaga(msgspec.Struct, frozen=True):
    """A saga's document, and its version: 1 when it was written first, one more each time."""

    version: int
    data: bytes


class SagaPage(msgspec.Struct, frozen=True):
    """Some sagas by their ids, and where to go on."""

    sagas: Mapping[str, StoredSaga]
    cursor: str | None
    """`None`: these were the last."""


class SagaStore(Protocol):
    """Keeps sagas. Opened and closed by whoever made it; used from one event loop.

    Every method raises `SagaUnavailableError` when the store does not answer; the outcome of a write is unknown then.
    """

    def time(self) -> float:
        """Return the instant by the store's clock, as well as it is known here, without I/O."""

    def new_id(self) -> str:
        """Return an id that nobody has; another one each time."""

    async def load(self, saga_id: str) -> StoredSaga | None:
        """Return a saga as it is now."""

    async def save(self, saga_id: str, data: bytes | None, *, version: int, job_id: str | None = None) -> bool:
        """In one step: if the saga still has this version (0: there is none), write it as the next version (`None`
        deletes it) and, with `job_id`, enqueue the job of this id that drives it.

        False, and nothing happens, when it has another version.
        """

    async def list(self, *, limit: int, cursor: str | None = None) -> SagaPage:
        """Return about `limit` sagas, in an order of the store's own, and where to go on.

        A page may be empty and have a cursor. A saga that is there from the first page to the last is in one of them,
        perhaps in two.
        """

    async def wait_for_end(self, job_id: str, *, timeout: float) -> None:
        """Return when the job may have come to its end, or after `timeout` seconds. May return early."""
