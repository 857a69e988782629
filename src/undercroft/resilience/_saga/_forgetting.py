"""How sagas that have ended are forgotten: a few at a time, as others end, so that nobody looks at all of them."""

from __future__ import annotations

from undercroft.logging import Logger
from undercroft.resilience._saga._errors import SagaUnavailableError
from undercroft.resilience._saga._ports import SagaStore, StoredSaga
from undercroft.resilience._saga._records import decode_record
from undercroft.resilience._saga._results import SagaState

_PAGE = 200
# Looked at for each saga that ends, so that what is forgotten keeps pace with what is stored.
_FEW = 10
_log = Logger(module="undercroft.resilience")


class Forgetting:
    """Deletes sagas that ended well longer than `keep_s` ago; `None`: none. Lives as long as its `Sagas`."""

    def __init__(self, store: SagaStore, keep_s: float | None) -> None:
        self._store = store
        self._keep_s = keep_s
        self._came_to: str | None = None

    async def some(self) -> None:
        """Look at a few more. A store that does not answer is a line in the log."""
        try:
            _, self._came_to = await self._page(_FEW, self._came_to)
        except SagaUnavailableError as exc:  # the saga has ended all the same
            _log.warning("old sagas could not be deleted", error_text=exc.message)

    async def all(self) -> int:
        """Look at all; return how many were deleted."""
        deleted, cursor = await self._page(_PAGE, None)
        while cursor is not None:
            more, cursor = await self._page(_PAGE, cursor)
            deleted += more
        return deleted

    async def _page(self, limit: int, cursor: str | None) -> tuple[int, str | None]:
        if self._keep_s is None:
            return 0, None
        page = await self._store.list(limit=limit, cursor=cursor)
        deleted = 0
        for saga_id, stored in page.sagas.items():
            if self._is_old(stored, self._keep_s) and await self._store.save(saga_id, None, version=stored.version):
                deleted += 1
        return deleted, page.cursor

    def _is_old(self, stored: StoredSaga, keep_s: float) -> bool:
        try:
            record = decode_record(stored.data)
        except SagaUnavailableError:  # of a later release, which may judge it
            return False
        is_done = record.state in (SagaState.COMPLETED, SagaState.COMPENSATED)
        return is_done and record.updated_at + keep_s <= self._store.time()
