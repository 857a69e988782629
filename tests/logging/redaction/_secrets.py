"""Secrets of many kinds, made from a seed: each a text and the part of it that must not be seen again."""

from __future__ import annotations

import base64
import json
import string
from collections.abc import Callable
from random import Random
from typing import NamedTuple
from urllib.parse import quote

ALNUM = string.ascii_letters + string.digits
URL_SAFE = ALNUM + "_-"
HEX = "0123456789abcdef"


class Planted(NamedTuple):
    """A text with a secret in it."""

    text: str
    secret: str


def some(random: Random, letters: str, count: int) -> str:
    return "".join(random.choices(letters, k=count))


def luhn(digits: str) -> str:
    """Return the digits with the check digit of ISO/IEC 7812 behind them."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return f"{digits}{-total % 10}"


def card(random: Random, prefix: str, length: int) -> str:
    return luhn(prefix + some(random, string.digits, length - 1 - len(prefix)))


def grouped(digits: str, sizes: tuple[int, ...], separator: str) -> str:
    parts, at = [], 0
    for size in sizes:
        parts.append(digits[at : at + size])
        at += size
    return separator.join(parts)


def iban(random: Random, country: str, shape: str) -> str:
    """Return a number of that country; `shape` has `n` for digits and `a` for letters."""
    account = "".join(random.choice(string.digits if kind == "n" else string.ascii_uppercase) for kind in shape)
    number = int("".join(str(int(letter, 36)) for letter in f"{account}{country}00"))
    return f"{country}{98 - number % 97:02}{account}"


def jwt(random: Random, payload: dict[str, object] | None = None) -> str:
    def part(value: dict[str, object]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'HS256'})}.{part(payload or {'sub': some(random, ALNUM, 8)})}.{some(random, URL_SAFE, 43)}"


def pem(random: Random, name: str = "RSA PRIVATE KEY", newline: str = "\n", lines: int = 6) -> str:
    body = newline.join(some(random, ALNUM + "+/", 64) for _ in range(lines))
    return f"-----BEGIN {name}-----{newline}{body}{newline}-----END {name}-----"


def password(random: Random) -> str:
    """Return what people take: letters, digits and marks that are no blanks, quotes or separators."""
    return some(random, string.ascii_letters, 5) + some(random, ALNUM + "!$%^*_-+~", 8) + some(random, string.digits, 2)


def name(random: Random) -> str:
    return random.choice(["ada", "grace.hopper", "o.neill", "j-p_sartre", "linus+list"])


# Known by their own shape: they stand anywhere.
SHAPED: dict[str, Callable[[Random], str]] = {
    "visa": lambda r: card(r, "4", 16),
    "visa, 19 digits": lambda r: card(r, "4", 19),
    "visa in groups": lambda r: grouped(card(r, "4", 16), (4, 4, 4, 4), " "),
    "visa with dashes": lambda r: grouped(card(r, "4", 16), (4, 4, 4, 4), "-"),
    "mastercard": lambda r: card(r, r.choice(["51", "53", "55"]), 16),
    "mastercard, new range": lambda r: grouped(card(r, r.choice(["2221", "2500", "2720"]), 16), (4, 4, 4, 4), " "),
    "amex": lambda r: card(r, r.choice(["34", "37"]), 15),
    "amex in groups": lambda r: grouped(card(r, "37", 15), (4, 6, 5), " "),
    "diners": lambda r: grouped(card(r, "36", 14), (4, 6, 4), "-"),
    "jcb": lambda r: card(r, "3530", 16),
    "discover": lambda r: card(r, "6011", 16),
    "unionpay": lambda r: card(r, "62", r.choice([16, 17, 18, 19])),
    "maestro": lambda r: card(r, "6759", 16),
    "iban, germany": lambda r: iban(r, "DE", "n" * 18),
    "iban, britain, in groups": lambda r: " ".join(chunks(iban(r, "GB", "aaaa" + "n" * 14))),
    "iban, france": lambda r: iban(r, "FR", "n" * 10 + "n" * 11 + "nn"),
    "iban, malta": lambda r: iban(r, "MT", "aaaa" + "n" * 5 + "n" * 18),
    "iban, norway": lambda r: iban(r, "NO", "n" * 11),
    "iban, netherlands, in groups": lambda r: " ".join(chunks(iban(r, "NL", "aaaa" + "n" * 10))),
    "jwt": jwt,
    "jwt without signature": lambda r: jwt(r).rpartition(".")[0] + ".",
    "jwe": lambda r: (
        "eyJhbGciOiJkaXIi" + some(r, URL_SAFE, 20) + ".." + ".".join(some(r, URL_SAFE, 16) for _ in range(3))
    ),
    "private key": pem,
    "private key, elliptic": lambda r: pem(r, "EC PRIVATE KEY", lines=3),
    "private key, openssh": lambda r: pem(r, "OPENSSH PRIVATE KEY"),
    "private key, encrypted": lambda r: pem(r, "ENCRYPTED PRIVATE KEY"),
    "private key, pgp": lambda r: pem(r, "PGP PRIVATE KEY BLOCK"),
    "private key on one line": lambda r: pem(r, "PRIVATE KEY", newline="\\n"),
    "private key without end": lambda r: pem(r).rpartition("\n")[0],
    "private key without beginning": lambda r: pem(r).partition("\n")[2],
    "stripe": lambda r: f"{r.choice(['sk', 'rk'])}_{r.choice(['live', 'test'])}_{some(r, ALNUM, 24)}",
    "stripe, long": lambda r: f"sk_live_51{some(r, ALNUM, 97)}",
    "webhook secret": lambda r: "whsec_" + base64.b64encode(r.randbytes(24)).decode(),
    "aws access key": lambda r: r.choice(["AKIA", "ASIA"]) + some(r, string.ascii_uppercase + "234567", 16),
    "github": lambda r: f"gh{r.choice('pousr')}_{some(r, ALNUM, 36)}",
    "github, fine-grained": lambda r: f"github_pat_{some(r, ALNUM, 22)}_{some(r, ALNUM, 59)}",
    "gitlab": lambda r: f"glpat-{some(r, URL_SAFE, 20)}",
    "slack bot": lambda r: f"xoxb-{some(r, string.digits, 12)}-{some(r, string.digits, 12)}-{some(r, ALNUM, 24)}",
    "slack user": lambda r: f"xoxp-{some(r, string.digits, 12)}-{some(r, ALNUM, 32)}",
    "slack app": lambda r: f"xapp-1-A{some(r, ALNUM, 10)}-{some(r, string.digits, 12)}-{some(r, HEX, 64)}",
    "google api": lambda r: f"AIza{some(r, URL_SAFE, 35)}",
    "google oauth": lambda r: f"ya29.{some(r, URL_SAFE, 60)}",
    "google client": lambda r: f"GOCSPX-{some(r, URL_SAFE, 28)}",
    "sendgrid": lambda r: f"SG.{some(r, URL_SAFE, 22)}.{some(r, URL_SAFE, 43)}",
    "resend": lambda r: f"re_{some(r, ALNUM, 8)}_{some(r, ALNUM, 24)}",
    "npm": lambda r: f"npm_{some(r, ALNUM, 36)}",
    "pypi": lambda r: f"pypi-AgEIcHlwaS5vcmc{some(r, URL_SAFE, 120)}",
    "twilio": lambda r: f"SK{some(r, HEX, 32)}",
    "mailgun": lambda r: f"key-{some(r, HEX, 32)}",
    "openai": lambda r: f"sk-proj-{some(r, URL_SAFE, 48)}",
    "openai, old": lambda r: f"sk-{some(r, ALNUM, 48)}",
    "anthropic": lambda r: f"sk-ant-api03-{some(r, URL_SAFE, 80)}",
    "digitalocean": lambda r: f"dop_v1_{some(r, HEX, 64)}",
    "huggingface": lambda r: f"hf_{some(r, string.ascii_letters, 34)}",
    "shopify": lambda r: f"shpat_{some(r, HEX, 32)}",
    "square": lambda r: f"sq0csp-{some(r, URL_SAFE, 43)}",
    "vault": lambda r: f"hvs.{some(r, URL_SAFE, 60)}",
    "docker": lambda r: f"dckr_pat_{some(r, URL_SAFE, 27)}",
    "telegram bot": lambda r: f"{some(r, '123456789', 9)}:AA{some(r, URL_SAFE, 33)}",
    "age": lambda r: f"AGE-SECRET-KEY-1{some(r, string.ascii_uppercase + string.digits, 58)}",
    "mail address": lambda r: (
        f"{name(r)}@{some(r, string.ascii_lowercase, 6)}.{r.choice(['com', 'co.uk', 'example', 'de'])}"
    ),
    "mail address, international": lambda r: f"{name(r)}@bücher.{r.choice(['example', 'de'])}",
    "phone, germany": lambda r: f"+49 1{some(r, '567', 1)}1 {some(r, string.digits, 8)}",
    "phone, france": lambda r: f"+33 6 {' '.join(some(r, string.digits, 2) for _ in range(4))}",
    "phone, e.164": lambda r: f"+{r.choice(['4479', '3361', '9198', '5511'])}{some(r, string.digits, 8)}",
    "phone, britain": lambda r: f"+44 (0)20 {some(r, string.digits, 4)} {some(r, string.digits, 4)}",
    "phone, international, us": lambda r: f"+1 {us_number(r, ' ')}",
    "phone, us, brackets": lambda r: f"({r.randint(201, 989)}) {r.randint(200, 999)}-{some(r, string.digits, 4)}",
    "phone, us, dashes": lambda r: us_number(r, "-"),
    "phone, us, dots": lambda r: us_number(r, "."),
    "phone, us, with its 1": lambda r: f"1-{us_number(r, '-')}",
    "social security number": lambda r: f"{r.randint(100, 665)}-{r.randint(10, 99)}-{r.randint(1000, 9999)}",
}


def us_number(random: Random, separator: str) -> str:
    return separator.join(
        [str(random.randint(201, 989)), str(random.randint(200, 999)), some(random, string.digits, 4)]
    )


def chunks(text: str) -> list[str]:
    return [text[at : at + 4] for at in range(0, len(text), 4)]


def beside(template: str) -> Callable[[Random], Planted]:
    """Return a maker of texts with a password in the place of the star."""

    def make(random: Random) -> Planted:
        secret = password(random)
        return Planted(template.replace("*", secret), secret)

    return make


def basic(random: Random) -> Planted:
    secret = base64.b64encode(f"{name(random)}:{password(random)}".encode()).decode()
    return Planted(f"sent Basic {secret} to the proxy", secret)


def encoded_url(random: Random) -> Planted:
    secret = some(random, ALNUM, 20)
    return Planted(f"/login?next={quote(f'https://shop.example/?token={secret}&n=1', safe='')}", secret)


def encoded_mail(random: Random) -> Planted:
    address = f"{some(random, string.ascii_lowercase, 8)}%40shop.example"
    return Planted(f"GET /users?mail={address}&page=2", address)


# Known by what stands beside them.
NAMED: dict[str, Callable[[Random], Planted]] = {
    "password=": beside("cannot log in: password=* for ada"),
    "password:": beside("user: ada password: *"),
    "password in a list": beside("user=ada, password=*, retries=3"),
    "password with a comma": beside("password=a,*;b user=ada"),
    "password in quotes": beside("password='*' user=ada"),
    "password with blanks in quotes": beside('password="my * here" user=ada'),
    "passphrase to the end of the line": beside("passphrase: correct horse * staple\nnext"),
    "json": beside('{"user": "ada", "password": "*", "n": 1}'),
    "json, compact": beside('{"apiKey":"*","n":1}'),
    "json within json": beside('{"body": "{\\"client_secret\\": \\"*\\"}"}'),
    "json, escaped quote": beside('{"token": "a\\"*", "n": 1}'),
    "json, cut off": beside('{"user": "ada", "token": "*'),
    "json, nested": beside('{"credentials": {"user": "ada", "value": "*"}, "n": 1}'),
    "repr of a dict": beside("{'user': 'ada', 'api_key': '*'}"),
    "repr of bytes": beside("{b'set-cookie': b'*'}"),
    "repr of a dataclass": beside("Login(user='ada', password='*')"),
    "repr of headers": beside("[('Host', 'x'), ('Authorization', '*')]"),
    "yaml": beside("user: ada\napi-key: *\nport: 80"),
    "ini": beside("[db]\npasswd = *\nport = 1"),
    "environment": beside("DB_PASS=* SMTP_HOST=mail"),
    "connection string": beside("Server=db;User Id=sa;Password=*;Encrypt=yes"),
    "azure storage": beside("DefaultEndpointsProtocol=https;AccountKey=*==;EndpointSuffix=core"),
    "libpq": beside("host=db user=ada password=* dbname=shop"),
    "url with password": beside("cannot reach redis://shop:*@cache:6379/0"),
    "url with password, odd": beside("postgresql+asyncpg://shop:a/b?c#d@*@db:5432/shop"),
    "url with token for a user": beside("https://*@git.example/shop.git"),
    "sentry dsn": beside("dsn https://*@o1.ingest.example/42"),
    "go dsn": beside("root:*@tcp(db:3306)/shop"),
    "query": beside("GET /reset?token=*&lang=de"),
    "query, api key": beside("https://api.example/v1?api_key=*#top"),
    "query, amazon": beside("https://b.s3.example/k?X-Amz-Date=1&X-Amz-Signature=*"),
    "query, azure": beside("https://a.blob.example/c?sv=1&sig=*&se=2"),
    "query in a query": encoded_url,
    "fragment": beside("https://shop.example/#access_token=*&expires_in=1"),
    "authorization": beside("Authorization: Bearer *\r\nHost: x"),
    "authorization, digest": beside('authorization: Digest username="ada", response="*"\nhost: x'),
    "authorization, own scheme": beside("Authorization: *"),
    "bearer in a sentence": beside("the header was Bearer * and was refused"),
    "basic": basic,
    "cookie": beside("Cookie: theme=dark; sid=*; lang=de\r\nHost: x"),
    "set-cookie": beside("Set-Cookie: id=*; Path=/; HttpOnly"),
    "x-api-key": beside("> X-Api-Key: *"),
    "command, option": beside("mysql --password=* shop"),
    "command, option and value": beside("run --api-token * --verbose"),
    "command, repr": beside("Command '['mysql', '--password', '*', 'shop']' returned 1"),
    "xml": beside("<login><user>ada</user><password>*</password></login>"),
    "in camel case": beside("clientSecret=*"),
    "in words": beside("the API key: *"),
    "in another language": beside("Passwort: *"),
    "a code": beside("recovery_code=*"),
    "slack hook": lambda r: hook(r, "https://hooks.slack.com/services/T0123/B0123/"),
    "discord hook": lambda r: hook(r, "https://discord.com/api/webhooks/123456/"),
    "mail address in a query": encoded_mail,
}


def hook(random: Random, url: str) -> Planted:
    secret = some(random, ALNUM, 24)
    return Planted(f"POST {url}{secret} 404", secret)
