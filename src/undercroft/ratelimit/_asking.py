"""Asking a store that may not answer: deadlines, what happens instead, and what is not asked twice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import cast

from undercroft._core.clock import Clock
from undercroft._core.url import Url
from undercroft.logging import Logger
from undercroft.ratelimit._counts import LimitCounts
from undercroft.ratelimit._deciding import decision_of, decision_without_store, warnings_of
from undercroft.ratelimit._errors import RateLimitUnavailableError
from undercroft.ratelimit._outage import Outage
from undercroft.ratelimit._plan import Plan
from undercroft.ratelimit._protocol import Answer, LimitStore, LocalStore
from undercroft.ratelimit._refusals import Refusals
from undercroft.ratelimit._schemes import open_limits
from undercroft.ratelimit._values import Decision, Failure

_log = Logger(module="undercroft.ratelimit")


class Asking:
    """The checks of one `RateLimits` whose store is not in this process."""

    def __init__(
        self, store: LimitStore, *, clock: Clock, timeout_s: float, block_s: float, counts: LimitCounts
    ) -> None:
        self._store = store
        self._clock = clock
        self._timeout_s = timeout_s
        self._counts = counts
        self._outage = Outage()
        self._refusals = Refusals(block_s=block_s)
        self.stand_in: LocalStore | None = None
        """What decides for `fail="local"`, once it was needed."""

    async def check(self, plan: Plan, key: str, cost: int, token: str | None) -> Decision:
        """As the facade's `check_plan`, with arguments that are known to be valid."""
        asked_at = self._clock.monotonic()
        repeated = self._refusals.repeated(plan, key, cost, asked_at)
        if repeated is not None:
            self._counts.refused(repeated)
            return repeated
        answer = await self._ask(plan, asked_at, lambda: self._store.check(plan, key, cost, token or ""))
        if isinstance(answer, Failure):
            return self._check_without(plan, key, cost, token, answer)
        decision = decision_of(plan, *answer, cost, token)
        if decision.retry_after:
            await self._refused(plan, key, decision, asked_at)
        else:
            self._counts.allowed(plan.policy)
            if decision.is_near_limit:
                warn(plan, decision)
        return decision

    async def peek(self, plan: Plan, key: str, cost: int) -> Decision:
        """As the facade's `peek_plan`, with arguments that are known to be valid."""
        answer = await self._ask(plan, self._clock.monotonic(), lambda: self._store.peek(plan, key, cost))
        if not isinstance(answer, Failure):
            return decision_of(plan, *answer, cost)
        if plan.fail == "local":
            return decision_of(plan, *await self._by_this_process().peek(plan, key, cost), cost, failure=answer)
        return decision_without_store(plan, self._clock.time(), cost, answer, retry_after=Outage.PAUSE_S)

    def forget(self, policy: str, key: str) -> None:
        """Ask the store again for a key: something was given back to it."""
        self._refusals.forget(policy, key)

    async def _ask(self, plan: Plan, now: float, call: Callable[[], Awaitable[Answer]]) -> Answer | Failure:
        """Return the store's answer, or why there is none."""
        if not self._outage.may_ask(now):
            return Failure.PAUSED
        try:
            with self._clock.cancel_after(self._timeout_s if plan.timeout_s is None else plan.timeout_s) as scope:
                answer = await call()
        except RateLimitUnavailableError as exc:
            self._outage.failed(self._clock.monotonic(), exc.message)
            return Failure.UNAVAILABLE
        if scope.cancelled_caught:
            self._outage.failed(self._clock.monotonic(), "no answer in time")
            return Failure.TIMEOUT
        self._outage.answered()
        return answer

    def _check_without(self, plan: Plan, key: str, cost: int, token: str | None, failure: Failure) -> Decision:
        self._counts.failed(plan.policy, failure, plan.fail)
        if plan.fail == "local":
            now, verdicts = self._by_this_process().check_now(plan, key, cost, token or "")
            decision = decision_of(plan, now, verdicts, cost, token, failure)
        else:
            decision = decision_without_store(plan, self._clock.time(), cost, failure, retry_after=Outage.PAUSE_S)
        if decision.retry_after:
            self._counts.refused(decision)
        else:
            self._counts.allowed(plan.policy)
        return decision

    def _by_this_process(self) -> LocalStore:
        if self.stand_in is None:
            url = Url.parse("memory://")
            self.stand_in = cast("LocalStore", open_limits(url, what="fail='local'", clock=self._clock))
        return self.stand_in

    async def _refused(self, plan: Plan, key: str, decision: Decision, asked_at: float) -> None:
        self._counts.refused(decision)
        told = self._refusals.refused(plan, key, decision, asked_at=asked_at)
        if told:
            tell(decision)
            wait_us = round(decision.retry_after * 1e6)
            # When that fails, the decision stands, and the list has one key less.
            with suppress(RateLimitUnavailableError), self._clock.cancel_after(self._timeout_s):
                await self._store.note(plan.policy, key, wait_us=wait_us, refusals=told)


class Deadline:
    """A block that the store has `seconds` for; then it raises."""

    def __init__(self, clock: Clock, seconds: float | None) -> None:
        self._seconds = seconds
        self._guard = clock.cancel_after(seconds)

    def __enter__(self) -> None:
        self._scope = self._guard.__enter__()

    def __exit__(self, *exc_info: object) -> None:
        self._guard.__exit__(*exc_info)  # type: ignore[arg-type] # as it was given
        if self._scope.cancelled_caught:
            raise RateLimitUnavailableError(
                f"the store of the rate limits did not answer within {self._seconds:g}s",
                hint="it may have been done, or not",
            )


def warn(plan: Plan, decision: Decision) -> None:
    """Write a line for each quota that this call has nearly used up."""
    for one in warnings_of(plan, decision):
        _log.warning("a quota is nearly used up", policy=one.policy, used=one.used, limit=one.limit)


def tell(decision: Decision) -> None:
    """Write a line of a caller who is refused from now on."""
    # Without the key: it may be an address or a name. `limited()` has it.
    _log.info(
        "a rate limit would refuse a caller" if decision.is_dry_run else "a rate limit refuses a caller",
        policy=decision.policy,
        limit=decision.limit_name,
        retry_after_s=round(decision.retry_after, 3),
    )
