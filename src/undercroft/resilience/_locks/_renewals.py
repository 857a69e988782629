"""One task that keeps the leases of a store: renews each in time, and tells those that cannot be kept."""

from __future__ import annotations

import math
from itertools import count

import anyio
import anyio.abc

from undercroft._core.clock import Clock
from undercroft.logging import Logger
from undercroft.resilience._locks._calls import Calls
from undercroft.resilience._locks._errors import LockUnavailableError
from undercroft.resilience._locks._lease import Lease

_log = Logger(module="undercroft.resilience")


class Renewals:
    """Leases and when each is due. `run` is the task; it belongs to the open `Locks`."""

    def __init__(self, clock: Clock, calls: Calls) -> None:
        self._clock = clock
        self._calls = calls
        self._due: dict[Lease, float] = {}
        self._by_name: dict[str, Lease] = {}
        self._wakes_at = math.inf
        self._news = anyio.Event()

    @property
    def leases(self) -> list[Lease]:
        """Those that are kept now."""
        return [*self._due]

    def of_name(self, name: str) -> Lease | None:
        """The lease of this name that is kept now."""
        return self._by_name.get(name)

    def add(self, lease: Lease) -> None:
        """Keep this lease from now on."""
        self._by_name[lease.name] = lease
        self._due[lease] = due = lease.due_at
        if due < self._wakes_at:
            self._wakes_at = due
            self._news.set()

    def forget(self, lease: Lease) -> None:
        """Keep this lease no longer."""
        self._due.pop(lease, None)
        if self._by_name.get(lease.name) is lease:
            del self._by_name[lease.name]

    async def run(self) -> None:
        """Keep them until cancelled."""
        async with anyio.create_task_group() as tasks:
            while True:
                self._begin_what_is_due(tasks)
                left = self._plan() - self._clock.monotonic()
                with self._clock.cancel_after(None if math.isinf(left) else max(0.0, left)):
                    await self._news.wait()

    def _plan(self) -> float:
        """Decide when to wake. What was planned stays so, though the lease be gone: most are released long before they
        are due, and none of those that follow has to wake the task then."""
        planned = self._wakes_at if self._wakes_at > self._clock.monotonic() else math.inf
        self._wakes_at = min(planned, min(self._due.values(), default=math.inf))
        self._news = anyio.Event()
        return self._wakes_at

    def _begin_what_is_due(self, tasks: anyio.abc.TaskGroup) -> None:
        now = self._clock.monotonic()
        for lease, due in [*self._due.items()]:
            if due - lease.early_s <= now:
                self._due[lease] = math.inf  # until the outcome is known
                tasks.start_soon(self._keep, lease)

    async def _keep(self, lease: Lease) -> None:
        for attempt in count(1):
            left = lease.check()
            if not lease.is_in_use or not lease.renews:
                break
            if await self._try(lease, attempt, within_s=min(self._calls.timeout_s, lease.interval_s / 2, left)):
                break
            left = lease.ends_at - self._clock.monotonic()  # what it had before the attempt is gone
            await self._clock.sleep(max(0.0, min(self._calls.pause(attempt, cap_s=lease.interval_s / 4), left)))
        if lease.is_in_use:
            self.add(lease)

    async def _try(self, lease: Lease, attempt: int, *, within_s: float) -> bool:
        """Renew once; return whether there was an answer, whichever."""
        try:
            return await lease.renew(within_s=within_s)
        except LockUnavailableError as exc:
            if attempt == 1:
                _log.warning("lock cannot be renewed, will try again", lock=lease.name, error_text=exc.message)
            return False
        except Exception as exc:  # one lease's trouble must not end the keeping of the others
            _log.error("renewal of a lock failed, will try again", exc, lock=lease.name)
            return False
