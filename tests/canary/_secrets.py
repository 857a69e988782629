"""The secrets that are planted: one of each kind, none of them real, each found nowhere else.

A value that is recognised by its shape (a card, a key of a vendor) has that shape; one that is recognised by the name
it stands under has no shape at all. Pieces are joined at run time, so that no scanner takes this file for a leak.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote, quote_plus

_MIXED = "b7Qx2Lm9Zt4Kw8Rv"


@dataclass(frozen=True)
class Canary:
    """One secret: the text that is planted, and the pieces of it that must not come out."""

    text: str
    needles: tuple[str, ...] = ()

    @cached_property
    def spellings(self) -> tuple[str, ...]:
        """Every way in which it could come out, in lower case."""
        return tuple(dict.fromkeys(spelling.casefold() for spelling in self._spelled()))

    def _spelled(self) -> Iterator[str]:
        for needle in self.needles or (self.text,):
            yield needle
            yield quote(needle, safe="")
            yield quote_plus(needle)
            yield json.dumps(needle)[1:-1]
            yield repr(needle)[1:-1]
            yield needle.encode().hex()
            yield from _as_base64(needle.encode())


def _as_base64(data: bytes) -> Iterator[str]:
    # What it looks like within a longer text depends on where it begins there: three ways, without the ends that the
    # neighbours have a part in.
    for shift in range(3):
        encoded = base64.b64encode(b"\x00" * shift + data)
        inner = encoded[-(-shift * 8 // 6) : len(encoded) - 4].decode()
        if len(inner) >= 8:
            yield inner
            yield inner.replace("+", "-").replace("/", "_")


def _word(name: str) -> Canary:
    """Return a secret without any shape."""
    return Canary(f"caNARy{name.title().replace('.', '').replace('_', '')}7f3a")


def _joined(*parts: str) -> str:
    return "".join(parts)


_PEM_LINES = ("MIIEvQIBADANBgkqhkiG9w0BAQEFAASC" + _MIXED, "BKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj" + _MIXED)


def _pem(kind: str, *, is_whole: bool) -> Canary:
    begin, end = (f"-----{word} {kind}PRIVATE KEY-----" for word in ("BEGIN", "END"))
    lines = [begin, *(kind.strip() + line for line in _PEM_LINES), *([end] if is_whole else [])]
    return Canary("\n".join(lines), tuple(lines[1:3]))


# By the name it stands under.
_NAMED = {
    "key": "password api_key client_secret session_token nested cookie header_pair dataclass msgspec pydantic attrs "
    "namedtuple in_list argument secret_object context",
    "url": "userinfo token_as_user special query signature fragment in_exception in_cause",
    "text": "pair json set_cookie note other_library",
    "set": "redis database replica mongo smtp resend file option unknown bad_port",
    "http": "query authorization cookie api_key body websocket baggage",
    "job": "argument nested exception result_url bad_argument",
    "mail": "password link refusal key",
    "sql": "password parameter",
    "redis": "password",
    "mongo": "password value",
    "pubsub": "payload",
    "health": "message exception",
    "span": "attribute event status baggage exporter header name",
    "metric": "label baggage url",
    "cli": "environment argument",
    "sentry": "tag extra user header cookie query body variable breadcrumb context exception message key dsn",
    "audit": "change key reason",
    "error": "context message",
    "app": "password header dsn",
}

CANARIES: dict[str, Canary] = {
    **{f"{group}.{kind}": _word(f"{group}.{kind}") for group, kinds in _NAMED.items() for kind in kinds.split()},
    # By what it looks like.
    "shape.jwt": Canary(
        _joined("eyJhbGciOiJIUzI1NiJ9", ".eyJzdWIiOiJjYW5hcnkifQ", ".dBjftJeZ4CVPmB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
        ("dBjftJeZ4CVPmB92K27uhbUJU1p1r_wW1gFWFOEjXk", "eyJzdWIiOiJjYW5hcnkifQ"),
    ),
    "shape.pem": _pem("RSA ", is_whole=True),
    "shape.pem_cut": _pem("EC ", is_whole=False),
    "shape.visa": Canary("4539 1488 0343 6467", ("4539 1488 0343 6467", "4539148803436467")),
    "shape.mastercard": Canary("5555341244441115"),
    "shape.amex": Canary("3714-496353-98431", ("3714-496353-98431", "371449635398431")),
    "shape.iban": Canary("DE89370400440532013000"),
    "shape.iban_spaced": Canary("GB82 WEST 1234 5698 7654 32", ("GB82 WEST 1234 5698 7654 32", "WEST12345698765432")),
    "shape.stripe": Canary(_joined("sk_", "live_", "51H", _MIXED, "Stripe")),
    "shape.webhook": Canary(_joined("whsec", "_", _MIXED, "Wh", _MIXED)),
    "shape.aws": Canary(_joined("AKIA", "IOSFODNN7", "CANARYQ")),
    "shape.github": Canary(_joined("ghp", "_", _MIXED, "Gh", _MIXED, "gh")),
    "shape.slack": Canary(_joined("xoxb", "-123456789012-", _MIXED, "Slack")),
    "shape.google": Canary(_joined("AIza", "SyD", _MIXED, _MIXED)),
    "shape.sendgrid": Canary(_joined("SG.", _MIXED, "abcdef.", _MIXED, _MIXED, "SendGrid012")),
    "shape.resend": Canary(_joined("re_", "Canary12_", _MIXED, "Resend")),
    "shape.gitlab": Canary(_joined("glpat", "-", _MIXED, "Labs")),
    "shape.npm": Canary(_joined("npm", "_", _MIXED, _MIXED, "Npmx")),
    "shape.pypi": Canary(_joined("pypi", "-AgEIcHlwaS5vcmc", _MIXED, _MIXED)),
    "shape.bearer": Canary(_joined("Bearer ", _MIXED, "Bearer", _MIXED), (_joined(_MIXED, "Bearer", _MIXED),)),
    "shape.basic": Canary("Basic " + base64.b64encode(b"ada:caNARyBasic7f3a").decode(), ("caNARyBasic7f3a",)),
    "shape.email": Canary("ada.canary@mail.canary-shop.com"),
    "shape.phone": Canary("+49 30 90182077", ("+49 30 90182077", "90182077")),
    "shape.phone_us": Canary("(415) 555-2671", ("(415) 555-2671", "4155552671")),
    "shape.ssn": Canary("536-22-8741", ("536-22-8741", "536228741")),
    "job.card": Canary("6011000990139424"),
    "job.email": Canary("bob.canary@jobs.canary-shop.com"),
    "http.path_email": Canary("eve.canary@path.canary-shop.com"),
    "http.path_jwt": Canary(
        _joined("eyJhbGciOiJIUzI1NiJ9", ".eyJzdWIiOiJwYXRoIn0", ".Qm9vZ2llUGF0aFNpZ25hdHVyZTAxMjM0NTY3ODlhYmNkZWY"),
        ("Qm9vZ2llUGF0aFNpZ25hdHVyZTAxMjM0NTY3ODlhYmNkZWY",),
    ),
    "mail.recipient": Canary("carol.canary@mail.canary-shop.com"),
    "mail.card": Canary("4485275742308327"),
    "sentry.card": Canary("4916338506082832"),
    "span.card": Canary("4024007103939509"),
}


def secret(name: str) -> str:
    """Return the text to plant."""
    return CANARIES[name].text
