"""A pool of connections that waits, in order, and knows who has them.

SQLAlchemy's own asyncio pool waits through `asyncio.wait_for`, which on Python 3.11 can lose the connection it waited
for when the waiter is cancelled, and its timeout says how many connections there are, not where they went.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from sqlalchemy.pool import ConnectionPoolEntry, Pool, PoolProxiedConnection
from sqlalchemy.util import await_

from undercroft._core.durations import format_seconds
from undercroft._core.errors import NotOpenError
from undercroft.connections.sql._errors import PoolExhaustedError, Use
from undercroft.connections.sql._protocol import PoolRules, PoolStatus, Site

_HOLDER = "undercroft_holder"
_NAMED_USES = 10


@dataclass(slots=True)
class _Holder:
    task: asyncio.Task[Any] | None
    since: float
    site: Site | None = None


class WaitingPool(Pool):
    """At most `rules.size` connections; who comes when all are in use waits, first come, first served.

    Belongs to one event loop. SQLAlchemy's engine calls it in its greenlet; connections may also come back from the
    garbage collector, in any thread.
    """

    _is_asyncio = True

    # Not keyword-only: SQLAlchemy looks for the names of a pool's arguments among the positional ones.
    def __init__(self, creator: Any, rules: PoolRules, **settings: Any) -> None:
        super().__init__(creator, **settings)
        self._settings = settings
        self._rules = rules
        self._loop: asyncio.AbstractEventLoop | None = None
        self._made = 0
        self._idle: deque[ConnectionPoolEntry] = deque()
        self._free_since: dict[ConnectionPoolEntry, float] = {}
        self._held: dict[ConnectionPoolEntry, _Holder] = {}
        self._waiters: deque[asyncio.Future[ConnectionPoolEntry | None]] = deque()
        self._exhausted_count = 0
        self._is_shut = False
        self.explain: Callable[[Exception], Exception | None] = lambda _: None
        """Gives the error to raise for one of opening a connection; `None` leaves it as it is."""

    def connect(self) -> PoolProxiedConnection:
        """Give out a connection; the one entrance, also where an old one is replaced."""
        try:
            return super().connect()
        except Exception as exc:
            problem = self.explain(exc)
            if problem is None:
                raise
            raise problem from exc

    @property
    def numbers(self) -> PoolStatus:
        """The pool at this moment."""
        now = self._rules.clock.monotonic()
        return PoolStatus(
            size=self._rules.size,
            in_use=self._made - len(self._idle),
            idle=sum(entry.dbapi_connection is not None for entry in self._idle),
            waiting=sum(not waiter.done() for waiter in self._waiters),
            oldest_use_s=max((now - holder.since for holder in self._held.values()), default=0.0),
            exhausted_count=self._exhausted_count,
        )

    def uses(self) -> list[Use]:
        """Return who has a connection, the longest first."""
        now = self._rules.clock.monotonic()
        held = sorted(self._held.values(), key=lambda holder: holder.since)
        return [
            Use(
                task=holder.task.get_name() if holder.task else "no task",
                held_s=now - holder.since,
                site=site_text(holder.site) if holder.site else None,
            )
            for holder in held
        ]

    def take_idle_s(self, entry: ConnectionPoolEntry) -> float:
        """Return for how long a connection that was just taken had been free; 0 when asked again."""
        since = self._free_since.pop(entry, None)
        return 0.0 if since is None else self._rules.clock.monotonic() - since

    def shut(self) -> None:
        """Give out no more connections, and tell those who wait."""
        self._is_shut = True
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(self._not_open())

    def dispose(self) -> None:
        """Close the connections that are free. Runs in SQLAlchemy's greenlet."""
        while self._idle:
            entry = self._idle.pop()
            self._made -= 1
            entry.close()

    def terminate(self) -> None:
        """Close the connections that are in use, or that `dispose` did not get to; their users get an error."""
        for entry in [*self._held, *self._idle]:
            entry.invalidate()

    def recreate(self) -> WaitingPool:
        """Return a new pool like this one, as SQLAlchemy's `dispose` wants it."""
        settings = {**self._settings, "_dispatch": self.dispatch, "dialect": self._dialect}
        pool = type(self)(self._creator, rules=self._rules, **settings)
        pool.explain = self.explain
        pool._is_shut = self._is_shut  # noqa: SLF001 - who kept the engine of a closed database opens nothing with it
        return pool

    def status(self) -> str:
        return str(self.numbers)

    def _do_get(self) -> ConnectionPoolEntry:
        if self._is_shut:
            raise self._not_open()
        self._loop = asyncio.get_running_loop()
        if self._idle:
            entry: ConnectionPoolEntry | None = self._idle.pop()
        elif self._made < self._rules.size:
            self._made += 1
            entry = None
        else:
            entry = await_(self._wait())
        if entry is None:
            entry = self._make()
        holder = _Holder(asyncio.current_task(), self._rules.clock.monotonic())
        self._held[entry] = holder
        info = entry.record_info
        if info is not None:
            info[_HOLDER] = holder
        return entry

    def _make(self) -> ConnectionPoolEntry:
        """Open a connection in a place that is already counted, and give the place up when that fails."""
        try:
            return self._create_connection()
        except BaseException:
            if not self._give(None):
                self._made -= 1
            raise

    async def _wait(self) -> ConnectionPoolEntry | None:
        """Return a connection, or `None` for the right to open one."""
        waiter: asyncio.Future[ConnectionPoolEntry | None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        entry, is_given = None, False
        try:
            with self._rules.clock.cancel_after(self._rules.timeout_s):
                entry, is_given = await waiter, True
        except BaseException:
            self._give_back_what_came(waiter)
            raise
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        if is_given:
            return entry
        self._exhausted_count += 1
        raise self._exhausted()

    def _give_back_what_came(self, waiter: asyncio.Future[ConnectionPoolEntry | None]) -> None:
        # Cancelled between the moment a connection was given and the moment the task would have run.
        if not waiter.done() or waiter.cancelled() or waiter.exception() is not None:
            return
        entry = waiter.result()
        if entry is not None:
            self._take_back(entry)
        elif not self._give(None):
            self._made -= 1

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        loop = self._loop
        if loop is None or loop is _running_loop() or loop.is_closed():
            self._take_back(record)
        else:  # the garbage collector found it, in another thread
            loop.call_soon_threadsafe(self._take_back, record)

    def _take_back(self, entry: ConnectionPoolEntry) -> None:
        self._held.pop(entry, None)
        if self._is_shut:
            self._made -= 1
            entry.invalidate()
            return
        self._free_since[entry] = self._rules.clock.monotonic()
        if not self._give(entry):
            self._idle.append(entry)

    def _give(self, entry: ConnectionPoolEntry | None) -> bool:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(entry)
                return True
        return False

    def _not_open(self) -> NotOpenError:
        return NotOpenError(f"{self._rules.what} is closed", hint="end what uses it before leaving its `async with`")

    def _exhausted(self) -> PoolExhaustedError:
        uses = self.uses()
        named = "; ".join(map(str, uses[:_NAMED_USES]))
        more = f"; and {len(uses) - _NAMED_USES} more" if len(uses) > _NAMED_USES else ""
        return PoolExhaustedError(
            f"{self._rules.what}: no connection came free within {format_seconds(self._rules.timeout_s)}, all "
            f"{self._rules.size} are in use: {named}{more}",
            uses=uses,
            hint="leave `async with` sooner (await nothing slow in it, and never a second connection), use the session "
            "that is open, or raise ?pool_size=",
        )


def mark(info: dict[Any, Any] | None, site: Site | None) -> None:
    """Note where in the user's code a connection was asked for.

    Args:
        info: The `record_info` of a connection that is out of its pool.
    """
    holder = info.get(_HOLDER) if info else None
    if isinstance(holder, _Holder):
        holder.site = site


def site_text(site: Site) -> str:
    """Write a site with the last two parts of its path."""
    parts = PurePath(site[0]).parts
    return f"{'/'.join(parts[-2:])}:{site[1]}"


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
