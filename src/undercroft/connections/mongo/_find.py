"""The documents that a find gives, one after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar, final

from undercroft.connections.mongo._errors import FindBoundError, MongoUsageError

if TYPE_CHECKING:
    from pymongo.asynchronous.cursor import AsyncCursor

T = TypeVar("T")
Run = Callable[[Awaitable[Any]], Awaitable[Any]]
FIND_BOUND = 1000
"""How many documents a find without a limit gives before it complains."""


@final
class NoLimit:
    """The type of `NO_LIMIT`."""

    def __repr__(self) -> str:
        return "NO_LIMIT"


NO_LIMIT: Final = NoLimit()
"""All documents, however many: `find(…, limit=NO_LIMIT)`."""


def driver_limit(limit: object) -> int:
    """Return the limit that the driver gets; 0 is none.

    Raises:
        MongoUsageError: It is less than 1.
    """
    if isinstance(limit, NoLimit):
        return 0
    if limit is None:
        return FIND_BOUND + 1
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise MongoUsageError(f"limit is {limit!r}", hint="give a number from 1, or NO_LIMIT")
    return limit


class Found(AsyncIterator[T], Generic[T]):
    """Iterate over it once, with `async for`, or take `await found.to_list()`.

    Reads from the server as it goes, in batches. One that is left halfway is closed by the driver once it is garbage,
    or by `aclose`.
    """

    def __init__(
        self,
        cursor: AsyncCursor[dict[str, Any]],
        decode: Callable[[dict[str, Any]], T],
        run: Run,
        *,
        collection: str,
        is_bounded: bool,
    ) -> None:
        self._cursor = cursor
        self._decode = decode
        self._run = run
        self._collection = collection
        self._is_bounded = is_bounded
        self._given = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        """Return the next document.

        Raises:
            FindBoundError: The find names no limit, and this would be one too many.
            DamagedDocumentError: It does not fit the type; the next call goes on behind it.
            MongoUnavailableError: The server did not answer.
        """
        stored = await self._run(self._next())
        if stored is None:
            raise StopAsyncIteration
        if self._is_bounded and self._given == FIND_BOUND:
            await self.aclose()
            raise FindBoundError(self._collection, FIND_BOUND)
        self._given += 1
        return self._decode(stored)

    async def _next(self) -> dict[str, Any] | None:
        return await anext(self._cursor, None)

    async def to_list(self) -> list[T]:
        """Return all that is left. Raises as iterating does."""
        return [document async for document in self]

    async def aclose(self) -> None:
        """Tell the server that no more is wanted. Needed by none who reads to the end."""
        await self._run(self._cursor.close())
