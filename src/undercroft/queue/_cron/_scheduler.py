"""The scheduler: waits for the next slot, and fires it if nobody else has."""

from __future__ import annotations

import math
from collections.abc import Iterable

from undercroft._core.clock import Clock, SystemClock, utc
from undercroft._core.durations import Duration, to_seconds
from undercroft.logging import Logger
from undercroft.queue._counts import CronCounts
from undercroft.queue._cron._ledger import CronLedger, Known
from undercroft.queue._cron._options import Overlap
from undercroft.queue._cron._state import FORMAT, CronState, Plan, job_id_of, next_slot, plan
from undercroft.queue._errors import QueueUnavailableError

_RETRY_S = (0.1, 5.0)
_log = Logger(module="undercroft.queue")


class Scheduler:
    """Fires crons at their slots. Every worker runs one; any number of them fire each slot once.

    A slot is fired in one step of the store: if nobody has written the cron's entry since it was read, the entry is
    written and the slot's job is added. Whoever comes second finds the entry changed, and looks again. So a scheduler
    may be killed at any point, and none of them leads. Time is the store's, by `Engine.time()`; the clock only waits.

    Args:
        queues: Where to look for crons that are not in the code, besides the queues of the jobs that are known here.
        poll: How often the ledger is read between slots: how soon a cron that is stored, changed or resumed by another
            process is noticed.
    """

    def __init__(
        self,
        ledger: CronLedger,
        *,
        queues: Iterable[str] = (),
        clock: Clock | None = None,
        poll: Duration = "1s",
    ) -> None:
        self._ledger = ledger
        self._engine = ledger.engine
        self._queues = frozenset(queues)
        self._clock = clock or SystemClock()
        self._poll_s = to_seconds(poll, name="poll")
        self._counts = CronCounts()
        self._next: dict[str, tuple[Known, float]] = {}

    async def run(self) -> None:
        """Fire until cancelled. Survives a store that does not answer, and says so."""
        retry_s = _RETRY_S[0]
        while True:
            try:
                look_at = await self.step()
            except QueueUnavailableError as exc:
                _log.warning("cron: queue does not answer, will try again", error_text=exc.message, retry_in_s=retry_s)
                await self._clock.sleep(retry_s)
                retry_s = min(retry_s * 2, _RETRY_S[1])
                continue
            retry_s = _RETRY_S[0]
            await self._clock.sleep(max(0.0, look_at - self._engine.time()))

    async def step(self) -> float:
        """Fire what is due now, and return the instant of the store at which to look again."""
        look_at = self._engine.time() + self._poll_s
        for known in await self._ledger.load(self._queues):
            try:
                look_at = min(look_at, await self._attend(known))
            except QueueUnavailableError:
                raise
            except Exception:  # one cron must not stop the others
                _log.exception("cron failed, will try again", cron=known.cron.name)
        return look_at

    async def _attend(self, known: Known) -> float:
        """Do what there is to do for one cron, and return when to look again."""
        if known.state is None:
            return await self._begin(known)
        if known.state.replaced:
            return await self._cancel_replaced(known, known.state)
        waits_until = self._waits_until(known)
        if self._engine.time() < waits_until and not known.state.waiting:
            return waits_until
        is_running = await self._is_running(known, known.state)
        decided = plan(known.cron, known.state, now=self._engine.time(), is_running=is_running)
        if decided is None:
            return waits_until if self._engine.time() < waits_until else math.inf
        return await self._fire(known, decided)

    def _waits_until(self, known: Known) -> float:
        """Return the next slot, which is worked out once for each state of a cron."""
        assert known.state is not None
        seen, slot = self._next.get(known.cron.name, (None, math.inf))
        if seen is None or seen.state != known.state or seen.cron.timetable != known.cron.timetable:
            found = next_slot(known.cron, known.state)
            slot = math.inf if found is None else float(found)
            self._next[known.cron.name] = (known, slot)
        return slot

    async def _begin(self, known: Known) -> float:
        """Remember a cron that nobody has seen before; what it would have done before now is not made up for."""
        state = CronState(v=FORMAT, last_slot=math.floor(self._engine.time()))
        if await self._ledger.save(known, state):
            _log.info("cron begins", cron=known.cron.name, schedule=known.cron.schedule, tz=known.cron.tz)
        return self._engine.time()

    async def _is_running(self, known: Known, state: CronState) -> bool:
        if known.cron.overlap is Overlap.ALLOW or state.last_job_id is None:
            return False
        record = await self._engine.get(state.last_job_id, queue=known.cron.queue)
        return record is not None and not record.state.is_final

    async def _fire(self, known: Known, decided: Plan) -> float:
        cron, state = known.cron, decided.state
        if not await self._ledger.save(known, state, [self._ledger.slot_job(cron, slot) for slot in decided.fired]):
            return self._engine.time()  # somebody else wrote: look again
        for slot in decided.fired:
            _log.info("cron fired", cron=cron.name, slot_at=utc(slot), job_id=job_id_of(cron.name, slot))
        self._counts.fired(cron.name, fired=len(decided.fired), missed=decided.missed)
        if decided.missed:
            _log.warning("cron missed slots", cron=cron.name, missed=decided.missed, misfire=cron.misfire.value)
        return self._engine.time() if state.replaced or state.waiting else next_slot(cron, state) or math.inf

    async def _cancel_replaced(self, known: Known, state: CronState) -> float:
        # First written down, then done, then crossed out: a scheduler that dies in between leaves it to the next.
        for job_id in state.replaced:
            await self._engine.cancel(job_id, queue=known.cron.queue)
        await self._ledger.save(known, state.with_(replaced=()))
        return self._engine.time()
