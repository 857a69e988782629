"""Calling again: with full jitter, within a deadline and a budget, and when the service says so."""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Literal, Self, TypedDict, Unpack, get_args, overload

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.durations import Duration, format_seconds
from undercroft.resilience._budget import RetryBudget
from undercroft.resilience._counts import RetryCounts
from undercroft.resilience._errors import PolicyError, seconds_text
from undercroft.resilience._policy import (
    Decorating,
    Errors,
    P,
    T,
    error_filter,
    is_transient,
    name_of,
    require_async,
    seconds,
    whole,
)
from undercroft.resilience._retry_after import retry_after_of

Jitter = Literal["full", "none"]
_MAX_ATTEMPTS = 1_000
_MAX_DOUBLINGS = 64
_WHY = {
    "attempts": "that was the last",
    "retry_after": "the service asks for a longer wait than is allowed",
    "deadline": "the next one would begin after the deadline",
    "budget": "the budget for retries is spent",
}
_log = logging.getLogger("undercroft.resilience")


class RetryOptions(TypedDict, total=False):
    """The options of `Retry`, for functions that pass them on; see there."""

    base: Duration
    cap: Duration
    jitter: Jitter
    deadline: Duration | None
    on: Errors | None
    give_up: Errors | None
    idempotent: bool
    retry_after: bool
    max_retry_after: Duration
    budget: RetryBudget | None
    name: str | None
    on_retry: Callable[[Exception, float], None] | None
    clock: Clock | None
    random: Callable[[], float]


class Retry(Decorating):
    """Call again when that may help. Immutable; holds nothing that must be closed; for any number of calls at once.

        @Retry(attempts=4, deadline="20s")          # on a function,
        async def fetch() -> bytes: ...

        await Retry().call(client.get, url)         # for one call,

        async for attempt in Retry(deadline="5s"):  # or around a block
            with attempt:
                ...

    Before attempt n + 1 it sleeps for a random time from 0 to `min(cap, base * 2 ** (n - 1))`: "full jitter" (M.
    Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015). A service that says when to come back is
    heeded: see `retry_after`.

    When no attempt is left, the last error is raised as it is, with a note that says how many attempts there were and
    why there is no other. Cancellation is never retried, and ends a sleep at once.

    Args:
        attempts: How often at most, the first included; from 1 to 1 000.
        jitter: `none` sleeps for the whole of the time instead.
        deadline: From the beginning of the call. No sleep goes past it and no attempt begins after it, but a running
            attempt is not cut off: `Timeout` does that.
        on: Which errors: types, or a function that tells. By default those that say that a retry may help
            (`is_transient`): undercroft's of kind *unavailable*, `ConnectionError` and `TimeoutError`. What the error
            says in words is never looked at.
        give_up: Which errors never, whatever `on` says.
        idempotent: Whether the function may be run twice to the same effect. Without it an error with `may_have_run`
            (a Redis command whose answer was lost) is not retried. Other errors cannot tell: do not retry what must
            not happen twice.
        retry_after: Whether an error's `retry_after`, or the `Retry-After` header of its `response`, is heeded. The
            next attempt then comes that much later, and up to `base` more, at random.
        max_retry_after: A service that asks for more than this is not asked again: the error is raised.
        budget: See `RetryBudget`. By default there is none.
        name: In metrics and log lines. By default what the function is called.
        on_retry: Called before each sleep, with the error and the seconds. What it raises ends the call.
        random: Gives numbers from 0 up to 1.

    Raises:
        PolicyError: An argument is out of range.
        DurationError: Not a duration.
    """

    def __init__(
        self,
        attempts: int = 3,
        *,
        base: Duration = "100ms",
        cap: Duration = "10s",
        jitter: Jitter = "full",
        deadline: Duration | None = None,
        on: Errors | None = None,
        give_up: Errors | None = None,
        idempotent: bool = False,
        retry_after: bool = True,
        max_retry_after: Duration = "1m",
        budget: RetryBudget | None = None,
        name: str | None = None,
        on_retry: Callable[[Exception, float], None] | None = None,
        clock: Clock | None = None,
        random: Callable[[], float] = random.random,
    ) -> None:
        if jitter not in get_args(Jitter):
            raise PolicyError(f"jitter={jitter!r} is unknown", hint='jitter="full" or jitter="none"')
        self.attempts = whole(attempts, name="attempts", least=1, most=_MAX_ATTEMPTS)
        self._base_s = seconds(base, name="base")
        self._cap_s = seconds(cap, name="cap", least=self._base_s)
        self._has_jitter = jitter == "full"
        self.deadline_s = None if deadline is None else seconds(deadline, name="deadline")
        self._wanted = error_filter(on, default=is_transient, what="on")
        self._unwanted = error_filter(give_up, default=_none, what="give_up")
        self._is_idempotent = idempotent
        self._heeds = retry_after
        self._max_retry_after_s = seconds(max_retry_after, name="max_retry_after")
        self.budget = budget
        self._name = name
        self.on_retry = on_retry
        self.clock = clock or SystemClock()
        self._random = random
        self.counts = RetryCounts()

    def __repr__(self) -> str:
        deadline = None if self.deadline_s is None else format_seconds(self.deadline_s)
        return f"Retry(attempts={self.attempts}, deadline={deadline!r})"

    async def call(self, fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `fn`, and again while that may help; return what it returns.

        Raises:
            Exception: What the last attempt raised.
        """
        started, run = self.clock.monotonic(), None
        if self.budget is not None:
            self.budget.deposit()
        while True:
            try:
                return await fn(*args, **kwargs)
            except Exception as exc:
                run = run or _Run(self, self._name or name_of(fn), started)
                delay_s = run.delay_after(exc)
                if delay_s is None:
                    raise
            await self.clock.sleep(delay_s)

    def __aiter__(self) -> AsyncIterator[Attempt]:
        """Iterate over the attempts at what the loop's body does; each is for a `with`."""
        if self.budget is not None:
            self.budget.deposit()
        return _Attempts(_Run(self, self._name or "block", self.clock.monotonic()), self.clock)

    def is_wanted(self, error: Exception) -> bool:
        """Tell whether this error would be retried, were there attempts, time and budget."""
        if getattr(error, "may_have_run", False) is True and not self._is_idempotent:
            return False
        return bool(self._wanted(error)) and not self._unwanted(error)

    def backoff_s(self, number: int, error: Exception) -> float | None:
        """Return the seconds to sleep after attempt `number`; `None` when the service asks for too many."""
        ceiling = min(self._cap_s, self._base_s * 2.0 ** min(number - 1, _MAX_DOUBLINGS))
        backoff_s = self._random() * ceiling if self._has_jitter else ceiling
        asked_s = retry_after_of(error, now=self.clock.time) if self._heeds else None
        if not asked_s:
            return backoff_s
        if asked_s > self._max_retry_after_s:
            return None
        # Never earlier than was asked for; later by a random time, as all who were turned away were told the same.
        return max(asked_s + self._random() * self._base_s, backoff_s)


class Attempt:
    """One attempt at what a block does. Use it by `with`, which ends an error that is retried and lets others through.

    `number` counts from 1.
    """

    def __init__(self, run: _Run) -> None:
        self._run = run
        self.number = run.number
        self.is_over = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self.is_over = True
        if exc is None:
            self._run.is_done = True
            return False
        if not isinstance(exc, Exception):
            return False
        self._run.sleep_s = self._run.delay_after(exc)
        return self._run.sleep_s is not None


class _Run:
    """The attempts of one call: how many there were, and until when there may be more."""

    def __init__(self, retry: Retry, name: str, started: float) -> None:
        self._retry = retry
        self._name = name
        self._started = started
        self.number = 1
        self.sleep_s: float | None = None
        self.is_done = False

    def delay_after(self, error: Exception) -> float | None:
        """Return how long to sleep before the next attempt; `None` when there is none, which the error is told."""
        if not self._retry.is_wanted(error):
            if self.number > 1:
                self._note(error, "this error is not retried")
            return None
        delay_s = self._retry.backoff_s(self.number, error)
        stop = self._reason_to_stop(delay_s)
        if stop is not None or delay_s is None:
            self._retry.counts.gave_up(self._name, stop or "retry_after")
            self._note(error, _WHY[stop or "retry_after"])
            return None
        self.number += 1
        self._tell(error, delay_s)
        return delay_s

    def _reason_to_stop(self, delay_s: float | None) -> str | None:
        retry = self._retry
        if self.number >= retry.attempts:
            return "attempts"
        if delay_s is None:
            return "retry_after"
        if retry.deadline_s is not None and self._elapsed_s() + delay_s >= retry.deadline_s:
            return "deadline"
        if retry.budget is not None and not retry.budget.withdraw():  # last: it takes one out
            return "budget"
        return None

    def _tell(self, error: Exception, delay_s: float) -> None:
        retry = self._retry
        retry.counts.retried(self._name)
        _log.debug("%s: %s; attempt %d in %.3f s", self._name, type(error).__name__, self.number, delay_s)
        if retry.on_retry is not None:
            retry.on_retry(error, delay_s)

    def _note(self, error: Exception, why: str) -> None:
        attempts = f"{self.number} attempt{'' if self.number == 1 else 's'}"
        error.add_note(f"{self._name}: {attempts} in {seconds_text(self._elapsed_s())}; {why}")

    def _elapsed_s(self) -> float:
        return self._retry.clock.monotonic() - self._started


class _Attempts:
    """The iteration of `async for attempt in Retry(…)`."""

    def __init__(self, run: _Run, clock: Clock) -> None:
        self._run = run
        self._clock = clock
        self._attempt: Attempt | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Attempt:
        if self._run.is_done:
            raise StopAsyncIteration
        if self._attempt is not None:
            if not self._attempt.is_over:
                raise PolicyError(
                    "the loop over a Retry went on without `with attempt:`",
                    hint="put all that is to be retried in the block: `async for attempt in retry(): with attempt: …`",
                )
            await self._clock.sleep(self._run.sleep_s or 0.0)
        self._attempt = Attempt(self._run)
        return self._attempt


@overload
def retry(attempts: Callable[P, Awaitable[T]], /) -> Callable[P, Awaitable[T]]: ...
@overload
def retry(attempts: int = 3, **options: Unpack[RetryOptions]) -> Retry: ...
def retry(
    attempts: int | Callable[P, Awaitable[T]] = 3, **options: Unpack[RetryOptions]
) -> Retry | Callable[P, Awaitable[T]]:
    """Return a `Retry`, to be put on a function or iterated over: `@retry`, `@retry(attempts=4)`; see `Retry`."""
    if callable(attempts):
        require_async(attempts)
        return Retry(**options)(attempts)
    return Retry(attempts, **options)


async def retry_with_backoff(
    fn: Callable[[], Awaitable[T]], *, attempts: int = 3, **options: Unpack[RetryOptions]
) -> T:
    """Call `fn`, and again while that may help: `await Retry(attempts, …).call(fn)`."""
    return await Retry(attempts, **options).call(fn)


def _none(_: Exception) -> bool:
    return False
