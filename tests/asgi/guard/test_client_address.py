"""Who a client is, whatever it writes into its headers."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.asgi.guard._limits import from_client, ok, statuses
from undercroft.asgi import RateLimitGuard, by_ip
from undercroft.asgi._guard._address import ClientAddress, address_key, parse_address
from undercroft.asgi._guard._errors import GuardConfigError
from undercroft.ratelimit import RateLimits

PEER = "198.51.100.9"
REAL = "203.0.113.5"
# What an attacker may send to get another key with each request. `{n}` is another text each time.
SPOOFS: list[list[tuple[str, str]]] = [
    [("x-forwarded-for", "10.0.0.{n}")],
    [("x-forwarded-for", "10.0.0.{n}, 10.0.1.{n}, 127.0.0.1")],
    [("x-forwarded-for", "10.0.0.{n}"), ("x-forwarded-for", "10.0.2.{n}")],
    [("X-Forwarded-For", "::ffff:10.0.0.{n}")],
    [("x-forwarded-for", "2001:db8::{n}")],
    [("x-forwarded-for", "[2001:db8::{n}]:1{n}")],
    [("x-forwarded-for", "10.0.0.{n}:80{n}")],
    [("x-forwarded-for", '"10.0.0.{n}"')],
    [("x-forwarded-for", "{n}")],
    [("x-forwarded-for", "unknown{n}, _hidden{n}")],
    [("x-forwarded-for", ",,,{n},,")],
    [("x-forwarded-for", "10.0.0.{n}" + ", 10.9.9.9" * 500)],
    [("x-forwarded-for", "\x00{n}"), ("x-forwarded-for", "%0a{n}")],
    [("x-forwarded-for", "127.0.0.{n}")],
    [("x-real-ip", "10.0.0.{n}")],
    [("x-client-ip", "10.0.0.{n}"), ("true-client-ip", "10.0.0.{n}"), ("cf-connecting-ip", "10.0.0.{n}")],
    [("x-forwarded", "for=10.0.0.{n}"), ("via", "1.1 {n}"), ("forwarded-for", "10.0.0.{n}")],
    [("forwarded", "for=10.0.0.{n}")],
    [("forwarded", 'for="[2001:db8::{n}]:80"')],
    [("forwarded", 'for="10.0.0.{n}')],
    [("forwarded", 'for="10.0.0.{n}, for=')],
    [("forwarded", "for=10.0.0.{n};for=10.0.1.{n}")],
    [("forwarded", 'for=10.0.0.{n}, for="')],
    [("forwarded", 'by="\\')],
    [("forwarded", "for={n};;"), ("forwarded", "for=unknown")],
    [("host", "h{n}"), ("user-agent", "a{n}"), ("x-api-key", "k{n}"), ("cookie", "s={n}"), ("authorization", "b {n}")],
    [("x-forwarded-host", "h{n}"), ("x-forwarded-port", "{n}"), ("x-request-id", "r{n}")],
]


def spoofed(spoof: list[tuple[str, str]], number: int) -> list[tuple[str, str]]:
    return [(name, value.replace("{n}", str(number))) for name, value in spoof]


@pytest.mark.anyio
@pytest.mark.parametrize("spoof", SPOOFS, ids=lambda spoof: spoof[0][0] + "=" + spoof[0][1][:24])
async def test_no_header_of_a_direct_client_gets_it_past_its_limit(
    limits: RateLimits, spoof: list[tuple[str, str]]
) -> None:
    guard = RateLimitGuard(ok, limits, policy="3/m")
    passed = sum([(await statuses(guard, 1, by=PEER, headers=spoofed(spoof, n)))[0] == 200 for n in range(20)])
    assert passed == 3


@pytest.mark.anyio
@pytest.mark.parametrize("proxies", [1, 2, [PEER, "10.9.9.0/24"]], ids=["one", "two", "networks"])
@pytest.mark.parametrize("spoof", SPOOFS, ids=lambda spoof: spoof[0][0] + "=" + spoof[0][1][:24])
async def test_no_header_gets_a_client_behind_proxies_past_its_limit(
    limits: RateLimits, spoof: list[tuple[str, str]], proxies: int | list[str]
) -> None:
    """Each proxy appends who connected to it, on the line of the client or on one of its own."""
    guard = RateLimitGuard(ok, limits, policy="3/m", trusted_proxies=proxies)
    appended = [REAL] if proxies == 1 else [REAL, "10.9.9.1"]
    passed = 0
    for number in range(20):
        headers = spoofed(spoof, number)
        if number % 2:  # joined to the client's own line, as most proxies do
            lines = [value for name, value in headers if name.lower() == "x-forwarded-for"]
            headers = [(name, value) for name, value in headers if name.lower() != "x-forwarded-for"]
            headers.append(("x-forwarded-for", ", ".join([*lines, *appended])))
        else:
            headers += [("x-forwarded-for", each) for each in appended]
        passed += (await statuses(guard, 1, by=PEER, headers=headers)) == [200]
    assert passed == 3


@pytest.mark.parametrize("spoof", [each for each in SPOOFS if each[0][0] == "forwarded"], ids=lambda each: each[0][1])
@pytest.mark.parametrize("real", [f"for={REAL}", 'for="[2001:db8:7::1]:4711";proto=https'])
@pytest.mark.parametrize("is_joined", [True, False])
def test_no_forwarded_header_gets_a_client_more_keys_than_one(
    spoof: list[tuple[str, str]], real: str, is_joined: bool
) -> None:
    """A header that breaks the grammar is counted as the proxy's: one key for all who send such, never one each."""
    keys = set()
    for number in range(20):
        headers = spoofed(spoof, number)
        text = ", ".join([*(value for _, value in headers), real])
        headers = [("forwarded", text)] if is_joined else [*headers, ("forwarded", real)]
        keys.add(by_ip(1, header="forwarded")(from_client(PEER, headers=headers)))
    assert len(keys) == 1
    assert keys <= {f"ip:{PEER}", f"ip:{REAL}", "ip:2001:db8:7::/64"}


@pytest.mark.parametrize(
    ("proxies", "forwarded_for", "expected"),
    [
        (0, "10.0.0.1", PEER),
        (1, REAL, REAL),
        (1, f"10.0.0.1, {REAL}", REAL),
        (2, f"10.0.0.1, {REAL}, 10.9.9.1", REAL),
        (2, REAL, PEER),  # too few: it did not come through both
        (1, "", PEER),
        (1, "unknown", PEER),
        (2, f"{REAL}, garbage", PEER),
        (1, f"{REAL}:4711", REAL),
        (1, "[2001:db8::7]:443", "2001:db8::7"),
        (1, "::ffff:203.0.113.5", REAL),
        ([PEER], REAL, REAL),
        ([PEER], f"{REAL}, {PEER}", REAL),
        (["192.0.2.0/24"], REAL, PEER),  # the peer is none of ours
        ([PEER, "10.0.0.0/8"], f"6.6.6.6, {REAL}, 10.1.1.1", REAL),
        ([PEER, "10.0.0.0/8"], "10.1.1.1, 10.1.1.2", "10.1.1.1"),  # all ours: whoever is furthest
        ([PEER], "garbage", PEER),
    ],
)
def test_the_client_is_the_one_that_our_proxies_saw(
    proxies: int | list[str], forwarded_for: str, expected: str
) -> None:
    headers = [("x-forwarded-for", forwarded_for)] if forwarded_for else []
    assert str(ClientAddress(proxies)(from_client(PEER, headers=headers))) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # RFC 7239 §4, §6, §7.1
        ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
        ('For="[2001:db8:cafe::17]:4711"', "2001:db8:cafe::17"),
        ('for=192.0.2.43, for="[2001:db8:cafe::17]"', "2001:db8:cafe::17"),
        ('for=10.0.0.1;by="a, for=6.6.6.6", for=192.0.2.43', "192.0.2.43"),
        ("for=192.0.2.43:4711", "192.0.2.43"),
        ("for=unknown", PEER),
        ('for="_gazonk"', PEER),
        ("proto=https", PEER),
        ("for=192.0.2.43, proto=https", PEER),
        ('for="192.0.2.43', PEER),
        ("for=192.0.2.43 by=1", PEER),
    ],
)
def test_forwarded_is_read_where_it_is_asked_for(text: str, expected: str) -> None:
    scope = from_client(PEER, headers=[("forwarded", text), ("x-forwarded-for", "6.6.6.6")])
    assert str(ClientAddress(1, header="forwarded")(scope)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7:80", "192.0.2.7"),
        (" 192.0.2.7\t", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::FFFF:c000:207", "192.0.2.7"),
        ("[::ffff:192.0.2.7]:443", "192.0.2.7"),
        ("64:ff9b::192.0.2.7", "192.0.2.7"),
        ("2001:DB8:0:0::7", "2001:db8::7"),
        ("fe80::1%eth0", "fe80::1"),
        ("010.0.0.1", None),  # octal for some
        ("0x7f.1", None),
        ("2130706433", None),
        ("192.0.2.7:", None),
        ("[192.0.2.7", None),
        ("192.0.2.7/24", None),
        ("١٩٢.0.2.7", None),
        ("testclient", None),
        ("", None),
        ("1" * 100_000, None),
    ],
)
def test_one_address_has_one_form(text: str, expected: str | None) -> None:
    found = parse_address(text)
    assert (None if found is None else str(found)) == expected


@given(st.text(max_size=80))
def test_any_text_is_an_address_or_none(text: str) -> None:
    parse_address(text)


@given(st.ip_addresses(v=6), st.ip_addresses(v=6))
def test_an_ipv6_network_is_one_client(one: ipaddress.IPv6Address, other: ipaddress.IPv6Address) -> None:
    same = ipaddress.IPv6Network((one, 64), strict=False) == ipaddress.IPv6Network((other, 64), strict=False)
    assert (address_key(one) == address_key(other)) == same


def test_addresses_are_counted_by_names_that_say_what_they_are() -> None:
    key = by_ip()
    assert key(from_client("192.0.2.7")) == "ip:192.0.2.7"
    assert key(from_client("2001:db8:1:2:3:4:5:6")) == "ip:2001:db8:1:2::/64"
    assert key(from_client(None)) == key(from_client("")) == "ip:unknown-peer"
    assert by_ip(ipv6_prefix=128)(from_client("2001:db8::7")) == "ip:2001:db8::7"


def test_a_proxy_on_a_unix_socket_is_trusted_only_when_it_is_said() -> None:
    scope = from_client(None, headers=[("x-forwarded-for", REAL)])
    assert by_ip("unix")(scope) == f"ip:{REAL}"
    assert by_ip([PEER])(scope) == "ip:unknown-peer"
    assert by_ip(1)(scope) == f"ip:{REAL}"


@pytest.mark.parametrize("option", [-1, True, 99, "10.0.0.0/99", ["proxy.internal"]])
def test_what_names_no_proxies_is_refused(option: int | str | list[str]) -> None:
    with pytest.raises(GuardConfigError):
        by_ip(option)
