"""Which limit is for which requests, and who is counted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from undercroft._core.durations import Duration, DurationError, to_seconds
from undercroft.asgi._guard._errors import GuardConfigError
from undercroft.asgi._guard._keys import KeyFunction
from undercroft.asgi._guard._paths import Paths
from undercroft.asgi._route import method_of
from undercroft.asgi._types import Scope
from undercroft.ratelimit import API_RATE_LIMIT, AUTH_RATE_LIMIT, RatePolicy, SlidingWindow

PolicyLike = str | RatePolicy
"""A policy, the name of one that the limits know, or a rate such as `"100/m"`, counted over a sliding window."""
Cost = int | Callable[[Scope], int | Awaitable[int]]
Tier = str | Callable[[Scope], str | Awaitable[str | None] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRule:
    """A limit for some requests. Immutable.

        LimitRule(policy="20/m", paths="/search", methods="GET", key=by_user(), cost=search_cost)

    Raises:
        GuardConfigError: A path, a method, a cost or a status is not valid.
    """

    policy: PolicyLike
    """What the limit is. A rate needs `name`, unless it is for one path only."""
    paths: str | tuple[str, ...] = "/"
    """`/api` is itself and all below it, by whole segments; `/api$` itself alone; `*` any one segment."""
    methods: str | tuple[str, ...] = ()
    """Such as `POST`, or `WEBSOCKET` for handshakes; all by default. `GET` stands for `HEAD` too."""
    key: KeyFunction | None = None
    """Who is counted; by default as the guard says."""
    cost: Cost = 1
    """What a request takes from the limit, a whole number, or a function of the scope."""
    tier: Tier | None = None
    """Which tier of the policy; a function of the scope returns `None` for those without one."""
    skip: Callable[[Scope], bool] | None = None
    """Tells which requests the rule is not for; they go on to the next rule."""
    status: Literal[429, 402] = 429
    """What a refusal is answered with: 402 says that more can be bought."""
    name: str | None = None
    """Of a policy that is given as a rate: it stands in the fields, and what is counted is kept under it."""
    _paths: Paths = field(init=False, repr=False, compare=False)
    _methods: frozenset[str] = field(init=False, repr=False, compare=False)
    _policy: PolicyLike = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.status not in (429, 402):
            raise GuardConfigError(f"status {self.status!r} of a rule is neither 429 nor 402")
        if isinstance(self.cost, int) and self.cost < 1:
            raise GuardConfigError(f"cost {self.cost!r} of a rule is not a whole number above 0")
        paths = Paths(self.paths, is_lenient=True)
        object.__setattr__(self, "_paths", paths)
        object.__setattr__(self, "_methods", _methods(self.methods))
        object.__setattr__(self, "_policy", policy_of(self.policy, name=self.name or _name_of(paths)))

    @property
    def checked_policy(self) -> PolicyLike:
        """What the limits are asked: a policy, or the name of one."""
        return self._policy

    def is_for(self, scope: Scope, path: str) -> bool:
        """Tell whether the rule is for a request; `path` is its path below the mount."""
        if self._methods and method_of(scope) not in self._methods:
            return False
        return self._paths.match(path) and not (self.skip is not None and self.skip(scope))

    async def cost_of(self, scope: Scope) -> int:
        """Return what a request takes."""
        if isinstance(self.cost, int):
            return self.cost
        cost = self.cost(scope)
        return cost if isinstance(cost, int) else await cost

    async def tier_of(self, scope: Scope) -> str | None:
        """Return the tier of a request."""
        if self.tier is None or isinstance(self.tier, str):
            return self.tier
        tier = self.tier(scope)
        return tier if tier is None or isinstance(tier, str) else await tier


def auth_rule(
    paths: str | tuple[str, ...], *, key: KeyFunction | None = None, methods: str | tuple[str, ...] = ()
) -> LimitRule:
    """Return the rule for sign-in and the like: 5 in 15 minutes (`AUTH_RATE_LIMIT`); refuses when the store is away."""
    return LimitRule(policy=AUTH_RATE_LIMIT, paths=paths, key=key, methods=methods)


def api_rule(
    paths: str | tuple[str, ...] = "/", *, key: KeyFunction | None = None, methods: str | tuple[str, ...] = ()
) -> LimitRule:
    """Return the rule for an API: 100 a minute (`API_RATE_LIMIT`); each process counts alone when the store is away."""
    return LimitRule(policy=API_RATE_LIMIT, paths=paths, key=key, methods=methods)


def policy_of(policy: PolicyLike, *, name: str | None) -> PolicyLike:
    """Return a policy, or the name of one, from what may also be a rate.

    Raises:
        GuardConfigError: It is a rate, and there is no name for it.
    """
    if not isinstance(policy, str):
        return policy
    rate = read_rate(policy)
    if rate is None:
        return policy  # a name: whether it is known, only the limits can tell
    if name is None:
        raise GuardConfigError(
            f"a rule of {policy!r} for several paths has no name to count under", hint='give it name="api"'
        )
    return RatePolicy(name, SlidingWindow(*rate))


def read_rate(text: str) -> tuple[int, Duration] | None:
    """Return the count and the time of a rate such as `5/15m`, `100/m` or `50/s`; `None` when the text is none."""
    count, slash, per = text.replace(" ", "").partition("/")
    per = f"1{per}" if per in ("s", "m", "h", "d", "w") else per
    if not slash or not count.isascii() or not count.isdigit() or int(count) < 1:
        return None
    try:
        return (int(count), per) if to_seconds(per) > 0 else None
    except DurationError:
        return None


def _name_of(paths: Paths) -> str | None:
    if len(paths.texts) != 1:
        return None
    plain = "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in paths.texts[0])
    return plain.strip("-")[:64] or "all"


def _methods(option: str | Iterable[str]) -> frozenset[str]:
    methods = {name.upper() for name in ((option,) if isinstance(option, str) and option else option)}
    if not all(name.isalpha() for name in methods):
        raise GuardConfigError(f"methods {option!r} are not names of methods", hint='such as "POST" or ("GET", "POST")')
    return frozenset(methods | ({"HEAD"} if "GET" in methods else set()))
