"""Limits on single routes: a decorator, a dependency, and the way out of the guard's."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Literal, ParamSpec, TypeVar, cast

from undercroft._core.errors import UndercroftError
from undercroft.asgi._guard._errors import GuardConfigError, NotInRequestError
from undercroft.asgi._guard._here import HERE, RequestLimits, request_limits
from undercroft.asgi._guard._keys import KeyFunction
from undercroft.asgi._guard._routes import EXEMPT
from undercroft.asgi._guard._rules import Cost, LimitRule, PolicyLike, Tier
from undercroft.ratelimit import RateLimits

P = ParamSpec("P")
R = TypeVar("R")
_LONGEST_NAME = 64


def rate_limit(
    policy: PolicyLike,
    *,
    key: KeyFunction | None = None,
    cost: Cost = 1,
    tier: Tier | None = None,
    status: Literal[429, 402] = 429,
    name: str | None = None,
    limits: RateLimits | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Limit one route, below the framework's own decorator:

        @app.post("/login")
        @rate_limit("5/15m")
        async def login(form: Login) -> Session: ...

    For FastAPI, Starlette and Litestar, and whatever else calls a function for a request inside of `RateLimitGuard` or
    `InfraMiddleware`. It counts after the framework has routed, read and checked what the function's parameters need,
    so put what must not be reached at all behind a rule of the guard. The function keeps its signature. A function that
    is not async is limited from its thread. Clients on the guard's allow list are not counted.

    Args:
        policy: A rate such as `"5/15m"`, a `RatePolicy`, or the name of one.
        key, cost, tier, status: As in `LimitRule`; the key is by default the guard's, else the address.
        name: What a rate is counted under: by default the function's module and name. Give one if it may be renamed.
        limits: Where to count; by default the guard's, else those of the bound `Infra`.

    The wrapper raises `RateLimitedError` (429), `RateLimitUnavailableError` (503), `NotInRequestError`.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        rule = LimitRule(policy=policy, key=key, cost=cost, tier=tier, status=status, name=name or _name_of(function))
        return _before(function, functools.partial(_take, rule, limits))

    return decorate


def rate_limited(
    policy: PolicyLike,
    *,
    key: KeyFunction | None = None,
    cost: Cost = 1,
    tier: Tier | None = None,
    status: Literal[429, 402] = 429,
    name: str | None = None,
    limits: RateLimits | None = None,
) -> Callable[[], Awaitable[None]]:
    """Return a function that counts the request it is called in: `Depends(rate_limited("login"))` of FastAPI.

    As `rate_limit`; a rate needs a `name`.
    """
    is_named = name is not None or not isinstance(policy, str) or "/" not in policy
    if not is_named:
        raise GuardConfigError(
            f"a limit of {policy!r} has no name to count under", hint='rate_limited("5/15m", name="login")'
        )
    rule = LimitRule(policy=policy, key=key, cost=cost, tier=tier, status=status, name=name)

    async def take() -> None:
        await _take(rule, limits, request_limits())

    return take


def bypass_rate_limit(function: Callable[P, R]) -> Callable[P, R]:
    """Exempt a route from the guard's rules, below the framework's own decorator.

    The guard asks the routes of Starlette and FastAPI which of them a request is for; `skip=` of the guard does the
    same by path, for any framework. Where the guard could not ask, and has counted the request, the route raises
    `GuardConfigError`: an exemption that has no effect is not kept quiet. Limits of `@rate_limit` are not lifted, nor
    is the deny list.
    """

    async def check(state: RequestLimits) -> None:
        if state.decisions and not state.is_exempt:
            raise GuardConfigError(
                f"{_name_of(function)} is exempt, and was counted: the guard cannot ask this framework for its routes",
                hint='exempt it by path: RateLimitGuard(app, skip=["/the-path$"], …)',
            )

    wrapped = _before(function, check, is_request_needed=False)
    setattr(wrapped, EXEMPT, True)
    return wrapped


async def _take(rule: LimitRule, limits: RateLimits | None, state: RequestLimits) -> None:
    if state.is_exempt:
        return
    try:
        await state.take(rule, limits)
    except UndercroftError as error:
        state.refusal = error  # a framework that does not know the error answers with a bare 500
        raise


def _before(
    function: Callable[P, R], act: Callable[[RequestLimits], Awaitable[None]], *, is_request_needed: bool = True
) -> Callable[P, R]:
    """Return `function`, with `act` before it, in the same colour."""
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def after_act(*args: P.args, **kwargs: P.kwargs) -> Any:
            state = request_limits() if is_request_needed else HERE.get()
            if state is not None:
                await act(state)
            return await cast("Awaitable[Any]", function(*args, **kwargs))

        return cast("Callable[P, R]", after_act)

    @functools.wraps(function)
    def after_act_in_thread(*args: P.args, **kwargs: P.kwargs) -> R:
        state = request_limits() if is_request_needed else HERE.get()
        if state is not None:
            _run_in_loop(act, state, what=_name_of(function))
        return function(*args, **kwargs)

    return after_act_in_thread


def _run_in_loop(act: Callable[[RequestLimits], Awaitable[None]], state: RequestLimits, *, what: str) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise NotInRequestError(
            f"{what} is not async and runs in the event loop, where a limit cannot be waited for",
            hint="make it async, or have the framework run it in a thread (Litestar: sync_to_thread=True)",
        )

    async def acted() -> None:
        await act(state)

    asyncio.run_coroutine_threadsafe(acted(), state.loop).result()


def _name_of(function: Callable[..., Any]) -> str:
    name = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', 'route')}"
    plain = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "_.") else "-" for letter in name)
    return plain[-_LONGEST_NAME:].lstrip(".-") or "route"
