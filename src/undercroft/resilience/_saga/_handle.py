"""The handle of one saga that was started."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from undercroft._core.clock import Clock
from undercroft._core.durations import Duration, format_seconds, to_seconds
from undercroft.resilience._saga._errors import SagaNotFoundError, SagaResultTimeoutError
from undercroft.resilience._saga._ports import SagaStore
from undercroft.resilience._saga._records import SagaRecord, info_of, result_of
from undercroft.resilience._saga._results import SagaInfo, SagaResult, SagaState

# Between two looks: a job that ended is no news, while the next one is on its way.
_LOOK_S = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class SagaHandle:
    """Where one saga is and what came of it. Immutable; usable while the store of its `Sagas` is open."""

    id: str
    saga: str
    """The definition's name."""
    is_new: bool
    """False: a saga of this id and data was there already, and this is its handle."""
    _load: Callable[[str], Awaitable[SagaRecord | None]] = field(repr=False)
    _store: SagaStore = field(repr=False)
    _clock: Clock = field(repr=False)

    async def info(self) -> SagaInfo | None:
        """Return the saga as it is stored now; `None` when it is not kept any more."""
        record = await self._load(self.id)
        return None if record is None else info_of(record)

    async def state(self) -> SagaState | None:
        """Return where the saga is in its life; `None` when it is not kept any more."""
        record = await self._load(self.id)
        return None if record is None else record.state

    async def result(self, timeout: Duration = "30s", *, check: bool = True) -> SagaResult:
        """Wait until the saga has ended, and return what came of it.

        Args:
            check: Raise when it did not complete; `False` returns every result.

        Raises:
            SagaFailedError: It did not complete.
            SagaResultTimeoutError: It has not ended after `timeout`; it goes on.
            SagaNotFoundError: It is not kept any more.
        """
        limit_s = to_seconds(timeout, name="timeout")
        with self._clock.cancel_after(limit_s):
            result = await self._ended()
            return result.require_completed() if check else result
        raise SagaResultTimeoutError(
            f"saga {self.saga!r} ({self.id}) has not ended after {format_seconds(limit_s)}{await self._why()}"
        )

    async def _why(self) -> str:
        record = await self._load(self.id)
        return f"; it does not move: {record.problem}" if record is not None and record.problem else ""

    async def _ended(self) -> SagaResult:
        while True:
            record = await self._load(self.id)
            if record is None:
                raise SagaNotFoundError(f"saga {self.id!r} is not stored (any more)", saga_id=self.id)
            if record.state.is_final:
                return result_of(record)
            await self._store.wait_for_end(record.job_id, timeout=1.0)
            await self._clock.sleep(_LOOK_S)
