"""Who a limit counts: functions from a request's scope to a key.

A key that the client may choose freely is no limit: each new one has a full allowance. So a function returns `None`
where it cannot vouch for what it sees, and the guard then counts the client's address.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from undercroft.asgi._guard._address import (
    Address,
    ClientAddress,
    ForwardedHeader,
    Network,
    address_key,
)
from undercroft.asgi._guard._errors import GuardConfigError
from undercroft.asgi._types import Scope, path_below_mount, sole_header
from undercroft.ratelimit import fingerprint

KeyFunction = Callable[[Scope], str | Awaitable[str | None] | None]
"""Returns who a request is counted as; `None` when it cannot say."""

_REMEMBERED = 4096
_LONGEST_API_KEY = 1024


class IpKey:
    """The client's address as a key. Made by `by_ip`."""

    def __init__(self, address: ClientAddress, ipv6_prefix: int) -> None:
        self.address_of = address
        self._write = functools.lru_cache(_REMEMBERED)(functools.partial(_ip_key, ipv6_prefix=ipv6_prefix))

    def __call__(self, scope: Scope) -> str:
        """Return the key."""
        return self._write(self.address_of(scope))


def by_ip(
    trusted_proxies: int | str | Iterable[str | Network] = 0,
    *,
    ipv6_prefix: int = 64,
    header: ForwardedHeader = "x-forwarded-for",
) -> IpKey:
    """Count by the client's address: `ip:192.0.2.7`, `ip:2001:db8::/64`; `ip:unknown-peer` for a unix socket.

    Args:
        trusted_proxies: How many proxies of yours a request passes, or the networks that they connect from. With 0, the
            default, no header is read: the client is whoever holds the connection.
        ipv6_prefix: How many bits of an IPv6 address are one client. Providers give each customer a /64 or more.
        header: `x-forwarded-for`, or `forwarded` (RFC 7239).

    Raises:
        GuardConfigError: A number out of range, or something that is no network.
    """
    if isinstance(ipv6_prefix, bool) or not 16 <= ipv6_prefix <= 128:
        raise GuardConfigError(f"ipv6_prefix {ipv6_prefix!r} is not between 16 and 128", hint="64 fits most networks")
    return IpKey(ClientAddress(trusted_proxies, header=header), ipv6_prefix)


def by_user(get: Callable[[Scope], Any | Awaitable[Any]] | None = None) -> KeyFunction:
    """Count by the user who is signed in: `user:17`; `None` for nobody.

    Args:
        get: Returns the user's id, or `None`. By default `scope["user"]`, as Starlette's and Litestar's authentication
            leave it, if it is authenticated: its `id`, `identity` or `display_name`, else itself if it is text. The
            guard must then be inside of the authentication, or the limit be on the route.
    """

    async def key(scope: Scope) -> str | None:
        user = (get or _user_of)(scope)
        if inspect.isawaitable(user):
            user = await user
        return None if user is None or user == "" else f"user:{user}"

    return key


def by_api_key(is_known: Callable[[str], bool | Awaitable[bool]], *, header: str = "x-api-key") -> KeyFunction:
    """Count by the API key in a header: only its fingerprint is stored, logged and listed. Never read from the query.

    Args:
        is_known: Tells whether the key is one of yours. Required, since a client that may make keys up has a full
            allowance with each; one that is not known is counted by its address. Is asked for every request: keep it
            quick. `lambda key: True` if a gateway in front has checked it already.
        header: Where the key is. `Authorization` may have a scheme before it.
    """
    name = header.lower().encode("latin-1")

    async def key(scope: Scope) -> str | None:
        value = _api_key(scope, name)
        if value is None:
            return None
        known = is_known(value)
        if not isinstance(known, bool):
            known = await known
        return f"key:{fingerprint(value)}" if known else None

    return key


def by_path(key: KeyFunction | None = None) -> KeyFunction:
    """Count each path by itself: `…|/orders`, for each client of `key`, or for all together without one.

    For rules whose paths are few: a client that may make paths up (`/orders/1`, `/orders/2`) has an allowance for each.
    """

    async def with_path(scope: Scope) -> str | None:
        path = path_below_mount(scope)
        if key is None:
            return f"path:{path}"
        of = await resolve_key(key, scope)
        return None if of is None else f"{of}|{path}"

    return with_path


def combined(*keys: KeyFunction) -> KeyFunction:
    """Count by the first of several that knows the client: `combined(by_user(), by_api_key(known), by_ip(1))`."""

    async def first(scope: Scope) -> str | None:
        for each in keys:
            found = await resolve_key(each, scope)
            if found is not None:
                return found
        return None

    return first


async def resolve_key(key: KeyFunction, scope: Scope) -> str | None:
    """Return the key, whether the function is async or not; an empty one is none."""
    found = key(scope)
    if found is not None and not isinstance(found, str):
        found = await found
    return found or None


def fingerprint_of_api_key(scope: Scope, name: bytes) -> str | None:
    """Return the fingerprint of the key in a header, for lists of them."""
    value = _api_key(scope, name)
    return None if value is None else fingerprint(value)


def _ip_key(address: Address | None, *, ipv6_prefix: int) -> str:
    return f"ip:{address_key(address, ipv6_prefix=ipv6_prefix)}"


def _api_key(scope: Scope, name: bytes) -> str | None:
    value = sole_header(scope, name)
    if value is None or not value.strip() or len(value) > _LONGEST_API_KEY:
        return None
    value = value.strip()
    return value.rpartition(" ")[2] if name == b"authorization" else value


def _user_of(scope: Scope) -> object:
    user = scope.get("user")
    if user is None or not getattr(user, "is_authenticated", True):
        return None
    for name in ("id", "identity", "display_name"):
        try:
            value = getattr(user, name, None)
        except NotImplementedError:  # Starlette's SimpleUser has no identity
            continue
        if value not in (None, ""):
            return value
    return user if isinstance(user, str | int) else None
