"""The way to the store: with a deadline, and with a rest when it does not answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, TypeVar

from undercroft._core.clock import Clock
from undercroft._core.durations import format_seconds
from undercroft._core.errors import NotOpenError
from undercroft.cache._errors import CacheUnavailableError
from undercroft.cache._protocol import NOT_NOW, CacheBackend, NotNow, Read
from undercroft.logging import Logger

R = TypeVar("R")
GetNow = Callable[[str, str], bytes | Literal[NotNow.NOT_NOW] | None]
_log = Logger(module="undercroft.cache")

_FAILURES = 3
_REST_S = 1.0


class Store:
    """A backend with its deadline, shared by a cache and its views.

    After three failures in a row it is left alone for a second: reads do not ask it, so that a store that stalls does
    not add its deadline to every request. Writes ask all the same.
    """

    def __init__(self, backend: CacheBackend, clock: Clock, *, timeout_s: float, on_error: Callable[[], None]) -> None:
        self.backend = backend
        self.is_open = False
        self._clock = clock
        self._timeout_s = timeout_s
        self._on_error = on_error
        self._failures = 0
        self._rests_until = 0.0
        self._failing_since: float | None = None
        self.get_now: GetNow | None = None
        """The backend's own, while it is open and does not fail; what it raises is told to `failed`."""

    def open(self) -> None:
        """Let calls through."""
        self.is_open = True
        self.get_now = getattr(self.backend, "get_now", None)

    def close(self) -> None:
        """Refuse calls."""
        self.is_open = False
        self.get_now = None

    async def get(self, space: str, key: str) -> bytes | None:
        """Return what is kept under a key. Fails as `ask` does."""
        if self.get_now is not None:
            try:
                stored = self.get_now(space, key)
            except CacheUnavailableError as exc:
                self.failed(exc)
                raise
            if stored is not NOT_NOW:
                return stored
        return await self.fetch(space, key)

    async def fetch(self, space: str, key: str) -> bytes | None:
        """As `get`, by way of the backend's own `get`."""
        return await self.ask(lambda: self.backend.get(space, key))

    async def read(self, space: str, keys: Sequence[str], tags: Sequence[str] = ()) -> Read:
        """Return what is kept under these keys, and the tags' versions. Fails as `ask` does."""
        return await self.ask(lambda: self.backend.read(space, keys, tags))

    async def ask(self, call: Callable[[], Awaitable[R]], *, more_s: float = 0.0) -> R:
        """Make a call that may be left out, because whoever asks can do without.

        Args:
            more_s: What it may take on top of the deadline.

        Raises:
            CacheUnavailableError: The store does not answer, or is left alone.
        """
        if self._failures >= _FAILURES and self._clock.monotonic() < self._rests_until:
            raise CacheUnavailableError(
                "the cache's store did not answer lately, and is left alone for a moment", retry_after=_REST_S
            )
        return await self.insist(call, more_s=more_s)

    async def insist(self, call: Callable[[], Awaitable[R]], *, more_s: float = 0.0) -> R:
        """Make a call, whatever happened before.

        Args:
            more_s: What it may take on top of the deadline.

        Raises:
            CacheUnavailableError: The store does not answer.
        """
        self._require_open()
        try:
            answer = await self._in_time(call, more_s)
        except CacheUnavailableError as exc:
            self.failed(exc)
            raise
        if self._failures:
            self._answered()
        return answer

    def time(self) -> float:
        """Return the instant by the store's clock."""
        return self.backend.time()

    async def _in_time(self, call: Callable[[], Awaitable[R]], more_s: float) -> R:
        if self.backend.is_local:
            return await call()
        limit = self._timeout_s + more_s
        with self._clock.cancel_after(limit):
            return await call()
        raise CacheUnavailableError(
            f"the cache's store ({self.backend.name}) did not answer within {format_seconds(limit)}",
            hint="look at the store and the way to it; timeout= of the cache says how long to wait",
            retry_after=_REST_S,
        )

    def _require_open(self) -> None:
        if not self.is_open:
            raise NotOpenError(
                "this cache is not open", hint="use it inside `async with cache:`, or the Infra that it belongs to"
            )

    def failed(self, exc: CacheUnavailableError) -> None:
        """Remember that a call failed."""
        self._on_error()
        self._failures += 1
        self._rests_until = self._clock.monotonic() + _REST_S
        self.get_now = None  # what is asked instead notices that the store answers again
        if self._failing_since is None:
            self._failing_since = self._clock.monotonic()
            _log.warning(
                "cache store unavailable: reads are misses until it answers",
                backend=self.backend.name,
                reason=exc.message,
            )

    def _answered(self) -> None:
        self._failures = 0
        self.open()
        if self._failing_since is not None:
            outage_s = self._clock.monotonic() - self._failing_since
            self._failing_since = None
            _log.info("cache store answers again", backend=self.backend.name, after_s=round(outage_s, 3))
