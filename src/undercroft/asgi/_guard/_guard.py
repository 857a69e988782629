"""The guard: who may ask how often."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from undercroft._core.clock import Clock, SystemClock
from undercroft.asgi._guard._address import Network
from undercroft.asgi._guard._answers import send_refusal, serve_limited
from undercroft.asgi._guard._counts import GuardCounts
from undercroft.asgi._guard._errors import ClientDeniedError, GuardConfigError, TooCostlyError
from undercroft.asgi._guard._fields import Generation, generations_of
from undercroft.asgi._guard._here import DEFAULT_HEADERS, RequestLimits, limits_in
from undercroft.asgi._guard._keys import IpKey, KeyFunction, by_ip
from undercroft.asgi._guard._lists import ClientList, Clients, Listed, SecretBypass
from undercroft.asgi._guard._paths import Paths
from undercroft.asgi._guard._probes import is_probe
from undercroft.asgi._guard._routes import ExemptRoutes
from undercroft.asgi._guard._rules import Cost, LimitRule, PolicyLike, Tier
from undercroft.asgi._types import AnyASGIApp, ASGIApp, Receive, Scope, Send, path_below_mount
from undercroft.ratelimit import RateLimitedError, RateLimits, RateLimitUnavailableError


class RateLimitGuard:
    """Limit requests before they reach an application: `app = RateLimitGuard(app, rules=[auth_rule("/login"), …])`.

    Pure ASGI, for HTTP requests and the handshakes of websockets; fits `app.add_middleware(RateLimitGuard, …)` too. Of
    the rules the **first** that is for a request decides, and no other; a request that no rule is for is not limited.
    To have several limits at once, give a policy several. Refused requests get a problem document with 429 (or 402)
    and `Retry-After`; their bodies are not read. What a policy does when its store is away (`fail`), it does here; when
    that is `closed`, the answer is 503. Every answer to a limited request carries the rate-limit fields.

    `/livez`, `/readyz`, `/startupz`, `/health` and `/metrics` are never limited. The deny list is looked at first, then
    the allow list and the bypass; only then the rules.

    Args:
        app: The application.
        limits: Where to count; by default those of the bound `Infra`, so put the guard inside of `InfraMiddleware`.
        policy: One limit for all requests, after `rules`.
        rules: Limits by path and method.
        key: Who is counted where a rule does not say: by default the address. Where a key function cannot say, the
            address is counted as well: who leaves a key out is not free.
        trusted_proxies: As in `by_ip`, for everything here that needs an address.
        ipv6_prefix: Likewise.
        user: Who is signed in, for lists that have users.
        allow: Who is never limited: networks, `Clients(…)`, or a function of the scope.
        deny: Who is answered with 403, likewise. Wins over `allow`.
        bypass: Headers with secret values whose bearers are not limited, such as a monitor of yours.
        skip: Paths that are not limited, with the patterns of `LimitRule.paths`.
        api_key_header: Where lists look for API keys.
        headers: Which fields to write: a generation by its number, several, or `off`. `Retry-After` is always written.
        cost, tier, status, name: Of `policy`, as in `LimitRule`.
        clock: For tests.

    Raises:
        GuardConfigError: An option is not valid.

    Lives as long as the application. Requests that are being served by it count for slots until they are over.
    """

    def __init__(
        self,
        app: AnyASGIApp,
        limits: RateLimits | None = None,
        *,
        policy: PolicyLike | None = None,
        rules: Iterable[LimitRule] = (),
        key: KeyFunction | None = None,
        trusted_proxies: int | str | Iterable[str | Network] = 0,
        ipv6_prefix: int = 64,
        user: KeyFunction | None = None,
        allow: Clients | Iterable[str] | Listed | None = None,
        deny: Clients | Iterable[str] | Listed | None = None,
        bypass: Mapping[str, str] | None = None,
        skip: str | Iterable[str] = (),
        api_key_header: str = "x-api-key",
        headers: Generation | Iterable[Generation] = DEFAULT_HEADERS,
        cost: Cost = 1,
        tier: Tier | None = None,
        status: Literal[429, 402] = 429,
        name: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.app: ASGIApp = app
        self._limits = limits
        self._ip = key if isinstance(key, IpKey) else by_ip(trusted_proxies, ipv6_prefix=ipv6_prefix)
        self._key = key or self._ip
        last = [] if policy is None else [LimitRule(policy=policy, cost=cost, tier=tier, status=status, name=name)]
        self._rules = (*rules, *last)
        self._allow = ClientList(allow, ip=self._ip, user=user, api_key_header=api_key_header)
        self._deny = ClientList(deny, ip=self._ip, user=user, api_key_header=api_key_header)
        self._bypass = SecretBypass(bypass)
        self._skip = Paths(skip, is_lenient=False)
        self._generations = generations_of(headers)
        self._clock = clock or SystemClock()
        self._counts = GuardCounts()
        self._routes = ExemptRoutes(app)
        for rule in self._rules:
            if not isinstance(rule, LimitRule):
                raise GuardConfigError(f"{rule!r} is not a rule", hint='LimitRule(policy="100/m", paths="/api")')

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        state = limits_in(scope)  # the outermost one writes the fields
        is_outermost = state is None or state.is_plain
        if state is None or is_outermost:
            state = self._state(scope)
        await self._serve(state, self._app_of(state, is_outermost), receive, send)

    def _state(self, scope: Scope) -> RequestLimits:
        return RequestLimits(
            scope,
            clock=self._clock,
            ip=self._ip,
            key=self._key,
            limits=self._limits,
            generations=self._generations,
        )

    async def _serve(self, state: RequestLimits, app: ASGIApp, receive: Receive, send: Send) -> None:
        scope, path = state.scope, path_below_mount(state.scope)
        if is_probe(scope, path) or self._skip.match(path):
            await app(scope, receive, send)
        elif await self._deny.has(scope):
            self._counts.refused("denied")
            await send_refusal(scope, send, ClientDeniedError("this client may not use the application"))
        elif self._bypass.has(scope) or await self._allow.has(scope):
            state.is_exempt = True
            await app(scope, receive, send)
        else:
            rule = next((rule for rule in self._rules if rule.is_for(scope, path)), None)
            if rule is None or self._routes.is_exempt(scope):
                await app(scope, receive, send)
            else:
                await self._limit(rule, state, app, receive, send)

    async def _limit(self, rule: LimitRule, state: RequestLimits, app: ASGIApp, receive: Receive, send: Send) -> None:
        try:
            await state.take(rule)
        except (RateLimitedError, RateLimitUnavailableError, TooCostlyError) as error:
            self._counts.refused("unavailable" if isinstance(error, RateLimitUnavailableError) else "limited")
            await send_refusal(state.scope, send, error, fields=state.headers())
        else:
            await app(state.scope, receive, send)

    def _app_of(self, state: RequestLimits, is_outermost: bool) -> ASGIApp:  # of this class only
        if not is_outermost:
            return self.app

        async def app(_: Scope, receive: Receive, send: Send) -> None:
            await serve_limited(self.app, state, receive, send)

        return app
