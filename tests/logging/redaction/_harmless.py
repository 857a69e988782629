"""Texts of many kinds without any secret, made from a seed: every one of them must come through as it is."""

from __future__ import annotations

import base64
import json
import string
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random

from tests.logging.redaction._secrets import ALNUM, HEX, some

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
DIGITS = string.digits


def moment(random: Random) -> datetime:
    return datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=random.randrange(10 * 365 * 86_400), microseconds=1234)


def ean(random: Random, prefix: str) -> str:
    digits = prefix + some(random, DIGITS, 12 - len(prefix))
    total = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits))
    return f"{digits}{-total % 10}"


def ipv4(random: Random) -> str:
    return ".".join(str(random.randrange(256)) for _ in range(4))


def ipv6(random: Random) -> str:
    return ":".join(some(random, HEX, 4) for _ in range(8))


def without_luhn(random: Random, length: int) -> str:
    """Return an id whose check digit is wrong, whatever it begins with."""
    digits = some(random, DIGITS, length)
    total = sum(
        value - 9 if value > 9 else value
        for place, digit in enumerate(reversed(digits))
        for value in [int(digit) * (2 if place % 2 else 1)]
    )
    return digits if total % 10 else f"{digits[:-1]}{(int(digits[-1]) + 1) % 10}"


def image(random: Random) -> str:
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + random.randbytes(300)).decode()


def stack(random: Random) -> str:
    return (
        "Traceback (most recent call last):\n"
        f'  File "/srv/shop/pay.py", line {random.randrange(900)}, in pay\n'
        "    charge(order, amount=total, currency='EUR')\n"
        "    ~~~~~~^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
        f"KeyError: 'price_{random.randrange(99)}'\n"
    )


def sql(random: Random) -> str:
    return (
        "SELECT o.id, o.total FROM orders AS o JOIN users AS u ON u.id = o.user_id "
        f"WHERE o.created_at >= '{moment(random):%Y-%m-%d}' AND u.password_hash = $1 AND o.token = %s"
    )


def document(random: Random) -> str:
    return json.dumps(
        {
            "order_id": random.randrange(10**9),
            "items": [{"sku": some(random, ALNUM, 8), "price": round(random.random() * 100, 2)}],
            "at": moment(random).isoformat(),
            "max_tokens": 4096,
            "token": None,
            "has_password": True,
            "token_type": "refresh",
        }
    )


HARMLESS: dict[str, Callable[[Random], str]] = {
    "iso time": lambda r: moment(r).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    "iso time with offset": lambda r: f"{moment(r):%Y-%m-%dT%H:%M:%S}+02:00",
    "iso time, basic": lambda r: f"{moment(r):%Y%m%dT%H%M%SZ}",
    "time with blanks": lambda r: f"{moment(r):%Y-%m-%d %H:%M:%S.%f}",
    "http date": lambda r: f"{moment(r):%a, %d %b %Y %H:%M:%S GMT}",
    "common log time": lambda r: f"[{moment(r):%d/%b/%Y:%H:%M:%S} +0000]",
    "epoch, seconds": lambda r: str(int(moment(r).timestamp())),
    "epoch, milliseconds": lambda r: str(int(moment(r).timestamp() * 1_000)),
    "epoch, microseconds": lambda r: str(int(moment(r).timestamp() * 1_000_000)),
    "epoch, nanoseconds": lambda r: str(int(moment(r).timestamp() * 1_000_000) * 1_000 + r.randrange(1_000)),
    "epoch, float": lambda r: f"{moment(r).timestamp():.6f}",
    "compact time": lambda r: f"{moment(r):%Y%m%d%H%M%S}",
    "duration": lambda r: f"took {r.random() * 1000:.3f} ms",
    "ulid": lambda r: "01J" + some(r, CROCKFORD, 23),
    "uuid": lambda r: str(uuid.UUID(int=r.getrandbits(128), version=4)),
    "uuid, upper case": lambda r: str(uuid.UUID(int=r.getrandbits(128), version=4)).upper(),
    "uuid, bare": lambda r: uuid.UUID(int=r.getrandbits(128), version=4).hex,
    "uuid, urn": lambda r: uuid.UUID(int=r.getrandbits(128), version=4).urn,
    "git hash": lambda r: some(r, HEX, 40),
    "git hash, short": lambda r: some(r, HEX, 7),
    "sha-256": lambda r: some(r, HEX, 64),
    "image digest": lambda r: f"registry.example/shop/web@sha256:{some(r, HEX, 64)}",
    "etag": lambda r: f'"{some(r, HEX, 32)}-7"',
    "nanoid": lambda r: some(r, ALNUM, 21),
    "object id": lambda r: some(r, HEX, 24),
    "trace parent": lambda r: f"00-{some(r, HEX, 32)}-{some(r, HEX, 16)}-01",
    "trace and span": lambda r: f"trace_id={some(r, HEX, 32)} span_id={some(r, HEX, 16)}",
    "order number": lambda r: f"ORD-{r.randrange(10**8):08}",
    "order number in parts": lambda r: f"2026-{r.randrange(10**4):04}-{r.randrange(10**4):04}",
    "invoice": lambda r: f"INV/{r.randrange(2020, 2030)}/{r.randrange(10**5):05}",
    "ten digits": lambda r: some(r, "123456789", 1) + some(r, DIGITS, 9),
    "eleven digits": lambda r: some(r, "123456789", 1) + some(r, DIGITS, 10),
    "nine digits": lambda r: some(r, "123456789", 1) + some(r, DIGITS, 8),
    "thirteen digits": lambda r: some(r, "123456789", 1) + some(r, DIGITS, 12),
    "sixteen digits that fail the check": lambda r: without_luhn(r, 16),
    "fifteen digits that fail the check": lambda r: without_luhn(r, 15),
    "nineteen digits that fail the check": lambda r: without_luhn(r, 19),
    "twenty-four digits": lambda r: some(r, DIGITS, 24),
    "forty digits": lambda r: some(r, DIGITS, 40),
    "snowflake": lambda r: str((r.randrange(2**41, 2**42) << 22) // 10),
    "card within a decimal": lambda r: f"0.4111111111111111{r.randrange(10)}",
    "card within an id": lambda r: f"x4111111111111111{some(r, HEX, 3)}",
    "isbn": lambda r: ean(r, "978"),
    "isbn with dashes": lambda r: f"978-3-16-{some(r, DIGITS, 6)}-{r.randrange(10)}",
    "ean": lambda r: ean(r, r.choice(["40", "50", "59", "36", "62"])),
    "tracking number": lambda r: f"1Z{some(r, string.ascii_uppercase + DIGITS, 16)}",
    "iban that fails the check": lambda r: f"DE00{some(r, DIGITS, 18)}",
    "letters and digits like an iban": lambda r: f"QQ{some(r, DIGITS, 20)}",
    "version": lambda r: f"{r.randrange(20)}.{r.randrange(20)}.{r.randrange(20)}",
    "version with build": lambda r: f"2.{r.randrange(20)}.0-rc.1+build.{some(r, HEX, 7)}",
    "package": lambda r: f"left-pad@{r.randrange(9)}.{r.randrange(20)}.{r.randrange(9)}",
    "package with a tag": lambda r: f"@shop/ui@{r.randrange(9)}.0.0-beta.rc",
    "ipv4": ipv4,
    "ipv4 and port": lambda r: f"{ipv4(r)}:{r.randrange(65_536)}",
    "ipv6": ipv6,
    "mac address": lambda r: ":".join(some(r, HEX, 2) for _ in range(6)),
    "host and port": lambda r: f"cache-{r.randrange(9)}.internal:6379",
    "decimal": lambda r: str(r.random() * 10 ** r.randrange(12)),
    "decimal, long": lambda r: f"{r.randrange(10)}.{some(r, DIGITS, 17)}",
    "scientific": lambda r: f"{r.random():.12e}",
    "negative": lambda r: f"-{some(r, '123456789', 12)}",
    "with a sign": lambda r: f"balance +{some(r, '123456789', 7)}",
    "money": lambda r: f"{r.randrange(10**6):,}.00 EUR",
    "hexadecimal": lambda r: f"0x{some(r, HEX, 16)}",
    "bytes": lambda r: f"read {r.randrange(10**12)} of {r.randrange(10**12)} bytes",
    "coordinates": lambda r: f"{r.uniform(-90, 90):.6f},{r.uniform(-180, 180):.6f}",
    "numbers in a row": lambda r: " ".join(str(r.randrange(1_000)) for _ in range(12)),
    "years in a row": lambda r: "2020 2021 2022 2023 2024 2025",
    "range": lambda r: f"bytes={r.randrange(10**6)}-{r.randrange(10**7)}",
    "path": lambda r: f"/srv/shop/releases/{moment(r):%Y%m%d%H%M%S}/app/order_items.py",
    "path, windows": lambda r: f"C:\\shop\\releases\\{r.randrange(99)}\\order_items.py",
    "route": lambda r: "/orders/{order_id}/items/{item_id}",
    "url": lambda r: (
        f"https://shop.example:8443/orders/{r.randrange(10**6)}?page={r.randrange(9)}&sort=-created_at#top"
    ),
    "url with an at": lambda r: "https://social.example/@ada and http://localhost:8080/a@b",
    "file with an at": lambda r: f"logo@{r.choice('23')}x.png",
    "unit": lambda r: f"getty@tty{r.randrange(9)}.service",
    "ssh target": lambda r: "deploy@web1: permission denied",
    "decorator": lambda r: "@app.route is used twice",
    "base64": lambda r: base64.b64encode(r.randbytes(90)).decode(),
    "base64 of an image": image,
    "stack": stack,
    "sql": sql,
    "json": document,
    "certificate": lambda r: f"-----BEGIN CERTIFICATE-----\n{some(r, ALNUM, 64)}\n-----END CERTIFICATE-----",
    "public key": lambda r: f"-----BEGIN PUBLIC KEY-----\n{some(r, ALNUM, 64)}\n-----END PUBLIC KEY-----",
    "publishable key": lambda r: f"pk_live_{some(r, ALNUM, 24)}",
    "colour": lambda r: f"#{some(r, HEX, 6)}",
    "user agent": lambda r: (
        f"Mozilla/5.0 (X11; Linux x86_64; rv:{r.randrange(90, 140)}.0) Gecko/20100101 Firefox/{r.randrange(90, 140)}.0"
    ),
    "access log": lambda r: f'{ipv4(r)} - - "GET /orders/{r.randrange(10**6)} HTTP/1.1" 200 {r.randrange(10**5)}',
    "logfmt": lambda r: (
        f"level=info order_id={r.randrange(10**9)} status=200 took_ms={r.random() * 100:.2f} path=/orders"
    ),
    "sentence": lambda r: "The worker could not finish in time: the job was given back, and another took it.",
    "said of a password": lambda r: r.choice(
        ["password: must be at least 12 characters", "token: expired", "the secret: is required", "password: too short"]
    ),
    "said of a session": lambda r: r.choice(["session: closed", "auth: ok", "tests pass: 12", "signature: mismatch"]),
    "bearer in a sentence": lambda r: r.choice(
        ["Bearer authentication is required", "bearer of bad news", 'WWW-Authenticate: Bearer realm="shop"']
    ),
    "basic in a sentence": lambda r: r.choice(["Basic authentication failed", "the basic plan", "basic understanding"]),
    "like an api key": lambda r: r.choice(
        [
            "sk_learn_pipeline",
            "re_compile_all_of_them",
            "risk-free-and-very-long-name",
            "task_live_updates",
            "desk-lamp",
        ]
    ),
    "name with key words": lambda r: r.choice(
        ["author=ada", "keyboard=de", "tokenizer=gpt2", "monkey=7", "max_tokens=4096", "session_count=3", "pinned=yes"]
    ),
    "names about secrets": lambda r: r.choice(
        ["token_type=bearer", "password_policy=strict", "session_duration=30", "cookie_name=theme", "secret_version=3"]
    ),
    "placeholders": lambda r: r.choice(
        [
            "password=***",
            "token=None",
            "password = ?",
            "secret=${DB_SECRET}",
            "token: null",
            "password=%(pw)s",
            "pwd=:pwd",
        ]
    ),
    "c++ and rust": lambda r: r.choice(["std::vector<int>", "std::io::Error", "a::b::c", "Result<T, E>"]),
    "emoji and scripts": lambda r: r.choice(["✅ готово", "完了: 3 件", "naïve café — «да»", "سلام"]),
    "markdown": lambda r: "# Title -- with *stars*, `code` and <b>tags</b>",
    "css": lambda r: "--primary-color: #ff0000; margin: 0 auto",
    "command": lambda r: "pytest -q -n 0 --maxfail 3 --tb=short tests/unit",
    "cron": lambda r: "*/5 0-6 1,15 * 1-5",
    "user id in parts": lambda r: f"{r.randrange(100, 999)}-{r.randrange(100, 999)}-{r.randrange(100, 999)}",
    "phone-like id": lambda r: f"{r.randrange(100, 200)}-{r.randrange(100, 999)}-{r.randrange(1000, 9999)}",
    "extension": lambda r: f"call extension {r.randrange(1000, 9999)}",
    "ssn-like id": lambda r: f"{r.choice(['000', '666', '912'])}-{r.randrange(10, 99)}-{r.randrange(1000, 9999)}",
    "date range": lambda r: "2026-11-20 - 2026-11-27",
    "metric": lambda r: f'http_requests_total{{method="GET",status="200"}} {r.randrange(10**10)}',
}
