"""What users hold: limits by policy and key, over one store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Self, cast

import anyio

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.durations import Duration, to_seconds
from undercroft._core.errors import near_names
from undercroft._core.ids import IdSource
from undercroft.logging import Logger
from undercroft.ratelimit._asking import Asking, Deadline, tell, warn
from undercroft.ratelimit._counts import LimitCounts
from undercroft.ratelimit._deciding import decision_of
from undercroft.ratelimit._errors import (
    RateLimitDefinitionError,
    RateLimitedError,
    RateLimitUnavailableError,
    SlotTimeoutError,
    UnknownPolicyError,
)
from undercroft.ratelimit._keys import LONGEST, stored_key
from undercroft.ratelimit._plan import Plan
from undercroft.ratelimit._policies import RatePolicy
from undercroft.ratelimit._protocol import LimitStore, LocalStore
from undercroft.ratelimit._values import Decision, LimitedKey

_POLL_S = 0.05
_log = Logger(module="undercroft.ratelimit")


class RateLimits:
    """Limits over one store, with the policies it knows by name. Opened by `async with`, or by its `Infra`.

    Args:
        store: Keeps what was counted; opened and closed by this object.
        policies: Those that can be named; names are unique. A `RatePolicy` itself can be given as well, known or not.
        timeout: How long the store may take before a policy's `fail` decides. A store in this process is not timed.
        block_locally: For how long at most a refused caller is refused here, without asking the store again; never
            longer than its wait. A reset, refund or other limit of another process is seen that much later. 0: always
            ask. Has no effect where there are slots, nor on a store in this process.
    """

    def __init__(
        self,
        store: LimitStore,
        policies: Iterable[RatePolicy] = (),
        *,
        timeout: Duration = "250ms",
        block_locally: Duration = "1s",
        clock: Clock | None = None,
        ids: IdSource | None = None,
    ) -> None:
        self._store = store
        self._policies = _by_name(policies)
        self._timeout_s = to_seconds(timeout, name="timeout")
        self._clock = clock or SystemClock()
        self._ids = ids or IdSource(self._clock)
        self._counts = LimitCounts()
        self._local = cast("LocalStore", store) if store.is_local else None
        self._asking = Asking(
            store,
            clock=self._clock,
            timeout_s=self._timeout_s,
            block_s=to_seconds(block_locally, name="block_locally"),
            counts=self._counts,
        )

    @property
    def backend(self) -> str:
        """Short name of the store: `"memory"`, `"sqlite"`, `"redis"`."""
        return self._store.name

    @property
    def policies(self) -> Mapping[str, RatePolicy]:
        """The policies that can be named."""
        return dict(self._policies)

    async def __aenter__(self) -> Self:
        await self._store.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._store.__aexit__(*exc_info)

    async def ping(self) -> None:
        """Return when the store answers.

        Raises:
            RateLimitUnavailableError: It does not.
        """
        await self._store.ping()

    # --- Deciding ---------------------------------------------------------------------------------------------------

    async def check(self, policy: str | RatePolicy, key: str, *, tier: str | None = None, cost: int = 1) -> Decision:
        """Count a call, if all limits of the policy allow it, and tell what they say.

        One step: of several limits all are charged or none. A refused call is not counted anywhere and lengthens no
        wait. With `cost=0` nothing is counted, as with `peek`. When the store does not answer, the policy's `fail`
        decides, and `Decision.failure` says why. Cancellation: the call may be counted.

        Raises:
            UnknownPolicyError: There is no such policy or tier.
            CostTooLargeError: The cost is above a limit, so that it could never be allowed.
            RateLimitDefinitionError: The cost or the key is not valid.
        """
        return await self.check_plan(self.plan(policy, tier), key, cost)

    async def check_plan(self, plan: Plan, key: str, cost: int = 1) -> Decision:
        """As `check`, for what `plan` returned."""
        if cost.__class__ is not int or not 0 < cost <= plan.cost_most:
            plan.require_cost(cost)
            return await self.peek_plan(plan, key, cost)
        if key.__class__ is not str or not 0 < len(key) <= LONGEST or not key.isascii():
            key = stored_key(key)
        token = self._ids() if plan.has_slots else None
        if self._local is None:
            return await self._asking.check(plan, key, cost, token)
        now, verdicts = self._local.check_now(plan, key, cost, token or "")
        decision = decision_of(plan, now, verdicts, cost, token)
        if decision.retry_after:
            self._counts.refused(decision)
            if self._local.note_now(plan.policy, key, now, now + int(decision.retry_after * 1e6)):
                tell(decision)
        else:
            self._counts.allowed(plan.policy)
            if decision.is_near_limit:
                warn(plan, decision)
        return decision

    async def require(self, policy: str | RatePolicy, key: str, *, tier: str | None = None, cost: int = 1) -> Decision:
        """As `check`, and raise when the call is not allowed.

        Raises:
            RateLimitedError: A limit is reached; `retry_after` says when the same call may go through.
            RateLimitUnavailableError: The store did not answer, and the policy fails closed.
        """
        return required(await self.check(policy, key, tier=tier, cost=cost))

    async def peek(self, policy: str | RatePolicy, key: str, *, tier: str | None = None, cost: int = 1) -> Decision:
        """Tell what `check` would say of a call of this cost, and what is left now, and count nothing."""
        return await self.peek_plan(self.plan(policy, tier), key, cost)

    async def peek_plan(self, plan: Plan, key: str, cost: int = 1) -> Decision:
        """As `peek`, for what `plan` returned."""
        plan.require_cost(cost)
        cost, key = cost or 1, stored_key(key)
        if self._local is None:
            return await self._asking.peek(plan, key, cost)
        return decision_of(plan, *await self._local.peek(plan, key, cost), cost)

    # --- Giving back ------------------------------------------------------------------------------------------------

    async def refund(self, policy: str | RatePolicy, key: str, cost: int = 1, *, tier: str | None = None) -> None:
        """Give back what a call cost, as when it failed for a reason that is not the caller's. Never more than is used.

        Slots are not touched: see `release`.

        Raises:
            RateLimitUnavailableError: The store did not answer; the refund may be recorded, or not.
        """
        await self.refund_plan(self.plan(policy, tier), key, cost)

    async def refund_plan(self, plan: Plan, key: str, cost: int = 1) -> None:
        """As `refund`, for what `plan` returned."""
        plan.require_cost(cost)
        key = stored_key(key)
        self._asking.forget(plan.policy, key)
        with self._deadline():
            await self._store.refund(plan, key, cost)

    async def release(self, policy: str | RatePolicy, key: str, token: str, *, tier: str | None = None) -> bool:
        """Give back the slot that a decision's `token` holds; false when its lease had ended.

        Raises:
            RateLimitUnavailableError: The store did not answer; the slot is free when its lease ends, at the latest.
        """
        return await self.release_plan(self.plan(policy, tier), key, token)

    async def release_plan(self, plan: Plan, key: str, token: str) -> bool:
        """As `release`, for what `plan` returned."""
        key = stored_key(key)
        if (here := self._asking.stand_in) is not None and await here.release(plan, key, token):
            return True  # it was taken while the store was away
        with self._deadline():
            return await self._store.release(plan, key, token)

    async def extend(self, policy: str | RatePolicy, key: str, token: str, *, tier: str | None = None) -> bool:
        """Have the lease of a slot begin anew; false when it has ended, and somebody else may have the slot."""
        return await self.extend_plan(self.plan(policy, tier), key, token)

    async def extend_plan(self, plan: Plan, key: str, token: str) -> bool:
        """As `extend`, for what `plan` returned."""
        key = stored_key(key)
        if (here := self._asking.stand_in) is not None and await here.extend(plan, key, token):
            return True
        with self._deadline():
            return await self._store.extend(plan, key, token)

    async def acquire_plan(self, plan: Plan, key: str, *, wait_s: float) -> Decision:
        """Take a slot, and wait for one up to `wait_s`.

        Raises:
            RateLimitedError: None is free. After a wait it is `SlotTimeoutError`.
            RateLimitUnavailableError: The store did not answer, and the policy fails closed.
        """
        until = self._clock.monotonic() + wait_s
        while True:
            decision = await self.check_plan(plan, key)
            left = until - self._clock.monotonic()
            if decision.allowed or left <= 0:
                if not decision.allowed and not decision.is_unavailable and wait_s:
                    raise SlotTimeoutError(decision)
                return required(decision)
            await self._clock.sleep(min(left, _POLL_S, decision.retry_after))

    async def give_back(self, plan: Plan, key: str, token: str) -> None:
        """Release a slot at the end of its block: also when that was cancelled, and without raising."""
        with anyio.CancelScope(shield=True):
            try:
                await self.release_plan(plan, key, token)
            except RateLimitUnavailableError as exc:
                _log.warning("a slot was not given back, and is free when its lease ends", exc, policy=plan.policy)

    async def reset(self, policy: str | RatePolicy, key: str) -> None:
        """Forget all that a policy has counted for a key, in every tier, slots included.

        Raises:
            RateLimitUnavailableError: The store did not answer; it may be forgotten, or not.
        """
        found, key = self._policy(policy), stored_key(key)
        rules = {rule.part: rule for plan in found.plans for rule in plan.rules}
        self._asking.forget(found.name, key)
        if (here := self._asking.stand_in) is not None:
            await here.reset(found.name, key, [*rules.values()])
        with self._deadline():
            await self._store.reset(found.name, key, [*rules.values()])

    # --- Looking ----------------------------------------------------------------------------------------------------

    async def limited(self, policy: str | RatePolicy | None = None, *, limit: int = 100) -> list[LimitedKey]:
        """Return who is refused now, those who must wait longest first, up to `limit`.

        Args:
            policy: By default all that this object knows by name.

        Raises:
            RateLimitUnavailableError: The store did not answer.
        """
        names = [*self._policies] if policy is None else [self._policy(policy).name]
        with self._deadline():
            return await self._store.limited(names, limit)

    def plan(self, policy: str | RatePolicy, tier: str | None = None) -> Plan:
        """Return what a policy comes to for a tier, for callers that check it again and again.

        Raises:
            UnknownPolicyError: There is no such policy or tier.
        """
        return self._policy(policy).plan(tier)

    def _policy(self, policy: str | RatePolicy) -> RatePolicy:
        if policy.__class__ is RatePolicy:
            return policy
        try:
            return self._policies[cast("str", policy)]
        except KeyError:
            known = ", ".join(sorted(self._policies))
            raise UnknownPolicyError(
                f"there is no rate limit policy {policy!r} here",
                name=str(policy),
                near=near_names(str(policy), self._policies),
                hint=f"known: {known}" if known else "give policies=[RatePolicy(…)] where the limits are made",
            ) from None

    def _deadline(self) -> Deadline:
        return Deadline(self._clock, None if self._local is not None else self._timeout_s)


def required(decision: Decision) -> Decision:
    """Return `decision`, or raise what it says.

    Raises:
        RateLimitedError: It refuses because a limit is reached.
        RateLimitUnavailableError: It refuses because the store did not answer.
    """
    if decision.allowed:
        return decision
    if decision.is_unavailable:
        raise RateLimitUnavailableError(
            f"the limit {decision.policy!r} could not be asked, and fails closed",
            decision=decision,
            retry_after=decision.retry_after,
        )
    raise RateLimitedError(decision)


def _by_name(policies: Iterable[RatePolicy]) -> dict[str, RatePolicy]:
    found: dict[str, RatePolicy] = {}
    for policy in policies:
        if found.setdefault(policy.name, policy) is not policy:
            raise RateLimitDefinitionError(f"two policies are called {policy.name!r}", hint="names are unique")
    return found
