"""Protection from floods: ceilings, a penalty box, and less work when there is too much."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.durations import Duration, to_seconds
from undercroft._core.errors import UndercroftError
from undercroft.asgi._guard._address import Network, address_key, parse_address
from undercroft.asgi._guard._answers import send_refusal
from undercroft.asgi._guard._buckets import Buckets
from undercroft.asgi._guard._counts import GuardCounts
from undercroft.asgi._guard._errors import ClientBlockedError, ClientDeniedError, GuardConfigError, OverloadedError
from undercroft.asgi._guard._keys import by_ip
from undercroft.asgi._guard._lag import LagMeter, Shedder
from undercroft.asgi._guard._lists import ClientList, Clients, Listed, SecretBypass
from undercroft.asgi._guard._paths import Paths
from undercroft.asgi._guard._penalty import PenaltyBox
from undercroft.asgi._guard._probes import is_probe
from undercroft.asgi._guard._rules import read_rate
from undercroft.asgi._guard._sharing import SharedBlocks
from undercroft.asgi._types import AnyASGIApp, ASGIApp, Receive, Scope, Send, path_below_mount
from undercroft.logging import Logger
from undercroft.ratelimit import RateLimits

_LINES_AT_ONCE, _LINES_A_SECOND = 5.0, 0.1
_log = Logger(module="undercroft.asgi.guard")
Refusal = tuple[str, UndercroftError]
"""What is counted, and what is answered."""


class DDoSProtection:
    """Stand before floods: `app = DDoSProtection(app, per_client="50/s", global_="1000/s")`.

    Pure ASGI, for HTTP requests and the handshakes of websockets. It decides by this process's memory alone, so that a
    refused request costs nothing but its answer; of several processes each has ceilings of its own. Clients are
    addresses (an IPv6 /64 is one). What is refused:

    - a client in the penalty box, and one above `per_client`: 429, type `abnormal-usage-detected`. After `strikes`
      refusals without a pause it goes into the box: for `block`, then each time `growth` times longer, to `max_block`.
    - what is above `global_`, and a growing share of all requests while the event loop runs later than `max_lag`: 503,
      type `temporary-reduced-capacity`.

    `Retry-After` is always set, bodies are not read. `/livez`, `/readyz`, `/startupz`, `/health` and `/metrics` always
    pass. The deny list is looked at first, then the allow list and the bypass, then the box. It cannot help against
    what fills the network before it: that is for whoever is in front of the server.

    Args:
        app: The application.
        per_client: Ceiling of one client, such as `"50/s"`: that many at once, and as many in the long run.
        global_: Ceiling of all clients together, in this process. `None` for none.
        strikes: Refusals after which a client is blocked; forgotten once it could send `per_client` at once again.
        block, growth, max_block, forget_after: Of the penalty box; see `PenaltyBox`.
        max_lag: How late the event loop may run. `None` sheds nothing.
        max_clients: How many clients are remembered, and how many blocks; those seen longest ago are forgotten.
        share: The limits of whose store blocks are shared with other processes; `True` for those of the bound `Infra`
            (put the protection inside of `InfraMiddleware` then). The store is written when a block begins.
        box: A box that something else holds too, such as a page for operators.
        trusted_proxies, ipv6_prefix, allow, deny, bypass, skip, api_key_header: As in `RateLimitGuard`.
        clock, chance: For tests.

    Raises:
        GuardConfigError: An option is not valid.

    Lives as long as the application.
    """

    def __init__(
        self,
        app: AnyASGIApp,
        *,
        per_client: str = "50/s",
        global_: str | None = "1000/s",
        strikes: int = 20,
        block: Duration = "1m",
        growth: float = 2.0,
        max_block: Duration = "1h",
        forget_after: Duration = "1h",
        max_lag: Duration | None = "100ms",
        max_clients: int = 100_000,
        share: RateLimits | bool = False,
        box: PenaltyBox | None = None,
        trusted_proxies: int | str | Iterable[str | Network] = 0,
        ipv6_prefix: int = 64,
        allow: Clients | Iterable[str] | Listed | None = None,
        deny: Clients | Iterable[str] | Listed | None = None,
        bypass: Mapping[str, str] | None = None,
        skip: str | Iterable[str] = (),
        api_key_header: str = "x-api-key",
        clock: Clock | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.app: ASGIApp = app
        self._clock = clock or SystemClock()
        if box is None:
            box = PenaltyBox(
                clock=self._clock,
                block=block,
                growth=growth,
                max_block=max_block,
                forget_after=forget_after,
                limit=max_clients,
            )
        self.box = box
        if strikes < 1 or max_clients < 1:
            raise GuardConfigError(f"strikes {strikes!r} and max_clients {max_clients!r} must both be at least 1")
        self._strikes = strikes
        self._clients = _buckets(per_client, max_clients)
        self._all = None if global_ is None else _buckets(global_, 1)
        self._shedder = None if max_lag is None else Shedder(to_seconds(max_lag, name="max_lag"))
        self._lag = LagMeter()
        self._prefix = ipv6_prefix
        self._ip = by_ip(trusted_proxies, ipv6_prefix=ipv6_prefix)
        self._allow = ClientList(allow, ip=self._ip, user=None, api_key_header=api_key_header)
        self._deny = ClientList(deny, ip=self._ip, user=None, api_key_header=api_key_header)
        self._bypass = SecretBypass(bypass)
        self._skip = Paths(skip, is_lenient=False)
        self._chance = chance
        self._counts = GuardCounts()
        self._allowed_by_hand: dict[str, float] = {}
        self._lines = Buckets(_LINES_AT_ONCE, _LINES_A_SECOND, limit=3)
        longest_s = to_seconds(max_block, name="max_block")
        limits = share if isinstance(share, RateLimits) else None
        self._shared = SharedBlocks(self.box, limits, longest_s=longest_s, clock=self._clock) if share else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if scope["type"] in ("http", "websocket"):
            refusal = await self._refusal(scope)
            if refusal is not None:
                reason, error = refusal
                self._counts.refused(reason)
                await send_refusal(scope, send, error)
                return
        await self.app(scope, receive, send)

    async def block(self, address: str, duration: Duration) -> None:
        """Block a client by hand, here and, with `share`, in the other processes.

        Raises:
            GuardConfigError: It is no address.
        """
        key = self._key(address)
        self.box.block(key, duration)
        if self._shared is not None:
            await self._shared.tell(key, to_seconds(duration))

    async def unblock(self, address: str) -> bool:
        """Let a client go, and forget its offences; return whether it was blocked here.

        Raises:
            GuardConfigError: It is no address.
            RateLimitUnavailableError: With `share`: the others may not know.
        """
        key = self._key(address)
        was_blocked = self.box.unblock(key)
        self._clients.forget(key)
        if self._shared is not None:
            await self._shared.forget(key)
        return was_blocked

    def allow(self, address: str, duration: Duration) -> None:
        """Let a client through for a while, whatever it does, in this process."""
        self._allowed_by_hand[self._key(address)] = self._clock.monotonic() + to_seconds(duration, name="duration")

    def list_blocked(self, *, limit: int = 100) -> dict[str, float]:
        """Return who is blocked, as `ip:…`, with the seconds that are left, the longest first."""
        return self.box.list_blocked(limit=limit)

    @property
    def clients(self) -> int:
        """How many clients are remembered; never more than `max_clients`."""
        return len(self._clients)

    async def _refusal(self, scope: Scope) -> Refusal | None:
        path = path_below_mount(scope)
        if is_probe(scope, path) or self._skip.match(path):
            return None
        if await self._deny.has(scope):
            return "denied", ClientDeniedError("this client may not use the application")
        key = self._ip(scope)
        if self._is_allowed_by_hand(key) or self._bypass.has(scope) or await self._allow.has(scope):
            return None
        if self._shared is not None:
            await self._shared.read()
        left_s = self.box.blocked_for(key)
        if left_s > 0:
            return "blocked", ClientBlockedError("this client is blocked", policy="client", retry_after=left_s)
        return self._shed() or await self._above_ceiling(key)

    async def _above_ceiling(self, key: str) -> Refusal | None:
        now = self._clock.monotonic()
        wait_s = self._clients.take(key, now)
        if wait_s > 0:
            if self._clients.strikes(key) >= self._strikes:
                wait_s = await self._block(key)
            error = ClientBlockedError("this client sends too much", policy="client", retry_after=wait_s)
            return "client", error
        wait_s = 0.0 if self._all is None else self._all.take("", now)
        if wait_s > 0:
            self._tell("more requests come than the ceiling of all clients allows")
            return "global", OverloadedError("too many requests", policy="global", retry_after=wait_s)
        return None

    async def _block(self, key: str) -> float:
        seconds = self.box.offend(key)
        self._clients.forget(key)
        self._counts.blocked(len(self.box))
        self._tell("a client is blocked: it kept sending above its ceiling", client=key, seconds=round(seconds))
        if self._shared is not None:
            await self._shared.tell(key, seconds)
        return seconds

    def _shed(self) -> Refusal | None:
        if self._shedder is None:
            return None
        lag_s = self._lag.measure()
        share = self._shedder.share(lag_s)
        if not share or self._chance() >= share:
            return None
        self._tell("the event loop runs late; a share of the requests is refused", lag_ms=round(lag_s * 1000))
        # Spread: those who are sent away together must not come back together.
        wait_s = 1 + 4 * self._chance()
        return "lag", OverloadedError("too much to do at the moment", policy="lag", retry_after=wait_s)

    def _tell(self, what: str, **fields: object) -> None:
        # A flood must not become one of lines.
        if self._lines.take(what, self._clock.monotonic()) == 0:
            _log.warning(what, **fields)

    def _is_allowed_by_hand(self, key: str) -> bool:
        until = self._allowed_by_hand.get(key)
        if until is None:
            return False
        if until <= self._clock.monotonic():
            del self._allowed_by_hand[key]
            return False
        return True

    def _key(self, text: str) -> str:
        address = parse_address(text.removeprefix("ip:").partition("/")[0])
        if address is None:
            raise GuardConfigError(f"{text!r} is not an address", hint="such as 192.0.2.7 or 2001:db8::7")
        return f"ip:{address_key(address, ipv6_prefix=self._prefix)}"


def _buckets(rate: str, limit: int) -> Buckets:
    read = read_rate(rate)
    if read is None:
        raise GuardConfigError(f"{rate!r} is not a rate above 0", hint='such as "50/s" or "600/m"')
    count, per = read
    return Buckets(count, count / to_seconds(per), limit=limit)
