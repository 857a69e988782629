"""Who is always let through, and who never."""

from __future__ import annotations

import functools
import hmac
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from undercroft.asgi._guard._address import Address, Network, parse_network
from undercroft.asgi._guard._errors import GuardConfigError
from undercroft.asgi._guard._keys import IpKey, KeyFunction, fingerprint_of_api_key, resolve_key
from undercroft.asgi._types import Scope, headers_of

Listed = Callable[[Scope], bool | Awaitable[bool]]
"""Tells whether a request is on a list; asked for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """Clients by what they are known as. Immutable. An empty one has nobody on it."""

    ips: Iterable[str | Network] = ()
    """Addresses and networks, such as `192.0.2.7` and `2001:db8::/32`; compared with the whole address."""
    users: Iterable[str] = ()
    """Ids of users, without `user:`. The guard's `user` says who somebody is."""
    api_keys: Iterable[str] = ()
    """Fingerprints (`undercroft.ratelimit.fingerprint(key)`), never the keys themselves."""


class ClientList:
    """A list that requests are compared with. Immutable.

    Raises:
        GuardConfigError: An entry that is no network, or a fingerprint that is none.
    """

    def __init__(
        self,
        listed: Clients | Iterable[str] | Listed | None,
        *,
        ip: IpKey,
        user: KeyFunction | None,
        api_key_header: str,
    ) -> None:
        self._ask = listed if callable(listed) else None
        clients = Clients() if listed is None or callable(listed) else _clients(listed)
        self._networks = tuple(parse_network(text) for text in clients.ips)
        self._users = frozenset(f"user:{name}" for name in clients.users)
        self._fingerprints = frozenset(_fingerprint(text) for text in clients.api_keys)
        self._ip = ip
        self._user = user
        self._header = api_key_header.lower().encode("latin-1")
        self._is_in_networks = functools.lru_cache(4096)(self._has_address)
        if self._users and user is None:
            raise GuardConfigError(
                "a list has users, and the guard does not know who they are", hint="give it user=by_user()"
            )

    async def has(self, scope: Scope) -> bool:
        """Tell whether a request is on the list."""
        if self._networks and self._is_in_networks(self._ip.address_of(scope)):
            return True
        if self._fingerprints and fingerprint_of_api_key(scope, self._header) in self._fingerprints:
            return True
        if self._users and self._user is not None and await resolve_key(self._user, scope) in self._users:
            return True
        return self._ask is not None and await _answer(self._ask, scope)

    def _has_address(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)


class SecretBypass:
    """Requests that carry a secret value in a header. Compared in constant time; never logged.

    Args:
        headers: Name and value of each. Short values can be guessed, so they are refused.

    Raises:
        GuardConfigError: A value of fewer than 16 characters.
    """

    def __init__(self, headers: Mapping[str, str] | None) -> None:
        self._wanted = tuple(
            (name.lower().encode("latin-1"), value.encode()) for name, value in (headers or {}).items()
        )
        for name, value in self._wanted:
            if len(value) < 16:
                raise GuardConfigError(
                    f"the secret of the bypass header {name.decode('latin-1')!r} is shorter than 16 characters",
                    hint="make one: python -c 'import secrets; print(secrets.token_urlsafe())'",
                )

    def has(self, scope: Scope) -> bool:
        """Tell whether a request carries one of them."""
        return any(
            hmac.compare_digest(value.encode("latin-1"), wanted)
            for name, wanted in self._wanted
            for value in headers_of(scope, name)
        )


async def _answer(ask: Listed, scope: Scope) -> bool:
    answer = ask(scope)
    return answer if isinstance(answer, bool) else bool(await answer)


def _clients(listed: Clients | Iterable[str]) -> Clients:
    if isinstance(listed, Clients):
        return listed
    return Clients(ips=(listed,) if isinstance(listed, str) else tuple(listed))


def _fingerprint(text: str) -> str:
    if len(text) != 32 or not set(text) <= set("0123456789abcdef"):
        # The value is not shown: it may be the key itself.
        raise GuardConfigError(
            "an entry of api_keys is not a fingerprint", hint="list undercroft.ratelimit.fingerprint(key), not the key"
        )
    return text
