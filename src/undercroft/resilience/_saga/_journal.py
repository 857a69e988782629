"""The record of one saga, and how it is written: by its version only, so that of two writers one is stopped."""

from __future__ import annotations

from undercroft._core.clock import Clock
from undercroft.resilience._saga._errors import SagaLostError, SagaUnavailableError
from undercroft.resilience._saga._ports import SagaStore, StoredSaga
from undercroft.resilience._saga._records import SagaRecord, decode_record, encode_record

# A step that was done and not recorded is done again, so a write is worth a few tries. Seconds between them.
_PATIENCE = (0.1, 0.5, 2.0)


class Journal:
    """Writes one saga. Lives as long as one run of it."""

    def __init__(self, store: SagaStore, stored: StoredSaga, *, clock: Clock) -> None:
        self.record: SagaRecord = decode_record(stored.data)
        self._version = stored.version
        self._store = store
        self._clock = clock

    def time(self) -> float:
        """Return the instant by the store's clock."""
        return self._store.time()

    async def save(self, *, job_id: str | None = None) -> None:
        """Write the record as it is now; with `job_id`, enqueue the job of that id in the same step.

        Raises:
            SagaLostError: Somebody else has written the saga since this one read it. Nothing is written.
            SagaUnavailableError: The store did not take it, several times over; it may be written or not.
        """
        self.record.updated_at = self._store.time()
        self.record.write = self._store.new_id()
        data = encode_record(self.record)
        if not await self._written(data, job_id) and not await self._is_mine(data):
            raise SagaLostError(
                f"saga {self.record.saga!r} ({self.record.id}) has been taken over; this run stops, and what it found "
                "out is not recorded",
                saga_id=self.record.id,
            )
        self._version += 1

    async def _written(self, data: bytes, job_id: str | None) -> bool:
        for wait_s in _PATIENCE:
            try:
                return await self._store.save(self.record.id, data, version=self._version, job_id=job_id)
            except SagaUnavailableError:
                await self._clock.sleep(wait_s)
        return await self._store.save(self.record.id, data, version=self._version, job_id=job_id)

    async def _is_mine(self, data: bytes) -> bool:
        """Tell whether what is there is this write, the answer to which got lost the first time."""
        now = await self._store.load(self.record.id)
        return now is not None and now.version == self._version + 1 and now.data == data
