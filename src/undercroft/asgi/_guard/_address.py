"""Who sent a request: the client's address, behind as many proxies as are ours.

A header is text that the client may write itself. The peer of the connection is a fact, and what the last proxy
appended is one if that proxy is ours; everything to the left of it is hearsay. So the address is the peer's unless
it is said how many proxies, or which ones, stand in front; where the headers do not fit that, it is the peer's again.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Literal

from undercroft.asgi._guard._errors import GuardConfigError
from undercroft.asgi._types import Scope, headers_of

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
ForwardedHeader = Literal["x-forwarded-for", "forwarded"]

UNKNOWN_PEER = "unknown-peer"
"""The key of all clients whose connection has no address, such as those of a unix socket: they share one limit."""
UNIX = "unix"
"""Among trusted proxies: one that connects by a unix socket."""

_REMEMBERED = 4096
_MAX_TEXT = 64
_MAX_PROXIES = 32
_IPV4_WITH_PORT = re.compile(r"([0-9.]+):[0-9]{1,5}")
_IPV6_IN_BRACKETS = re.compile(r"\[([^\[\]]+)\](?::[0-9]{1,5})?")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# RFC 7239 §4; values are taken without quotes too where they should have them, as with a port.
_PAIR = re.compile(r'([A-Za-z0-9!#$%&\'*+.^_`|~-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s",;=]+))')
_GAP = re.compile(r"[ \t]*([,;])[ \t]*")


class ClientAddress:
    """Finds the client's address. Immutable in use; one for each way of being deployed.

    Args:
        trusted_proxies: How many proxies of ours a request passes: with `n`, the client is the n-th from the right in
            the header. The server must then be reachable through them only. Or the networks that they connect from
            (`"unix"` for a unix socket): then the client is the first from the right that is none of these, and the
            header counts only if the peer is one of them.
        header: Which header the proxies append to. The other one is not read.

    Raises:
        GuardConfigError: A number below 0, or something that is no network.
    """

    def __init__(
        self,
        trusted_proxies: int | str | Iterable[str | Network] = 0,
        *,
        header: ForwardedHeader = "x-forwarded-for",
    ) -> None:
        self._count, self._networks, self._trusts_unix = _trusted(trusted_proxies)
        if header not in ("x-forwarded-for", "forwarded"):
            raise GuardConfigError(
                f"header {header!r} is not known for addresses", hint='"x-forwarded-for" or "forwarded"'
            )
        self._header = header.encode("ascii")
        self._parse = functools.lru_cache(_REMEMBERED)(parse_address)

    def __call__(self, scope: Scope) -> Address | None:
        """Return the address; `None` when the connection has none."""
        peer = self._peer_of(scope)
        if self._count:
            return self._by_count(scope, peer)
        return self._by_networks(scope, peer) if self._networks or self._trusts_unix else peer

    def _peer_of(self, scope: Scope) -> Address | None:
        client = scope.get("client")
        return self._parse(str(client[0])) if client else None

    def _by_count(self, scope: Scope, peer: Address | None) -> Address | None:
        entries = self._entries(scope)[-self._count :]
        addresses = [self._parse(entry) for entry in entries]
        is_whole = len(addresses) == self._count and None not in addresses
        return addresses[0] if is_whole else peer

    def _by_networks(self, scope: Scope, peer: Address | None) -> Address | None:
        if not (self._trusts_unix if peer is None else self._is_ours(peer)):
            return peer
        client = peer
        for entry in reversed(self._entries(scope)[-_MAX_PROXIES:]):
            address = self._parse(entry)
            if address is None:
                return peer
            client = address
            if not self._is_ours(address):
                break
        return client

    def _is_ours(self, address: Address) -> bool:
        return any(address in network for network in self._networks)

    def _entries(self, scope: Scope) -> Sequence[str]:
        text = ",".join(headers_of(scope, self._header))
        if not text:
            return ()
        return _forwarded_for(text) if self._header == b"forwarded" else text.split(",")


def parse_address(text: str) -> Address | None:
    """Return the address in `text`, without port, brackets and zone; `None` when it is none.

    One address has one form: IPv4 inside IPv6 (`::ffff:192.0.2.1`, `64:ff9b::/96` of RFC 6052) is that IPv4 address.
    """
    text = text.strip(" \t")
    if len(text) > _MAX_TEXT:
        return None
    for form in (_IPV4_WITH_PORT, _IPV6_IN_BRACKETS):
        match = form.fullmatch(text)
        if match is not None:
            text = match[1]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address


def parse_network(text: str | Network) -> Network:
    """Return a network from `192.0.2.0/24`, or from a single address.

    Raises:
        GuardConfigError: It is none.
    """
    try:
        return ipaddress.ip_network(text)
    except ValueError as exc:
        raise GuardConfigError(
            f"{str(text)!r} is not a network", hint="such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32"
        ) from exc


def address_key(address: Address | None, *, ipv6_prefix: int = 64) -> str:
    """Return what an address is counted as: whoever has an IPv6 /64 has 2**64 addresses in it, and is one client."""
    if address is None:
        return UNKNOWN_PEER
    if isinstance(address, ipaddress.IPv4Address) or ipv6_prefix == 128:
        return str(address)
    kept = int(address) >> (128 - ipv6_prefix) << (128 - ipv6_prefix)
    return f"{ipaddress.IPv6Address(kept)}/{ipv6_prefix}"


def _trusted(option: int | str | Iterable[str | Network]) -> tuple[int, tuple[Network, ...], bool]:
    if isinstance(option, int):
        if isinstance(option, bool) or not 0 <= option <= _MAX_PROXIES:
            raise GuardConfigError(
                f"trusted_proxies {option!r} is not a number of proxies",
                hint="0 when clients connect directly, 1 behind one proxy of yours; or a list of their networks",
            )
        return option, (), False
    entries = (option,) if isinstance(option, str) else tuple(option)
    return 0, tuple(parse_network(entry) for entry in entries if entry != UNIX), UNIX in entries


def _forwarded_for(text: str) -> list[str]:
    """Return `for` of each element of a `Forwarded` header; empty text where an element has none, or two.

    Nothing at all if the header breaks the grammar anywhere: a quote that a client opens must not swallow what our
    proxy appends.
    """
    elements: list[list[str]] = [[]]
    at = 0
    while True:
        pair = _PAIR.match(text, at)
        if pair is None:
            return []
        if pair[1].lower() == "for":
            value = pair[3] if pair[2] is None else re.sub(r"\\(.)", r"\1", pair[2])
            elements[-1].append(value)
        at = pair.end()
        if at == len(text):
            break
        gap = _GAP.match(text, at)
        if gap is None:
            return []
        if gap[1] == ",":
            elements.append([])
        at = gap.end()
    return [element[0] if len(element) == 1 else "" for element in elements]
