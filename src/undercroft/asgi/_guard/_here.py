"""The request that is being served here, and what its limits came to: how a route's limit finds both."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import anyio

from undercroft._core.bound import BoundPart
from undercroft._core.clock import Clock
from undercroft._core.errors import UndercroftError
from undercroft.asgi._guard._decisions import infos_of, retry_after_of
from undercroft.asgi._guard._errors import NotInRequestError, QuotaExceededError, TooCostlyError
from undercroft.asgi._guard._fields import Generation, rate_limit_headers
from undercroft.asgi._guard._keys import IpKey, KeyFunction, by_ip, resolve_key
from undercroft.asgi._guard._rules import LimitRule
from undercroft.asgi._types import Headers, Scope
from undercroft.logging import Logger
from undercroft.ratelimit import CostTooLargeError, Decision, RateLimitedError, RateLimits, RateLimitUnavailableError

DEFAULT_HEADERS: tuple[Generation, ...] = ("draft-11", "legacy-delta")
_NAME = "undercroft.limits"
_RELEASE_WITHIN_S = 5.0
_bound = BoundPart[RateLimits]("limits")
_log = Logger(module="undercroft.asgi.guard")


class RequestLimits:
    """One request: who it is counted as, and the decisions so far. The outermost guard makes it; lives as long."""

    __slots__ = (
        "_slots",
        "clock",
        "decisions",
        "generations",
        "ip",
        "is_exempt",
        "is_plain",
        "key",
        "limits",
        "loop",
        "refusal",
        "scope",
    )

    def __init__(
        self,
        scope: Scope,
        *,
        clock: Clock,
        ip: IpKey,
        key: KeyFunction,
        limits: RateLimits | None = None,
        generations: tuple[Generation, ...] = DEFAULT_HEADERS,
    ) -> None:
        self.scope = scope
        self.clock = clock
        self.ip = ip
        self.key = key
        self.limits = limits
        self.generations = generations
        self.decisions: list[Decision] = []
        self.refusal: UndercroftError | None = None
        """What a limit inside of the application raised."""
        self.is_plain = False
        """Whether no guard has seen the request, so that the first that does makes its own."""
        self.is_exempt = False
        """Whether the client is on the guard's allow list."""
        self._slots: list[tuple[RateLimits, LimitRule, str, str | None, str]] = []
        self.loop = asyncio.get_running_loop()
        scope[_NAME] = self

    async def take(self, rule: LimitRule, limits: RateLimits | None = None) -> None:
        """Count the request by a rule.

        Raises:
            RateLimitedError: The limit is reached (`QuotaExceededError` where the rule answers with 402).
            RateLimitUnavailableError: The store did not answer, and the policy fails closed.
            TooCostlyError: The request costs more than the limit could ever allow.
        """
        key, tier = await self.key_of(rule.key), await rule.tier_of(self.scope)
        limits = limits or self.limits or _bound.require()
        try:
            decision = await limits.require(rule.checked_policy, key, tier=tier, cost=await rule.cost_of(self.scope))
        except RateLimitedError as error:
            self.decisions.append(error.decision)
            if rule.status == 402:
                raise QuotaExceededError(error.decision) from error
            raise
        except CostTooLargeError as error:
            raise TooCostlyError("this request takes more than its limit could ever allow") from error
        self.decisions.append(decision)
        if decision.token is not None:
            self._slots.append((limits, rule, key, tier, decision.token))

    async def give_back(self) -> None:
        """Give back the slots that were taken, whatever ended the request; one that fails ends with its lease."""
        while self._slots:
            limits, rule, key, tier, token = self._slots.pop()
            with anyio.CancelScope(shield=True), anyio.move_on_after(_RELEASE_WITHIN_S):
                try:
                    await limits.release(rule.checked_policy, key, token, tier=tier)
                except RateLimitUnavailableError as error:
                    _log.warning("a slot was not given back; it is free when its lease ends", problem=error.message)

    async def key_of(self, key: KeyFunction | None) -> str:
        """Return who the request is counted as: by `key`, else by the guard's, else by the address."""
        for each in (key, self.key):
            found = None if each is None else await resolve_key(each, self.scope)
            if found is not None:
                return found
        return self.ip(self.scope)

    def headers(self) -> Headers:
        """Return the rate-limit fields of the response."""
        if not self.decisions or not self.generations:
            return []
        return rate_limit_headers(infos_of(self.decisions), headers=self.generations, now=self.clock.time())

    def retry_after(self) -> int | None:
        """Return the seconds of `Retry-After`, if something refused the request."""
        refused = [decision for decision in self.decisions if not decision.allowed]
        return max(map(retry_after_of, refused), default=None)


HERE: ContextVar[RequestLimits | None] = ContextVar("undercroft_request_limits", default=None)
_BY_IP = by_ip()


def request_limits() -> RequestLimits:
    """Return those of the request that is being served here.

    Raises:
        NotInRequestError: There is none.
    """
    found = HERE.get()
    if found is None:
        raise NotInRequestError(
            "there is no request here that a limit could count",
            hint="wrap the application in RateLimitGuard or InfraMiddleware; in a test, send a request",
        )
    return found


def limits_in(scope: Scope) -> RequestLimits | None:
    """Return those of a scope, which a guard further out has made."""
    found = scope.get(_NAME)
    return found if isinstance(found, RequestLimits) else None


def plain_limits(scope: Scope, clock: Clock) -> RequestLimits:
    """Return those of a request that no guard sees: counted by its address."""
    state = RequestLimits(scope, clock=clock, ip=_BY_IP, key=_BY_IP)
    state.is_plain = True
    return state
