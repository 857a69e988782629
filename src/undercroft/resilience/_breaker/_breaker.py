"""The breaker: who is let through, and what comes of it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import Any, NoReturn, Self

import anyio

from undercroft.resilience._breaker import _standing as rules
from undercroft.resilience._breaker._base import BreakerBase, Permit
from undercroft.resilience._errors import CallTimeoutError, CircuitOpenError, PolicyError, seconds_text
from undercroft.resilience._policy import Decorating, P, T, name_of

_PENDING: Any = object()


class CircuitBreaker(BreakerBase, Decorating):
    """Stop calling a service that fails, and find out by a few probes when it is back.

        payments = CircuitBreaker("payments", failure_threshold=5, reset_timeout="30s")

        await payments.execute(client.charge, order)      # or `call`: every policy has it

        @payments
        async def charge(order: Order) -> Receipt: ...

        async with payments: ...

    *Closed*, it lets everything through and counts. *Open*, it refuses with `CircuitOpenError`, without calling.
    *Half open*, from `reset_timeout` after it opened, it lets `half_open_max` calls through at a time:
    `success_threshold` of them that succeed close it, one that fails opens it again. What began in one of these states
    does not count in another. `CircuitBreaker(…, threshold=5, timeout=30)` works too.

    Make one for each service, once, and keep it: what it counted is gone with it. For one event loop; holds nothing
    that must be closed.

    **Over processes.** With `store`, or when an `Infra` is bound where it is first called, its state is shared under
    its name by all processes that use the same store: when one of them opens it, it is open in the others with their
    next failure or within a second; and all of them together probe with `half_open_max` calls at once. Each process
    counts by itself. When the store is away, each goes on alone.

    Args:
        name: Of the service. Metrics have it as a label, so there should not be thousands.
        failure_threshold: So many failures open it, from 1 to 100, by default 5: in a row; or, with a `window`, of the
            calls in it.
        reset_timeout: How long it is open before it probes; by default 30 s, up to an hour.
        half_open_max: How many probes there are at once.
        success_threshold: How many must succeed.
        window: The last so many calls (`100`), or the calls of the last so much time (`"60s"`). By default there is
            none; for rates it is 100 calls.
        failure_rate: It opens when this share of the calls in the window failed, instead of by `failure_threshold`.
        minimum_calls: Rates are looked at when there are so many calls in the window; by default 10.
        slow_call: A call that takes this long is slow, however it ends. A slow probe counts as failed.
        slow_rate: It opens when this share of the calls in the window was slow; by default half of them.
        is_failure: Which errors count. By default all but undercroft's of the kinds *misuse* and *refused*, which are
            the caller's own fault. Those that do not count are not counted at all; of a probe they show that the
            service is there. Cancellation never counts: put a timeout inside of the breaker, or use `call_timeout`.
        call_timeout: A call that takes longer is cancelled, fails with `CallTimeoutError`, and counts.
        probe_lease: A probe of which nothing is heard for so long gives its slot to another: its process died. By
            default 30 s, or 5 s more than `call_timeout`.
        on_state_change: Called with each change that this process sees; must not wait. What it raises is logged.
        store: The breakers it belongs to; by default those of the bound `Infra`.
        is_local: It shares nothing, whatever is bound.
        threshold, timeout: Other names of `failure_threshold` and `reset_timeout`.

    Raises:
        PolicyError: An argument is out of range, or two contradict each other.
        DurationError: Not a duration.
    """

    # --- Calling ----------------------------------------------------------------------------------------------------

    async def call(self, fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `fn`, unless the breaker is open.

        Raises:
            CircuitOpenError: It is; `fn` was not called.
            CallTimeoutError: It took longer than `call_timeout`.
        """
        look_at = self._look_at
        if not self._is_quick or (look_at is not None and self._monotonic() >= look_at):
            return await self._watched(fn, *args, **kwargs)
        generation, made = self._generation, _PENDING
        try:
            made = fn(*args, **kwargs)
            result = await made
        except BaseException as exc:
            await self._quick_failed(exc, generation, fn, made)
            raise
        tally = self._tally
        if tally.in_row and generation == self._generation:
            tally.in_row = 0
        self._succeeded += 1
        self._counts.succeeded.increment()
        return result

    execute = call

    async def __aenter__(self) -> Self:
        permit = await self._admit()
        if self._settings.call_timeout_s is not None:
            permit.time_limit = self._clock.cancel_after(self._settings.call_timeout_s)
            permit.time_limit.__enter__()
        self._entered.setdefault(asyncio.current_task(), []).append(permit)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        task = asyncio.current_task()
        permits = self._entered.get(task)
        if not permits:
            raise PolicyError(f"the breaker {self.name!r} was left in another task than it was entered in")
        permit = permits.pop()
        if not permits:
            del self._entered[task]
        if permit.time_limit is not None and permit.time_limit.__exit__(exc_type, exc, traceback):
            error = self._too_slow("the block")
            await self._end(permit, error)
            raise error
        await self._end(permit, exc)

    # --- Letting through --------------------------------------------------------------------------------------------

    async def _watched(self, fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        permit, made = await self._admit(), _PENDING
        try:
            made = fn(*args, **kwargs)
            result: T = await self._in_time(made, fn)
        except BaseException as exc:
            if _is_no_coroutine(exc, made):
                await self._end(permit, asyncio.CancelledError())
                raise _not_async(fn) from None
            await self._end(permit, exc)
            raise
        await self._end(permit, None)
        return result

    async def _in_time(self, made: Awaitable[T], fn: object) -> T:
        limit_s = self._settings.call_timeout_s
        if limit_s is None:
            return await made
        with self._clock.cancel_after(limit_s):
            return await made
        raise self._too_slow(name_of(fn))

    def _too_slow(self, what: str) -> CallTimeoutError:
        limit_s = self._settings.call_timeout_s or 0.0
        return CallTimeoutError(
            f"{what} took longer than the {seconds_text(limit_s)} that the breaker {self.name!r} allows",
            timeout_s=limit_s,
        )

    async def _admit(self) -> Permit:
        if not self._is_settled:
            self._join()
        await self._look_if_due()
        keeper = self._keeper
        now = keeper.now()
        state = rules.state_at(keeper.standing, now)
        if state == "half_open":
            return await self._admit_probe()
        self._see()
        if state == "open":
            self._reject()
        return self._permit()

    def _permit(self, probe: str | None = None) -> Permit:
        return Permit(self._generation, self._keeper.standing.turn, self._monotonic(), probe)

    async def _admit_probe(self) -> Permit:
        keeper, settings = self._keeper, self._settings
        if len(rules.probes_at(keeper.standing, keeper.now())) >= settings.half_open_max:
            self._reject()
        probe = self._new_id()
        take = partial(rules.with_probe, probe=probe, limit=settings.half_open_max, lease_s=settings.lease_s)
        try:
            is_taken = await keeper.update(take)
        except asyncio.CancelledError:
            # The store may have given the slot; nobody will come to use it.
            await self._end_probe(probe, keeper.standing.turn, "left")
            raise
        self._see()
        if is_taken:
            return self._permit(probe)
        if self.state != "closed":  # the slots were taken by others; or it has opened again
            self._reject()
        return self._permit()

    def _reject(self) -> NoReturn:
        self._rejected += 1
        self._counts.rejected.increment()
        keeper = self._keeper
        left_s = rules.retry_after_at(keeper.standing, keeper.now())
        if left_s is not None:
            why = f"is open for another {seconds_text(left_s)}"
        else:
            why = "is probing" if self.state == "half_open" else "is forced open"
        raise CircuitOpenError(
            f"the breaker {self.name!r} {why}; nothing was called", breaker=self.name, retry_after=left_s
        )

    # --- What comes of it -------------------------------------------------------------------------------------------

    async def _quick_failed(self, exc: BaseException, generation: int, fn: object, made: object) -> None:
        if _is_no_coroutine(exc, made):
            raise _not_async(fn) from None
        if not self.is_shared:
            self._join()
        if self._count(exc) and generation == self._generation:
            reason = self._tally.add(is_failure=True, is_slow=False, now=0.0)
            if reason is not None:
                await self._open(reason)

    async def _end(self, permit: Permit, exc: BaseException | None) -> None:
        is_failure = self._count(exc)
        is_slow = self._is_slow(permit)
        if permit.probe is not None:
            await self._end_probe(permit.probe, permit.turn, _outcome(exc, is_failure or is_slow))
            return
        is_forced = rules.forced_at(self._keeper.standing, self._keeper.now()) is not None
        if permit.generation != self._generation or is_forced:
            return
        if exc is None or is_failure or (is_slow and isinstance(exc, Exception)):
            reason = self._tally.add(is_failure=is_failure, is_slow=is_slow, now=self._monotonic())
            if reason is not None:
                await self._open(reason)

    async def _end_probe(self, probe: str, turn: int, outcome: rules.Outcome) -> None:
        settings = self._settings
        change = partial(
            rules.after_probe,
            probe=probe,
            turn=turn,
            outcome=outcome,
            enough=settings.success_threshold,
            reset_s=settings.reset_s,
        )
        with anyio.CancelScope(shield=True):  # the store's own deadline bounds it
            await self._keeper.update(change)
        self._see()

    async def _open(self, reason: str) -> None:
        # Here at once, and only then in the store: no call comes through in between.
        self._keeper.change_here(partial(rules.opened, reset_s=self._settings.reset_s, reason=reason))
        self._see()
        await self._keeper.share()
        self._see()

    def _is_slow(self, permit: Permit) -> bool:
        slow_s = self._settings.slow_s
        if slow_s is None or self._monotonic() - permit.since < slow_s:
            return False
        self._slow += 1
        return True


def _outcome(exc: BaseException | None, is_failure: bool) -> rules.Outcome:
    if exc is not None and not isinstance(exc, Exception):
        return "left"
    return "failed" if is_failure else "succeeded"


def _is_no_coroutine(exc: BaseException, made: object) -> bool:
    return isinstance(exc, TypeError) and made is not _PENDING and not inspect.isawaitable(made)


def _not_async(fn: object) -> PolicyError:
    return PolicyError(
        f"{name_of(fn)} is not an async function: it was called, and returned nothing to wait for",
        hint="write `async def`, or wrap it: `anyio.to_thread.run_sync` takes a function that blocks",
    )
