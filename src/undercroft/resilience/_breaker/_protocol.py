"""What a store of breakers promises, and the values that breakers return.

A store keeps one small document a breaker and knows nothing of what is in it: every change of a breaker is a function
without I/O (`_standing`), and a store only has to put its result in place of what it was computed from, or say that
something else is there by now. So the rules, such as how many probes there are at once over all processes, are written
and tested once.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, Protocol

import msgspec

BreakerState = Literal["closed", "open", "half_open"]


class Stored(msgspec.Struct, frozen=True):
    """A breaker's document as it was found."""

    data: bytes | None
    """`None`: there is none."""
    version: int
    """Grows with each change; 0 when there is none."""
    now: float
    """The store's clock, seconds since an instant of its own: the same for all who use the store."""


class BreakerStore(Protocol):
    """Keeps small documents. Opened by `async with`; used from one event loop; raises `BreakersUnavailableError` when
    it does not answer, in which case a change may have been made, or not. Cancellation: likewise."""

    @property
    def name(self) -> str:
        """Short name: `memory`, `sqlite`, `redis`."""

    @property
    def is_local(self) -> bool:
        """Whether its calls end without waiting for anything, so that they need no deadline."""

    async def __aenter__(self) -> object: ...

    async def __aexit__(self, *exc_info: object) -> None: ...

    async def ping(self) -> None:
        """Return when the store answers."""

    async def read(self, name: str) -> Stored:
        """Return the document of the breaker `name`."""

    async def swap(self, name: str, data: bytes, *, version: int) -> bool:
        """Put `data` in place of the document of that version, in one step; false when it has another by now.

        Version 0 is for a name without one.
        """

    async def read_all(self) -> Mapping[str, Stored]:
        """Return every document by name, read at one moment."""


class StateChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change of a breaker's state as this process saw it."""

    name: str
    before: BreakerState
    after: BreakerState
    reason: str
    """In words: `5 failures in a row`, `a probe succeeded`, `forced`."""
    is_forced: bool = False


class BreakerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A breaker as it stands now. Has a JSON form."""

    name: str
    state: BreakerState
    forced: Literal["open", "closed"] | None = None
    """What somebody has it forced to; then nothing that calls do changes it."""
    forced_until: datetime | None = None
    """`None` while it is forced: until somebody says otherwise."""
    opened_at: datetime | None = None
    """When it opened last, unless it is closed."""
    changed_at: datetime | None = None
    """When its state changed last; `None`: never."""
    retry_after: float | None = None
    """Seconds until it probes; `None` when it lets calls through now, or is forced without an end."""
    reason: str = ""
    """Why it is in this state."""
    probes: int = 0
    """How many probes are under way, over all processes."""
    is_here: bool = False
    """Whether this process has it. The counts are of this process."""
    calls: int = 0
    failures: int = 0
    rejected: int = 0


class BreakerMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """What a breaker counted in this process. Has a JSON form."""

    state: BreakerState
    succeeded: int
    failed: int
    ignored: int
    """Calls that ended in an error that is nobody's failure, or were cancelled."""
    rejected: int
    slow: int
    """Of those that were let through, how many took `slow_call` or longer."""
    failures_in_row: int
    window_calls: int | None = None
    """Calls in the window; `None` where there is none."""
    failure_rate: float | None = None
    """Of the calls in the window; `None` where there are none."""
    slow_rate: float | None = None

    @property
    def calls(self) -> int:
        """Calls that were let through and have ended."""
        return self.succeeded + self.failed + self.ignored
